"""Certificates and keys are taken in every form in which people paste them, and refused with a reason."""

import base64
import re
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.validation.certificates import check_ca, check_certificate_pair, normalise_pem
from chalicelib.errors import PemError
from tests.corpora.pem_texts import NOW, PASTED, certificate, curve_key, key_text, name_of, rsa_key
from tests.timing import thread_seconds


@pytest.mark.parametrize("form", PASTED)
@pytest.mark.parametrize("key_form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("make", [rsa_key, curve_key])
def test_every_pasted_form_is_the_same_pair(
    form: str, key_form: PrivateFormat, make: Callable[[], CertificateIssuerPrivateKeyTypes]
) -> None:
    chain = certificate(make()) + certificate(curve_key(), common_name="CA")
    key = key_text(make(), key_form)
    paste = PASTED[form]
    assert normalise_pem(paste(chain)) == chain
    assert normalise_pem(paste(key)) == key
    assert normalise_pem(normalise_pem(paste(key))) == key
    assert check_certificate_pair(paste(chain), paste(key), NOW) == []


def test_a_curve_key_may_come_with_its_parameters() -> None:
    key = key_text(curve_key(), PrivateFormat.TraditionalOpenSSL)
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert normalise_pem(parameters + key) == key


def test_an_edwards_key_is_as_good() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    assert check_certificate_pair(certificate(key), key_text(key), NOW) == []


BODY = "A" * 64
REQUEST = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(name_of("client"))
    .sign(curve_key(), hashes.SHA256())
    .public_bytes(Encoding.PEM)
    .decode()
)
PUBLIC = curve_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
DER = base64.b64decode("".join(certificate().splitlines()[1:-1]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("   ", "contains only blanks"),
        ("hello", "not PEM"),
        (base64.b64encode(DER).decode(), "BEGIN and END lines are missing"),
        (DER.decode("latin-1"), "DER"),
        ("ssh-rsa AAAA me@host", "SSH"),
        ("BEGIN CERTIFICATE\nAAAA", "damaged"),
        (certificate()[:500], "no END line"),
        (certificate()[30:], "no BEGIN line"),
        (certificate().replace("-----END CERTIFICATE", "-----END PRIVATE KEY"), "another kind"),
        ("--BEGIN CERTIFICATE--kCFG...QJvW3--END CERTIFICATE--", "shortened with dots"),
        ("--BEGIN CERTIFICATE--kCFG\u2026QJvW3--END CERTIFICATE--", "shortened with dots"),
        ("--BEGIN CERTIFICATE----END CERTIFICATE--", "BEGIN|damaged|empty|END"),
        ("--BEGIN CERTIFICATE-- --END CERTIFICATE--", "empty"),
        ("--BEGIN CERTIFICATE--kC!G--END CERTIFICATE--", "not valid base64"),
        ("--BEGIN CERTIFICATE--kCFGA=--END CERTIFICATE--", "not valid base64"),
        (f"--BEGIN CERTIFICATE--{BODY}--END CERTIFICATE--", "cannot be read"),
        (REQUEST, "signing request"),
        (PUBLIC, "public key"),
        (key_text(), "field for the private key"),
        (certificate() + key_text(), "field for the private key"),
        (certificate(end=-1), "expired on 2027-01-14"),
        (certificate(begin=5), "not valid before 2027-01-20"),
        (certificate() + certificate(curve_key(), end=-1), "Certificate 2 of the chain expired"),
        (certificate(rsa_key(1024)), "at least 2048"),
    ],
)
def test_an_unusable_certificate_is_refused_with_the_reason(text: str, words: str) -> None:
    violations = check_certificate_pair(text, None, NOW)
    assert [violation.pointer for violation in violations] == ["/configuration/certificate"]
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(violations[0].detail)


