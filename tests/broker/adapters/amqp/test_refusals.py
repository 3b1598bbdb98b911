"""A connection that cannot be opened raises a fault with its reason."""

import json

import trustme

from chalicelib.config import Settings
from chalicelib.domain.connection import ConnectionSecrets
from chalicelib.errors import BrokerMisconfigured, BrokerRefused, BrokerUnreachable
from tests.broker.passage import passing_on
from tests.broker.support import Site, descriptors, refusal, unique


def test_forbidden_exchange_declaration_is_a_misconfiguration(site: Site) -> None:
    user, secrets = site.user_with(write=".*", read=".*")
    exchange = unique("exchange")
    fault = refusal(site.connection(username=user, exchange_name=exchange), secrets)
    assert isinstance(fault, BrokerMisconfigured)
    assert fault.type == "PERMISSION_REFUSED"
    assert str(fault).startswith(f"The exchange {exchange} is missing, and the user {user} may not declare it (")
    assert str(fault).endswith("). Create it, or grant configure permission on it.")


def test_missing_exchange_with_reserved_name_asks_for_another_name(site: Site) -> None:
    fault = refusal(site.connection(exchange_name="amq.nothing"), site.secrets)
    assert fault.type == "PERMISSION_REFUSED"
    assert str(fault).startswith("The exchange amq.nothing is missing")
    assert str(fault).endswith(". Set exchangeName to an existing exchange such as amq.topic.")


def test_wrong_password_is_refused(site: Site) -> None:
    before = descriptors()
    fault = refusal(site.connection(), ConnectionSecrets(password="not-the-password"))
    assert descriptors() <= before
    assert isinstance(fault, BrokerRefused)
    assert fault.type == "LOGIN_REFUSED"
    assert "not-the-password" not in str(fault)


def test_connection_without_username_logs_in_as_guest(site: Site) -> None:
    fault = refusal(site.connection(username=None), ConnectionSecrets())
    assert fault.type == "LOGIN_REFUSED"
    assert "guest" in str(fault)
    assert "Set username and password" in str(fault)


def test_refused_virtual_host_quotes_the_broker(site: Site) -> None:
    user, secrets = site.user_with()
    site.api("DELETE", f"permissions/%2F/{user}")
    fault = refusal(site.connection(username=user), secrets)
    assert fault.type == "VIRTUAL_HOST_REFUSED"
    assert f"(NOT_ALLOWED - access to vhost '/' refused for user '{user}')" in str(fault)


def test_unknown_virtual_host_is_a_misconfiguration(site: Site) -> None:
    fault = refusal(site.connection(virtual_host="nowhere"), site.secrets)
    assert isinstance(fault, BrokerMisconfigured)
    assert fault.type == "VIRTUAL_HOST_REFUSED"
    assert "nowhere" in str(fault)


def test_broker_certificate_of_another_authority_is_untrusted(site: Site) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    fault = refusal(
        site.tls_connection(), site.tls_secrets.model_copy(update={"trusted_ca_certificate": other})
    )  # fmt: skip
    assert isinstance(fault, BrokerUnreachable)
    assert fault.type == "CERTIFICATE_UNTRUSTED"
    without = refusal(site.tls_connection(), site.tls_secrets.model_copy(update={"trusted_ca_certificate": None}))
    assert without.type == "CERTIFICATE_UNTRUSTED"


def test_name_in_broker_certificate_is_verified(site: Site) -> None:
    # The certificate contains 127.0.0.1 and localhost, but not this loopback address.
    with passing_on(site.broker.config.tls_port, host="127.0.0.2") as passage:
        fault = refusal(site.tls_connection(host_name=f"127.0.0.2:{passage.port}"), site.tls_secrets)
    assert fault.type == "CERTIFICATE_NAME"


def test_client_certificate_of_another_authority_is_refused(site: Site) -> None:
    leaf = trustme.CA().issue_cert("x@localhost", common_name=site.user)
    stranger = site.tls_secrets.model_copy(
        update={
            "certificate": leaf.cert_chain_pems[0].bytes().decode(),
            "private_key": leaf.private_key_pem.bytes().decode(),
        }
    )
    fault = refusal(site.tls_connection(), stranger)
    assert isinstance(fault, BrokerRefused)
    assert fault.type == "CLIENT_CERTIFICATE_REFUSED"


def test_missing_client_certificate_is_reported(site: Site) -> None:
    secrets = ConnectionSecrets(
        password=site.secrets.password, trusted_ca_certificate=site.tls_secrets.trusted_ca_certificate
    )
    fault = refusal(site.tls_connection(username=site.user), secrets)
    assert isinstance(fault, BrokerRefused)
    assert fault.type == "CLIENT_CERTIFICATE_MISSING"


def test_private_key_of_another_certificate_is_reported(site: Site) -> None:
    key = trustme.CA().issue_cert("x").private_key_pem.bytes().decode()
    fault = refusal(site.tls_connection(), site.tls_secrets.model_copy(update={"private_key": key}))
    assert fault.type == "CERTIFICATE_UNUSABLE"


def test_port_of_another_protocol_is_reported(site: Site) -> None:
    config = site.broker.config
    plain = refusal(site.connection(host_name=f"127.0.0.1:{config.tls_port}"), site.secrets)
    assert plain.type == "PROTOCOL_MISMATCH"
    tls = refusal(site.tls_connection(host_name=f"localhost:{config.port}"), site.tls_secrets)
    assert tls.type == "TLS_NOT_SPOKEN"
    web = refusal(site.connection(host_name=f"127.0.0.1:{config.management_port}"), site.secrets)
    assert web.type in {"PROTOCOL_MISMATCH", "CONNECTION_TIMEOUT", "PROTOCOL_ERROR"}


def test_closed_port_unknown_name_and_forbidden_address_are_reported(site: Site) -> None:
    assert refusal(site.connection(host_name="127.0.0.1:1"), site.secrets).type == "CONNECTION_REFUSED"
    assert refusal(site.connection(host_name="no-such-host.invalid"), site.secrets).type == "DNS_FAILURE"
    assert refusal(site.connection(host_name="a" * 70 + ".invalid"), site.secrets).type == "DNS_FAILURE"
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "169.254.169.254"):
        fault = refusal(site.connection(host_name=host), site.secrets, Settings())
        assert fault.type == "ADDRESS_FORBIDDEN"


def test_name_is_verified_in_every_spelling(site: Site) -> None:
    for host in ("127.1", "localhost", "2130706433"):
        connection = site.tls_connection(host_name=f"{host}:{site.broker.config.tls_port}")
        with site.publisher(connection, site.tls_secrets) as publisher:
            assert publisher.usable


def test_fault_text_is_one_line_and_valid_json(site: Site) -> None:
    fault = refusal(site.connection(virtual_host="a\n\x07b\u202e" + "c" * 200), site.secrets)
    text = str(fault)
    assert "\n" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert json.loads(json.dumps(text)) == text
