"""Certificates for the local broker: a CA, a server certificate for localhost and a client certificate."""

import os
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files. Only their owner can read the keys."""

    ca_file: Path
    server_certificate_file: Path
    server_key_file: Path
    client_certificate_file: Path
    client_key_file: Path


def issue(directory: Path, user: str) -> Certificates:
    """Returns the files in ``directory``, created if one is missing. The client's common name is ``user``."""
    files = Certificates(
        ca_file=directory / "ca.pem",
        server_certificate_file=directory / "server.pem",
        server_key_file=directory / "server.key",
        client_certificate_file=directory / "client.pem",
        client_key_file=directory / "client.key",
    )
    if all(path.exists() for path in vars(files).values()):
        return files
    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="iot-flow local")
    server = authority.issue_cert("localhost", "127.0.0.1", "::1")
    client = authority.issue_cert(f"{user}@localhost", common_name=user)
    files.ca_file.write_bytes(authority.cert_pem.bytes())
    for leaf, certificate, key in (
        (server, files.server_certificate_file, files.server_key_file),
        (client, files.client_certificate_file, files.client_key_file),
    ):
        certificate.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(leaf.private_key_pem.bytes())
    return files
