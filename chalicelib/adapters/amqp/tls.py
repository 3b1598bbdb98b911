"""TLS context of a connection: TLS 1.2 or 1.3, host name always verified, private keys kept off disks."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from chalicelib.domain.connection import ConnectionSecrets


def tls_context(secrets: ConnectionSecrets) -> ssl.SSLContext:
    """Return a client context of normalised PEM texts, which must not be changed.

    Raises ssl.SSLError when OpenSSL rejects one.
    """
    if not (secrets.trusted_ca_certificate or secrets.certificate):
        return _of_system()
    context = _verifying()
    if secrets.trusted_ca_certificate:
        # An intermediate authority or the broker's own certificate is enough, as Python 3.13 has it by default.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=secrets.trusted_ca_certificate)
    else:
        context.load_default_certs()
    if secrets.certificate and secrets.private_key:
        pem = f"{secrets.certificate.strip()}\n{secrets.private_key.strip()}\n".encode()
        with _readable_path(pem) as path:
            context.load_cert_chain(path, password=_no_password)
    return context


@cache
def _of_system() -> ssl.SSLContext:
    """Return the context of all connections without PEM texts, because each copy of the CAs needs 0.8 MB and 20 ms."""
    context = _verifying()
    context.load_default_certs()
    return context


def _verifying() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    """Return no password, so that OpenSSL does not ask for an encrypted key's password at the terminal."""
    return ""


@contextmanager
def _readable_path(content: bytes) -> Iterator[str]:
    """Yield a path from which OpenSSL can read ``content``.

    The path is in memory where the system has memfd, else a short-lived file with mode 0600.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # created with mode 0600
        file.write(content)
        file.flush()
        yield file.name