DSA = (
    dsa.generate_private_key(1024)  # noqa: S505  # it is here to be refused
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
ENCRYPTED = BestAvailableEncryption(b"secret")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (key_text(encryption=ENCRYPTED), "encrypted"),
        (key_text(form=PrivateFormat.TraditionalOpenSSL, encryption=ENCRYPTED), "encrypted"),
        (certificate(), "This is a certificate"),
        (REQUEST, "signing request"),
        (PUBLIC, "public key"),
        (key_text(curve_key(), PrivateFormat.OpenSSH), "OpenSSH"),
        (key_text() + key_text(curve_key()), "more than one"),
        (f"--BEGIN PRIVATE KEY--{BODY}--END PRIVATE KEY--", "cannot be read"),
        ("--BEGIN RSA PRIVATE KEY--MIIEow...HHK7--END RSA PRIVATE KEY--", "shortened with dots"),
        (key_text(rsa_key(1024)), "at least 2048"),
        (DSA, "DSA"),
    ],
)
def test_an_unusable_key_is_refused_with_the_reason_and_without_its_text(text: str, words: str) -> None:
    violations = check_certificate_pair(None, text, NOW)
    assert [violation.pointer for violation in violations] == ["/configuration/privateKey"]
    assert words in violations[0].detail
    assert not any(line in violations[0].detail for line in text.splitlines()[1:-1] if line)


def test_a_key_of_another_certificate_is_refused() -> None:
    violations = check_certificate_pair(certificate(curve_key()), key_text(), NOW)
    assert [violation.pointer for violation in violations] == ["/configuration/privateKey"]
    assert "does not belong" in violations[0].detail


def test_the_clients_own_certificate_comes_first() -> None:
    violations = check_certificate_pair(certificate(curve_key()) + certificate(), key_text(), NOW)
    assert "certificate first" in violations[0].detail


def test_all_that_is_wrong_with_a_pair_is_said_at_once() -> None:
    violations = check_certificate_pair(certificate(end=-1), key_text(curve_key(), encryption=ENCRYPTED), NOW)
    assert [violation.pointer for violation in violations] == [
        "/configuration/certificate",
        "/configuration/privateKey",
    ]


def test_a_bundle_of_cas_may_have_some_that_expired() -> None:
    assert check_ca(certificate() + certificate(end=-1), NOW) == []
    assert "expired" in check_ca(certificate(end=-1), NOW)[0].detail
    assert check_ca(key_text(), NOW)[0].pointer == "/configuration/trustedCaCertificate"


def damaged(text: str) -> Iterator[str]:
    """The same PEM with each byte of its content changed in four ways."""
    begin, *lines, end = text.splitlines()
    content = base64.b64decode("".join(lines))
    for at in range(len(content)):
        for change in (0x01, 0x20, 0x80, 0xFF):
            changed = content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]
            yield "\n".join((begin, base64.b64encode(changed).decode(), end))


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_whatever_byte_is_damaged_there_are_only_sentences() -> None:
    whole, key = certificate(curve_key()), key_text(curve_key())
    found = [
        violation
        for text in damaged(whole)
        for violation in check_certificate_pair(text, key, NOW) + check_ca(text, NOW)
    ]
    found += [violation for text in damaged(key) for violation in check_certificate_pair(whole, text, NOW)]
    sentences = {violation.detail for violation in found}
    assert all(re.fullmatch(r"[A-Z].*\.", sentence) for sentence in sentences)
    assert "The certificate cannot be read; export it again and paste the whole file." in sentences
    assert any("its signature algorithm is unknown" in sentence for sentence in sentences)


@given(st.text(alphabet="-BEGINEDCRTIFAPVKY \\n\n.:A=", max_size=200))
def test_any_text_is_normalised_or_refused(text: str) -> None:
    try:
        normal = normalise_pem(text)
    except PemError:
        return
    assert normalise_pem(normal) == normal


@pytest.mark.parametrize("unit", ["-", "--BEGIN ", "--BEGIN CERTIFICATE--", "- ", "--BEGIN A ", " ", "\\n"])
def test_a_hostile_text_is_refused_quickly(unit: str) -> None:
    spent: list[float] = []
    # The processor's time of this thread, the least of three: what else the machine does is not counted.
    for _ in range(3):
        with thread_seconds(spent), pytest.raises(PemError):
            normalise_pem(unit * (32_768 // len(unit)))
    assert min(spent) < 0.5
