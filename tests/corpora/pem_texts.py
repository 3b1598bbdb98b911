"""PEM texts by kind: the forms in which people paste them, what else they paste, and the sentence that each gets."""

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

NOW = 1_800_000_000.0


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def curve_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


@cache
def edwards_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@cache
def dsa_key() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(1024)  # noqa: S505  # it is here to be refused


def request() -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name_of("client"))
    return builder.sign(curve_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def public(form: PublicFormat) -> str:
    return rsa_key().public_key().public_bytes(Encoding.PEM, form).decode()


def der(text: str) -> bytes:
    return base64.b64decode("".join(text.splitlines()[1:-1]))


def label_of(text: str) -> str:
    return text.partition("BEGIN ")[2].partition("-----")[0]


def within(text: str, body: str) -> str:
    return f"-----BEGIN {label_of(text)}-----\n{body}\n-----END {label_of(text)}-----\n"


def labelled(label: str) -> str:
    return f"-----BEGIN {label}-----\nBggqhkjOPQMBBw==\n-----END {label}-----\n"


def relabelled(text: str, label: str) -> str:
    return text.replace(label_of(text), label)


def replaced(text: str, at: int, by: str) -> str:
    return text[:at] + by + text[at + 1 :]


def certificate(
    key: CertificateIssuerPrivateKeyTypes | None = None, *, begin: int = -10, end: int = 10, common_name: str = "client"
) -> str:
    """``begin`` and ``end``: days from NOW."""
    key = key or rsa_key()
    today = datetime.fromtimestamp(NOW, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(common_name))
        .issuer_name(name_of("CA"))
        .serial_number(7)
        .not_valid_before(today + timedelta(days=begin))
        .not_valid_after(today + timedelta(days=end))
        .public_key(key.public_key())
    )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def key_text(
    key: CertificateIssuerPrivateKeyTypes | None = None,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    return (key or rsa_key()).private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


PASTED: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "escaped breaks": lambda text: text.replace("\n", "\\n"),
    "escaped CRLF": lambda text: text.replace("\n", "\\r\\n"),
    "escaped twice": lambda text: json.dumps(text)[1:-1].replace("\\n", "\\\\n"),
    "one line": lambda text: text.replace("\n", ""),
    "one line with blanks": lambda text: text.replace("\n", " "),
    "two dashes": lambda text: text.replace("-----", "--").replace("\n", ""),
    "blanks around": lambda text: f"\n\t  {text}  \n\n",
    "byte order mark": lambda text: "\ufeff" + text,
    "indented": lambda text: text.replace("\n", "\n    "),
    "tabs": lambda text: text.replace("\n", "\n\t"),
    "old Macintosh breaks": lambda text: text.replace("\n", "\r"),
    "empty lines between": lambda text: text.replace("\n", "\n\n"),
    "no break at the end": lambda text: text.rstrip("\n"),
    "three dashes": lambda text: text.replace("-----", "---"),
    "seven dashes": lambda text: text.replace("-----", "-------"),
    "escaped tabs": lambda text: text.replace("\n", "\\n\\t"),
    "text after it": lambda text: text + "\nThe end.\n",
    "no padding": lambda text: text.replace("=", ""),
    "bag attributes": lambda text: f"Bag Attributes\n    friendlyName: client\nKey Attributes: <No Attributes>\n{text}",
}


PAIRS: dict[str, tuple[Callable[[], CertificateIssuerPrivateKeyTypes], PrivateFormat]] = {
    "RSA, PKCS#8": (rsa_key, PrivateFormat.PKCS8),
    "RSA, PKCS#1": (rsa_key, PrivateFormat.TraditionalOpenSSL),
    "curve, PKCS#8": (curve_key, PrivateFormat.PKCS8),
    "curve, SEC1": (curve_key, PrivateFormat.TraditionalOpenSSL),
    "Edwards": (edwards_key, PrivateFormat.PKCS8),
}

