"""The connection test against a real broker finds each common mistake at its step and leaves nothing behind."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from chalicelib.adapters.amqp.tester import AmqpConnectionTester
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckStep
from infra.local.waiting import wait_until
from tests.broker.scripted_server import scripted_server
from tests.broker.support import LOCAL, Site, unique

PLAIN = ["resolve", "connect", "authenticate", "vhost", "exchange", "downlink"]
TLS = ["resolve", "connect", "tls", "authenticate", "vhost", "exchange", "downlink"]


def check(
    connection: Connection, secrets: ConnectionSecrets, settings: Settings = LOCAL, seconds: float = 20.0
) -> list[CheckStep]:
    return AmqpConnectionTester(settings).test(connection, secrets, time.monotonic() + seconds)


def expect_failure(steps: list[CheckStep], name: str, *words: str) -> None:
    """Assert that the last step is ``name``, that only it failed, and that its sentence contains the words."""
    assert steps[-1].name == name, steps
    assert [step.ok for step in steps] == [True] * (len(steps) - 1) + [False], steps
    for word in words:
        assert word in steps[-1].detail, steps[-1].detail


def resources_at(site: Site) -> dict[str, list[str]]:
    """Return the queues, exchanges and bindings of the broker."""
    return {
        kind: sorted(f"{one.get('name')} {one.get('source')} {one.get('routing_key')}" for one in site.api("GET", kind))
        for kind in ("queues", "exchanges", "bindings")
    }


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for each in held:
            each.close()


@pytest.mark.parametrize(("tls", "names"), [(False, PLAIN), (True, TLS)], ids=["plain", "mutual TLS"])
def test_good_connection_passes_every_step_and_leaves_nothing_behind(site: Site, tls: bool, names: list[str]) -> None:
    # Given
    connection = site.tls_connection() if tls else site.connection()
    before = resources_at(site)

    # When
    steps = check(connection, site.tls_secrets if tls else site.secrets)

    # Then
    assert [step.name for step in steps] == names
    assert all(step.ok for step in steps), steps
    assert all(step.detail.endswith(".") for step in steps)
    assert resources_at(site) == before
    assert wait_until(lambda: not site.connections_named(f"acme/ConnectionId.{connection.id}#test"), 15)


def test_connection_without_downlinks_skips_the_downlink_step(site: Site) -> None:
    connection = site.connection(downlink_enabled=False, downlink_topic_pattern=None)
    assert [step.name for step in check(connection, site.secrets)] == PLAIN[:-1]


def test_connection_test_publishes_nothing(site: Site) -> None:
    queue = unique("all")
    with site.channel() as channel:
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, "amq.topic", "#")
        check(site.connection(), site.secrets)
        assert channel.basic_get(queue)[0] is None
        channel.queue_delete(queue)


# Common mistakes


def test_closed_port_fails_connect(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    expect_failure(check(site.connection(host_name=f"127.0.0.1:{port}"), site.secrets), "connect", "Check the port")


def test_port_of_another_protocol_fails_authenticate(site: Site) -> None:
    connection = site.connection(host_name=f"127.0.0.1:{site.broker.config.management_port}")
    expect_failure(check(connection, site.secrets), "authenticate", "AMQP")


def test_tcp_at_the_tls_port_fails_authenticate(site: Site) -> None:
    connection = site.connection(host_name=f"127.0.0.1:{site.broker.config.tls_port}")
    expect_failure(check(connection, site.secrets), "authenticate", "SSL")


def test_ssl_at_the_tcp_port_fails_tls(site: Site) -> None:
    connection = site.tls_connection(host_name=f"localhost:{site.broker.config.port}")
    expect_failure(check(connection, site.tls_secrets), "tls", "TCP or the TLS port")


def test_wrong_password_fails_authenticate(site: Site) -> None:
    steps = check(site.connection(), ConnectionSecrets(password="not-it"))
    expect_failure(steps, "authenticate", site.user, "password")
    assert "not-it" not in str(steps)


def test_unknown_virtual_host_fails_vhost(site: Site) -> None:
    expect_failure(check(site.connection(virtual_host="nowhere"), site.secrets), "vhost", "nowhere", "virtualHost")


@pytest.mark.parametrize(
    ("permissions", "step", "word"),
    [
        ({"configure": ".*", "read": ".*"}, "exchange", "Grant write"),
        ({"configure": ".*", "write": ".*"}, "downlink", "exchange 'amq.topic'"),
        ({"write": ".*", "read": ".*"}, "downlink", "queue 'iot-flow."),
    ],
)
def test_missing_permission_fails_its_step(site: Site, permissions: dict[str, str], step: str, word: str) -> None:
    user, secrets = site.user_with(**permissions)
    expect_failure(check(site.connection(username=user), secrets), step, word, "Grant")


def test_user_with_minimal_permissions_passes(site: Site) -> None:
    user, secrets = site.user_with(write="^amq\\.topic$")
    publishing = site.connection(username=user, downlink_enabled=False, downlink_topic_pattern=None)
    assert all(step.ok for step in check(publishing, secrets))
    own = "^iot-flow\\..*$"
    user, secrets = site.user_with(configure=own, write=f"{own}|^amq\\.topic$", read=f"{own}|^amq\\.topic$")
    assert all(step.ok for step in check(site.connection(username=user), secrets))


def test_missing_exchange_is_not_declared(site: Site) -> None:
    exchange = unique("exchange")
    expect_failure(check(site.connection(exchange_name=exchange), site.secrets), "exchange", exchange, "Create it")
    assert exchange not in [one["name"] for one in site.api("GET", "exchanges")]


def test_missing_exchange_with_reserved_name_fails_exchange(site: Site) -> None:
    steps = check(site.connection(exchange_name="amq.nothing"), site.secrets)
    expect_failure(steps, "exchange", "amq.nothing is missing", "Set exchangeName", "amq.topic")


def test_missing_username_and_certificate_fail_authenticate(site: Site) -> None:
    steps = check(site.connection(username=None), ConnectionSecrets())
    expect_failure(steps, "authenticate", "guest", "Set username and password")


def test_wrong_authority_fails_tls(site: Site) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    secrets = site.tls_secrets.model_copy(update={"trusted_ca_certificate": other})
    expect_failure(check(site.tls_connection(), secrets), "tls", "trustedCaCertificate")


def test_certificate_for_another_name_fails_tls(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    port = site.broker.config.tls_port
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", port))])
    connection = site.tls_connection(host_name=f"other.test:{port}")
    steps = check(connection, site.tls_secrets)
    expect_failure(steps, "tls", "another name")


def test_untrusted_client_certificate_fails_tls(site: Site) -> None:
    stranger = trustme.CA().issue_cert("stranger")
    secrets = site.tls_secrets.model_copy(
        update={
            "certificate": stranger.cert_chain_pems[0].bytes().decode(),
            "private_key": stranger.private_key_pem.bytes().decode(),
        }
    )
    expect_failure(check(site.tls_connection(), secrets), "tls", "client certificate")


def test_missing_client_certificate_fails_tls(site: Site) -> None:
    secrets = ConnectionSecrets(
        trusted_ca_certificate=site.tls_secrets.trusted_ca_certificate, password=site.secrets.password
    )
    expect_failure(check(site.tls_connection(username=site.user), secrets), "tls", "Set certificate and privateKey")


def test_unusable_certificate_fails_tls(site: Site) -> None:
    secrets = site.tls_secrets.model_copy(update={"certificate": "-----BEGIN NOTHING-----"})
    expect_failure(check(site.tls_connection(), secrets), "tls", "Set them again")


def test_unknown_name_fails_resolve(site: Site) -> None:
    connection = site.connection(host_name="no-such-broker.invalid")
    expect_failure(check(connection, site.secrets), "resolve", "hostName")


def test_name_of_a_private_address_fails_resolve(site: Site) -> None:
    connection = site.connection(host_name=f"localhost:{site.broker.config.port}")
    expect_failure(check(connection, site.secrets, Settings()), "resolve", "public name")


# Time


@pytest.mark.parametrize("tls", [False, True])
def test_silent_broker_fails_its_step_within_the_timeout(site: Site, tls: bool) -> None:
    with silent_server() as port:
        fields: dict[str, Any] = {"host_name": f"localhost:{port}", "connection_timeout": 400}
        connection = site.tls_connection(**fields) if tls else site.connection(**fields)
        began = time.monotonic()
        steps = check(connection, site.tls_secrets)
        assert time.monotonic() - began < 3
    step = "tls" if tls else "authenticate"
    expect_failure(steps, step, f"step {step}")


def test_deadline_overrides_a_longer_connection_timeout(site: Site) -> None:
    with silent_server() as port:
        connection = site.connection(host_name=f"127.0.0.1:{port}", connection_timeout=10_000)
        began = time.monotonic()
        expect_failure(check(connection, site.secrets, seconds=0.5), "authenticate")
        assert time.monotonic() - began < 3


def test_second_address_is_tried_within_the_same_steps(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    port = site.broker.config.port
    records = [(2, 1, 6, "", (address, port)) for address in ("127.0.0.9", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: records)
    steps = check(site.connection(host_name=f"two.test:{port}"), site.secrets)
    assert [step.name for step in steps] == PLAIN
    assert all(step.ok for step in steps)


def test_broker_without_publisher_confirms_fails_the_exchange_step(site: Site) -> None:
    with scripted_server(capabilities={"basic.nack": True}) as port:
        steps = check(site.connection(host_name=f"127.0.0.1:{port}"), site.secrets)
    expect_failure(steps, "exchange", "does not support publisher confirms")
