"""TLS context: which certificates of a broker are trusted."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib.adapters.amqp.tls import tls_context
from chalicelib.domain.connection import ConnectionSecrets

HOST = "broker.example"


@dataclass(frozen=True)
class Signed:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def issue(name: str, by: Signed | None, *, authority: bool) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return Signed(builder.sign(by.key if by else key, hashes.SHA256()), key)


@pytest.fixture(scope="module")
def chain() -> dict[str, Signed]:
    root = issue("root", None, authority=True)
    intermediate = issue("intermediate", root, authority=True)
    return {
        "root": root,
        "intermediate": intermediate,
        "leaf": issue(HOST, intermediate, authority=False),
        "another root": issue("another", None, authority=True),
    }


def handshake(trusted: str, chain: dict[str, Signed], directory: Path) -> None:
    """Connect to a broker that sends leaf and intermediate. Raises ssl.SSLError."""
    leaf = chain["leaf"]
    key = leaf.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "chain.pem").write_text(leaf.pem + chain["intermediate"].pem + key.decode())
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(directory / "chain.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = tls_context(ConnectionSecrets(trusted_ca_certificate=trusted)).wrap_bio(
        to_client, to_server, server_hostname=HOST
    )
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)


@pytest.mark.parametrize("trusted", ["root", "intermediate", "leaf"])
def test_broker_is_trusted_by_any_certificate_of_its_chain(
    chain: dict[str, Signed], tmp_path: Path, trusted: str
) -> None:
    handshake(chain[trusted].pem, chain, tmp_path)


def test_broker_of_another_authority_is_not_trusted(chain: dict[str, Signed], tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(chain["another root"].pem, chain, tmp_path)


def test_chain_does_not_replace_the_check_of_the_name(chain: dict[str, Signed], tmp_path: Path) -> None:
    other = {**chain, "leaf": issue("other.example", chain["intermediate"], authority=False)}
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(chain["intermediate"].pem, other, tmp_path)


def test_connections_without_pem_texts_share_a_context(chain: dict[str, Signed]) -> None:
    # Given connections to brokers with certificates of public authorities
    shared = tls_context(ConnectionSecrets())
    of_system = shared.get_ca_certs()
    # Then they share a context, with the rules of all others
    assert tls_context(ConnectionSecrets(password="secret")) is shared
    assert (shared.verify_mode, shared.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert shared.minimum_version is ssl.TLSVersion.TLSv1_2
    # And a connection with a CA trusts that CA alone
    trusting = ConnectionSecrets(trusted_ca_certificate=chain["root"].pem)
    assert tls_context(trusting) is not tls_context(trusting)
    assert len(tls_context(trusting).get_ca_certs()) == 1
    assert shared.get_ca_certs() == of_system