SHORTENED = ("--BEGIN {0}--kCFG...QJvW3--END {0}--", "--BEGIN {0}--kCFG\u2026QJvW3--END {0}--")
MANGLED: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda _: "", "contains only blanks"),
    "only blanks": (lambda _: " \r\n\t ", "contains only blanks"),
    "only a byte order mark": (lambda _: "\ufeff", "contains only blanks"),
    "prose": (lambda _: "my certificate", "not PEM"),
    "HTML": (lambda _: "<!DOCTYPE html><html><body>Sign in</body></html>", "not PEM"),
    "JSON around nothing": (lambda _: "{}", "not PEM"),
    "a path instead of its content": (lambda _: "/etc/ssl/client.pem", "not PEM"),
    "base64 of the binary": (lambda text: "".join(text.splitlines()[1:-1]), "BEGIN and END lines are missing"),
    "base64 on lines": (lambda text: "\n".join(text.splitlines()[1:-1]), "BEGIN and END lines are missing"),
    "base64 that spells the words": (lambda _: "MIIBEGIN\nENDxEND+BEGIN/\n" * 8, "BEGIN and END lines are missing"),
    "the binary itself": (lambda text: der(text).decode("latin-1"), "DER"),
    "an SSH key": (lambda _: "ssh-rsa AAAAB3Nz me@host", "SSH key"),
    "an SSH curve key": (lambda _: "ecdsa-sha2-nistp256 AAAAE2Vj me@host", "SSH key"),
    "cut off in the middle": (lambda text: text[: len(text) // 2], "no END line"),
    "cut off before its END": (lambda text: text[: text.index("-----END")], "no END line"),
    "begun too late": (lambda text: text[text.index("\n") + 1 :], "no BEGIN line"),
    "one dash each": (lambda text: text.replace("-----", "-"), "damaged"),
    "no dashes": (lambda text: text.replace("-----", ""), "damaged"),
    "typographic dashes": (lambda text: text.replace("-----", "\u2014\u2014"), "damaged"),
    "BEGIN in small letters": (lambda text: text.replace("BEGIN", "begin"), "no BEGIN line"),
    "ended as another kind": (lambda text: re.sub("END .*?-", "END SOMETHING-", text), "END line of another kind"),
    "shortened with dots": (lambda text: SHORTENED[0].format(label_of(text)), "shortened with dots"),
    "shortened with an ellipsis": (lambda text: SHORTENED[1].format(label_of(text)), "shortened with dots"),
    "nothing within": (lambda text: within(text, ""), "empty"),
    "a letter that is none of base64": (lambda text: replaced(text, 100, "!"), "not valid base64"),
    "a letter of another script": (lambda text: replaced(text, 100, "\u0430"), "not valid base64"),
    "a null within": (lambda text: replaced(text, 100, "\0"), "not valid base64"),
    "quoted as in mail": (lambda text: text.replace("\n", "\n> "), "not valid base64"),
    "numbered lines": (lambda text: text.replace("\n", "\n1) "), "not valid base64"),
    "zeros for its content": (lambda text: within(text, "A" * 64), "cannot be read"),
    "a line lost": (lambda text: "".join(text.splitlines(keepends=True)[:3] + text.splitlines(keepends=True)[4:]),
                    "cannot be read"),
    "its last line lost": (lambda text: "".join([*text.splitlines(keepends=True)[:-2], text.splitlines()[-1]]),
                           "cannot be read"),
    "huge, of blanks": (lambda _: " " * 60_000, "contains only blanks"),
    "huge, of dashes": (lambda _: "-" * 60_000, "not PEM"),
    "huge, of one letter": (lambda text: within(text, "A" * 60_000), "cannot be read"),
}  # fmt: skip
"""Expected result of a text, and words of the sentence that refuses it."""

ENCRYPTED = BestAvailableEncryption(b"secret")
WRONG_CERTIFICATES: dict[str, tuple[Callable[[], str], str]] = {
    "a signing request": (request, "signing request"),
    "a signing request of Microsoft's": (
        lambda: request().replace("CERTIFICATE", "NEW CERTIFICATE"),
        "signing request",
    ),
    "a public key": (lambda: public(PublicFormat.SubjectPublicKeyInfo), "public key"),
    "a public key, PKCS#1": (lambda: public(PublicFormat.PKCS1), "public key"),
    "a key": (key_text, "contains a private key"),
    "an encrypted key": (lambda: key_text(encryption=ENCRYPTED), "contains a private key"),
    "a key before the certificate": (lambda: key_text() + certificate(), "contains a private key"),
    "a key after the certificate": (lambda: certificate() + key_text(), "contains a private key"),
    "a bundle of PKCS#7": (lambda: labelled("PKCS7"), "PKCS#7"),
    "a revocation list": (lambda: labelled("X509 CRL"), "something else"),
    "only parameters": (lambda: labelled("EC PARAMETERS"), "only parameters"),
}
OLD_CERTIFICATES: dict[str, tuple[Callable[[], str], str]] = {
    "expired": (lambda: certificate(end=-1), "The certificate expired on 2027-01-14 08:00 UTC"),
    "not yet valid": (lambda: certificate(begin=1), "is not valid before 2027-01-16 08:00 UTC"),
    "an expired one in its chain": (
        lambda: certificate() + certificate(curve_key(), end=-1), "Certificate 2 of the chain expired on 2027-01-14"),
    "one to come in its chain": (
        lambda: certificate() + certificate(curve_key(), begin=1), "Certificate 2 of the chain is not valid before"),
    "a short RSA key": (lambda: certificate(rsa_key(1024)), "at least 2048 bits, this one has 1024"),
    "a short curve": (lambda: certificate(curve_key(ec.SECP192R1)), "at least 224 bits, this one has 192"),
    "a DSA key": (lambda: certificate(dsa_key()), "DSA"),
    "too many": (lambda: certificate(curve_key()) * 201, "more than 200"),
}  # fmt: skip
WRONG_KEYS: dict[str, tuple[Callable[[], str], str]] = {
    "encrypted, PKCS#8": (lambda: key_text(encryption=ENCRYPTED), "encrypted; remove the passphrase"),
    "encrypted, PKCS#1": (
        lambda: key_text(form=PrivateFormat.TraditionalOpenSSL, encryption=ENCRYPTED), "encrypted; remove"),
    "encrypted, SEC1": (
        lambda: key_text(curve_key(), PrivateFormat.TraditionalOpenSSL, ENCRYPTED), "encrypted; remove"),
    "encrypted, on one line": (
        lambda: key_text(encryption=ENCRYPTED).replace("\n", ""), "encrypted; remove the passphrase"),
    "a certificate": (certificate, "This is a certificate"),
    "a certificate, two dashes": (lambda: PASTED["two dashes"](certificate()), "This is a certificate"),
    "the certificate with it": (lambda: key_text() + certificate(), "This is a certificate"),
    "a signing request": (request, "signing request"),
    "a public key": (lambda: public(PublicFormat.SubjectPublicKeyInfo), "public key"),
    "a public key, PKCS#1": (lambda: public(PublicFormat.PKCS1), "public key"),
    "OpenSSH's format": (lambda: key_text(curve_key(), PrivateFormat.OpenSSH), "OpenSSH"),
    "two keys": (lambda: key_text() + key_text(curve_key()), "more than one private key"),
    "a short RSA key": (lambda: key_text(rsa_key(1024)), "at least 2048 bits"),
    "a short curve": (lambda: key_text(curve_key(ec.SECP192R1)), "at least 224 bits"),
    "a DSA key": (lambda: key_text(dsa_key()), "DSA"),
    "a DSA key, OpenSSL's own form": (lambda: key_text(dsa_key(), PrivateFormat.TraditionalOpenSSL), "DSA"),
    "a certificate under a key's label": (lambda: relabelled(certificate(), "PRIVATE KEY"), "cannot be read"),
    "only parameters": (lambda: labelled("EC PARAMETERS"), "only parameters"),
}  # fmt: skip
