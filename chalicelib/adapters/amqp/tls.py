"""The TLS context of a connection: versions 1.2 and 1.3, the broker's name always verified, no key on a disk."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from chalicelib.domain.connection import ConnectionSecrets


def tls_context(secrets: ConnectionSecrets) -> ssl.SSLContext:
    """A client's context from PEM texts in their normal form. Raises ssl.SSLError when one is unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    if secrets.trusted_ca_certificate:
        context.load_verify_locations(cadata=secrets.trusted_ca_certificate)
    else:
        context.load_default_certs()
    if secrets.certificate and secrets.private_key:
        pem = f"{secrets.certificate.strip()}\n{secrets.private_key.strip()}\n".encode()
        with _readable_path(pem) as path:
            context.load_cert_chain(path, password=_no_password)
    return context


def _no_password() -> str:
    """Without it, OpenSSL would ask for an encrypted key's password at the terminal."""
    return ""


@contextmanager
def _readable_path(content: bytes) -> Iterator[str]:
    """A path that OpenSSL can read ``content`` from: in memory where there is memfd, else a file of 0600 that is gone
    at once."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # made with 0600
        file.write(content)
        file.flush()
        yield file.name
