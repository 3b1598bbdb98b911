"""Validation of client certificates, private keys and CAs.

No message shows any part of a key. The cryptography package is imported on the first validation, because the import is
slow.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chalicelib.domain.validation.pem import Block, blocks, normalise_pem
from chalicelib.errors import PemError, Violation

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificatePublicKeyTypes,
        PrivateKeyTypes,
        PublicKeyTypes,
    )

__all__ = ["certificate_end", "check_ca", "check_certificate_pair", "normalise_pem"]

CERTIFICATE = "/configuration/certificate"
PRIVATE_KEY = "/configuration/privateKey"
TRUSTED_CA = "/configuration/trustedCaCertificate"

MIN_RSA = 2048
MAX_RSA = 8192
"""Maximum length of an RSA key in bits; checking a longer one takes seconds."""
MIN_CURVE = 224
"""Minimum size of an elliptic curve in bits."""
MAX_CERTIFICATES = 200
"""Maximum number of certificates in one bundle."""

_KEY_LABELS = frozenset({"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"})
_WEAK_HASHES = frozenset({"md5", "sha1"})
_KINDS = {
    "CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a signing request, which a CA turns into a certificate",
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "OPENSSH PRIVATE KEY": "a key in OpenSSH's format; convert it with ssh-keygen -p -m PEM",
    "DSA PRIVATE KEY": "a DSA key, which TLS does not support",
    "PKCS7": "a PKCS#7 bundle; convert it with openssl pkcs7 -print_certs",
}


def check_certificate_pair(certificate: str | None, private_key: str | None, now: float) -> list[Violation]:
    """Return the violations of a client certificate (its chain may follow it) and its key, in any form that
    ``normalise_pem`` accepts. ``now``: Unix seconds. A value of None is skipped.
    """
    violations: list[Violation] = []
    chain = _certificates(certificate, CERTIFICATE, violations) if certificate is not None else []
    for position, member in enumerate(chain):
        violations += _validity(member, position, now) + _strength(member, position)
    key = _private_key(private_key, violations) if private_key is not None else None
    if chain and key is not None:
        violations += _match(chain, key)
    return violations


def check_ca(text: str, now: float) -> list[Violation]:
    """Return the violations of a bundle of CA certificates.

    ``now``: Unix seconds. Some members of a bundle may have expired.
    """
    violations: list[Violation] = []
    bundle = _certificates(text, TRUSTED_CA, violations)
    moment = datetime.fromtimestamp(now, UTC)
    if bundle and all(member.not_valid_after_utc < moment for member in bundle):
        ended = max(member.not_valid_after_utc for member in bundle)
        violations.append(
            Violation(TRUSTED_CA, f"The CA certificate expired on {ended:%Y-%m-%d}; paste the current one.")
        )
    return violations


def certificate_end(certificate: str) -> float:
    """Return the expiry of a valid client certificate in Unix seconds: the earliest one in its chain."""
    chain = _certificates(certificate, CERTIFICATE, [])
    return min(member.not_valid_after_utc for member in chain).timestamp()


def _certificates(text: str, pointer: str, violations: list[Violation]) -> list[x509.Certificate]:
    try:
        found = blocks(text)
    except PemError as error:
        violations.append(Violation(pointer, str(error)))
        return []
    wrong = next((block for block in found if block.label != "CERTIFICATE"), None)
    if wrong is not None:
        violations.append(Violation(pointer, _wrong_kind(wrong, "a certificate")))
        return []
    if len(found) > MAX_CERTIFICATES:
        violations.append(
            Violation(
                pointer,
                f"There are more than {MAX_CERTIFICATES} certificates; keep the client's certificate and its chain.",
            )
        )
        return []
    certificates = []
    for position, block in enumerate(found):
        try:
            member = _load_certificate(block)
        except Exception:  # noqa: BLE001  # the library raises many types on a hostile certificate
            name = _certificate_name(position)
            violations.append(Violation(pointer, f"{name} cannot be read; export it again and paste the whole file."))
            return []
        certificates.append(member)
    return certificates


def _load_certificate(block: Block) -> x509.Certificate:
    """Load a certificate and all fields that the library reads lazily. Raises exceptions of many types."""
    from cryptography import x509  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificate(block.text.encode("ascii"))
    certificate.public_key()
    hash((certificate.subject, certificate.issuer))
    hash((certificate.not_valid_before_utc, certificate.not_valid_after_utc))
    return certificate


def _private_key(text: str, violations: list[Violation]) -> PrivateKeyTypes | None:
    try:
        found = blocks(text)
    except PemError as error:
        violations.append(Violation(PRIVATE_KEY, str(error)))
        return None
    detail, key = _load_key(found)
    if detail:
        violations.append(Violation(PRIVATE_KEY, detail))
    return key


def _load_key(found: list[Block]) -> tuple[str, PrivateKeyTypes | None]:
    if any(block.encrypted for block in found):
        return "The private key is encrypted; remove the passphrase (openssl pkey -in key.pem) and paste that.", None
    wrong = next((block for block in found if block.label not in _KEY_LABELS), None)
    if wrong is not None:
        return _wrong_kind(wrong, "a private key"), None
    if len(found) > 1:
        return "There is more than one private key; paste the one that belongs to the certificate.", None
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    data = found[0].text.encode("ascii")
    try:
        key = load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True)
        if isinstance(key, rsa.RSAPrivateKey):
            if key.key_size > MAX_RSA:
                return f"The RSA key has {key.key_size} bits; the maximum is {MAX_RSA}.", None
            # The length is checked first, because loading a key takes time quadratic in it.
            key = load_pem_private_key(data, None)
        weakness = _weakness(key.public_key())
    except Exception:  # noqa: BLE001  # the library's own text could show parts of the key
        return "The private key cannot be read; export it again and paste the whole file.", None
    return (f"The private key is too weak: {weakness}." if weakness else ""), key


def _wrong_kind(block: Block, wanted: str) -> str:
    if block.encrypted or block.label in _KEY_LABELS:
        return "This field contains a private key. Put it, and nothing else, into the field for the private key."
    kind = _KINDS.get(block.label, "something else")
    return f"This is {kind}. Paste {wanted} here, nothing else."


def _certificate_name(position: int) -> str:
    return "The certificate" if position == 0 else f"Certificate {position + 1} of the chain"


def _validity(certificate: x509.Certificate, position: int, now: float) -> list[Violation]:
    moment = datetime.fromtimestamp(now, UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < moment:
        detail = f"{_certificate_name(position)} expired on {end:%Y-%m-%d %H:%M} UTC; paste a valid certificate."
    elif begin > moment:
        detail = (
            f"{_certificate_name(position)} is not valid before {begin:%Y-%m-%d %H:%M} UTC; paste a valid certificate."
        )
    else:
        return []
    return [Violation(CERTIFICATE, detail)]


def _strength(certificate: x509.Certificate, position: int) -> list[Violation]:
    weakness = _weakness(certificate.public_key())
    # Clients do not verify the signature of a root, so its age does not matter.
    if not weakness and certificate.issuer != certificate.subject:
        weakness = _weakness_of_signature(certificate)
    return [Violation(CERTIFICATE, f"{_certificate_name(position)} is too weak: {weakness}.")] if weakness else []


def _weakness_of_signature(certificate: x509.Certificate) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        # The library raises this for MD2 and for algorithms that it does not know.
        return "its signature algorithm is unknown; have it signed with SHA-256"
    if algorithm is not None and algorithm.name in _WEAK_HASHES:
        return f"it is signed with {algorithm.name.upper()}, which TLS refuses; have it signed with SHA-256"
    return ""


def _weakness(key: CertificatePublicKeyTypes | PublicKeyTypes) -> str:
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa  # noqa: PLC0415

    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA:
        return f"an RSA key needs at least {MIN_RSA} bits, this one has {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < MIN_CURVE:
        return f"a curve needs at least {MIN_CURVE} bits, this one has {key.curve.key_size}"
    if isinstance(key, dsa.DSAPublicKey):
        return "TLS does not support DSA keys; use an RSA or EC key"
    return ""


def _match(chain: list[x509.Certificate], key: PrivateKeyTypes) -> list[Violation]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    def public(of: PublicKeyTypes) -> bytes:
        return of.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    wanted = public(key.public_key())
    positions = [position for position, member in enumerate(chain) if public(member.public_key()) == wanted]
    if not positions:
        return [Violation(PRIVATE_KEY, "The private key does not belong to the certificate; paste a matching pair.")]
    if 0 not in positions:
        return [Violation(CERTIFICATE, "Put the client's certificate first, its CA certificates after it.")]
    return []
