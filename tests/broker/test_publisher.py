"""Publishing to a real broker, plain and with mutual TLS, and every way in which it goes wrong."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from chalicelib.amqp_publisher import AmqpPublisherFactory
from chalicelib.config import Settings
from chalicelib.delivery import DELIVERED, Result
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerRefused, BrokerUnreachable
from chalicelib.models import Connection, ConnectionSecrets
from chalicelib.ports import PublishResult
from infra.local.delay_proxy import delaying_proxy
from infra.local.waiting import wait_until
from tests.broker.support import LOCAL, Site, outgoing, unique

PRECISE = 0.6
"""Seconds by which a deadline may be missed on a busy machine."""


def bound_queue(site: Site, key: str, **arguments: Any) -> str:
    queue = unique("queue")
    with site.channel() as channel:
        channel.queue_declare(queue, durable=True, arguments=arguments)
        channel.queue_bind(queue, "amq.topic", key)
    return queue


def taken(site: Site, queue: str) -> list[tuple[Any, Any, bytes]]:
    """All that is in a queue, in order."""
    with site.channel() as channel:
        found = []
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(got)
        return found


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def results(result: PublishResult) -> dict[str, str]:
    return {key: outcome.reason or outcome.result.value for key, outcome in result.outcomes.items()}


def refusal(connection: Connection, secrets: ConnectionSecrets, settings: Settings = LOCAL) -> BrokerFault:
    """What opening a publisher is refused with."""
    with pytest.raises(BrokerFault) as caught:
        AmqpPublisherFactory(settings).open(connection, secrets, soon(10))
    return caught.value


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "mutual TLS"])
def test_a_message_arrives_with_its_properties_and_headers(site: Site, tls: bool) -> None:
    # Given
    key = unique("key")
    queue = bound_queue(site, key)
    connection = site.tls_connection() if tls else site.connection()
    headers = {"devEUI": "70B3D5", "fPort": 7, "fCntUp": 2**40, "customerId": "1", "connectionId": "01J"}
    body = '{"DevEUI_uplink": {"name": "Zürich"}}'.encode()

    # When
    with site.publisher(connection, site.tls_secrets if tls else site.secrets) as publisher:
        message = outgoing("a", routing_key=key, body=body, timestamp=1_700_000_000, headers=headers)
        result = publisher.publish([message], soon())

    # Then
    assert result.outcomes == {"a": DELIVERED}
    assert result.fault is None
    ((method, properties, received),) = taken(site, queue)
    assert received == body
    assert method.exchange == "amq.topic"
    assert properties.headers == headers
    assert (properties.content_type, properties.content_encoding) == ("application/json", "utf-8")
    assert (properties.delivery_mode, properties.message_id) == (2, "message-a")
    assert (properties.timestamp, properties.type, properties.app_id) == (1_700_000_000, "DevEUI_uplink", "iot-flow")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "mutual TLS"])
def test_the_broker_shows_whose_connection_it_is(site: Site, tls: bool) -> None:
    connection = site.tls_connection() if tls else site.connection()
    name = f"acme/ConnectionId.{connection.id}#publisher"
    with site.publisher(connection, site.tls_secrets if tls else site.secrets):
        assert wait_until(lambda: bool(site.connections_named(name)), 15)
        (seen,) = site.connections_named(name)
    assert seen["user"] == site.user
    assert seen["ssl"] is tls
    assert seen["timeout"] == 60
    assert seen["client_properties"]["product"] == "iot-flow-amqp"
    assert seen["client_properties"]["version"]
    if tls:
        assert seen["ssl_protocol"] in {"tlsv1.2", "tlsv1.3"}
        assert seen["auth_mechanism"] == "EXTERNAL"


def test_order_per_device_is_kept_and_all_are_confirmed(site: Site) -> None:
    # Given
    key = unique("key")
    queue = bound_queue(site, f"{key}.*")
    messages = [
        outgoing(f"{number}", group=f"{number % 7}", routing_key=f"{key}.{number % 7}", body=b"%d" % number)
        for number in range(700)
    ]

    # When
    with site.publisher() as publisher:
        result = publisher.publish(messages, soon(20))

    # Then
    assert set(result.outcomes.values()) == {DELIVERED}
    assert len(result.outcomes) == 700
    received = [int(body) for _, _, body in taken(site, queue)]
    assert sorted(received) == list(range(700))
    for device in range(7):
        of_device = [number for number in received if number % 7 == device]
        assert of_device == sorted(of_device)


def test_an_unroutable_message_fails_for_good_and_its_device_goes_on(site: Site) -> None:
    key = unique("key")
    queue = bound_queue(site, key)
    messages = [
        outgoing("routable", group="A", routing_key=key),
        outgoing("nowhere", group="B", routing_key=unique("nowhere")),
        outgoing("after", group="B", routing_key=key),
    ]
    with site.publisher() as publisher:
        result = publisher.publish(messages, soon())
        assert publisher.usable
    assert result.outcomes["routable"] == DELIVERED
    assert results(result)["nowhere"] == "UNROUTABLE"
    assert result.outcomes["nowhere"].result is Result.FAILED
    assert "NO_ROUTE" in result.outcomes["nowhere"].detail
    assert result.outcomes["after"] == DELIVERED
    assert len(taken(site, queue)) == 2


def test_a_refused_message_is_retried_and_holds_back_its_device_only(site: Site) -> None:
    # Given: a queue that takes one message
    full, free = unique("full"), unique("free")
    bound_queue(site, full, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    bound_queue(site, free)
    with site.publisher() as publisher:
        assert publisher.publish([outgoing("0", routing_key=full)], soon()).outcomes["0"] == DELIVERED

        # When
        result = publisher.publish(
            [
                outgoing("1", group="A", routing_key=full),
                outgoing("2", group="A", routing_key=free),
                outgoing("3", group="B", routing_key=free),
            ],
            soon(),
        )

    # Then
    assert results(result) == {"1": "NACKED", "2": "HELD_BACK", "3": "DELIVERED"}
    assert result.outcomes["2"].result is Result.RETRY
    assert result.fault is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"routing_key": "ü" * 128}, "ROUTING_KEY_TOO_LONG"),
        ({"routing_key": "\ud800"}, "MESSAGE_INVALID"),
        ({"headers": {"devEUI": "\ud800"}}, "MESSAGE_INVALID"),
        ({"headers": {"fCntUp": 2**70}}, "MESSAGE_INVALID"),
    ],
)
def test_what_amqp_cannot_carry_fails_alone(site: Site, changes: dict[str, Any], reason: str) -> None:
    key = unique("key")
    bound_queue(site, key)
    bad = outgoing("bad", **{"routing_key": key, **changes})
    with site.publisher() as publisher:
        result = publisher.publish([bad, outgoing("good", routing_key=key)], soon())
    assert results(result) == {"bad": reason, "good": "DELIVERED"}


def test_large_messages_pass_through_the_window(site: Site) -> None:
    key = unique("key")
    queue = bound_queue(site, key)
    body = b"x" * 256 * 1024
    messages = [outgoing(f"{number}", group=f"{number}", routing_key=key, body=body) for number in range(12)]
    with site.publisher() as publisher:
        result = publisher.publish(messages, soon(20))
    assert set(result.outcomes.values()) == {DELIVERED}
    assert {received == body for _, _, received in taken(site, queue)} == {True}


def test_a_missing_exchange_is_declared(site: Site) -> None:
    name = unique("exchange")
    with site.publisher(site.connection(exchange_name=name)) as publisher:
        assert results(publisher.publish([outgoing("1")], soon())) == {"1": "UNROUTABLE"}
    exchange = site.api("GET", f"exchanges/%2F/{name}")
    assert (exchange["type"], exchange["durable"], exchange["auto_delete"]) == ("topic", True, False)


@pytest.mark.parametrize("kind", ["fanout", "headers", "direct"])
def test_an_exchange_of_another_type_is_used_as_it_is(site: Site, kind: str) -> None:
    name = unique("exchange")
    site.api("PUT", f"exchanges/%2F/{name}", {"type": kind, "durable": False, "auto_delete": False})
    with site.publisher(site.connection(exchange_name=name)) as publisher:
        assert results(publisher.publish([outgoing("1")], soon())) == {"1": "UNROUTABLE"}
    assert site.api("GET", f"exchanges/%2F/{name}")["type"] == kind


def test_the_default_exchange_needs_no_check(site: Site) -> None:
    queue = bound_queue(site, unique("key"))
    with site.publisher(site.connection(exchange_name="")) as publisher:
        assert publisher.publish([outgoing("1", routing_key=queue)], soon()).outcomes == {"1": DELIVERED}


def test_an_exchange_that_may_not_be_declared_is_a_misconfiguration(site: Site) -> None:
    user, secrets = site.user_with(write=".*", read=".*")
    fault = refusal(site.connection(username=user, exchange_name=unique("exchange")), secrets)
    assert isinstance(fault, BrokerMisconfigured)
    assert fault.type == "PERMISSION_REFUSED"


def test_missing_write_permission_shows_with_the_first_publish(site: Site) -> None:
    user, secrets = site.user_with(configure=".*", read=".*")
    with site.publisher(site.connection(username=user), secrets) as publisher:
        result = publisher.publish([outgoing("1"), outgoing("2", group="B")], soon())
        assert not publisher.usable
    assert isinstance(result.fault, BrokerMisconfigured)
    assert result.fault.type == "PERMISSION_REFUSED"
    assert {outcome.result for outcome in result.outcomes.values()} == {Result.RETRY}
    assert len(result.outcomes) == 2


def test_an_exchange_that_is_deleted_is_a_misconfiguration(site: Site) -> None:
    name = unique("exchange")
    with site.publisher(site.connection(exchange_name=name)) as publisher:
        site.api("DELETE", f"exchanges/%2F/{name}")
        result = publisher.publish([outgoing("1")], soon())
    assert isinstance(result.fault, BrokerMisconfigured)
    assert result.fault.type == "EXCHANGE_MISSING"
    assert results(result) == {"1": "EXCHANGE_MISSING"}


def test_a_bad_login_is_refused(site: Site) -> None:
    before = descriptors()
    fault = refusal(site.connection(), ConnectionSecrets(password="not-the-password"))
    assert descriptors() == before
    assert isinstance(fault, BrokerRefused)
    assert fault.type == "LOGIN_REFUSED"
    assert "not-the-password" not in str(fault)


def test_without_a_user_guest_is_tried(site: Site) -> None:
    fault = refusal(site.connection(username=None), ConnectionSecrets())
    assert fault.type == "LOGIN_REFUSED"
    assert "guest" in str(fault)


def test_a_bad_virtual_host_is_a_misconfiguration(site: Site) -> None:
    fault = refusal(site.connection(virtual_host="nowhere"), site.secrets)
    assert isinstance(fault, BrokerMisconfigured)
    assert fault.type == "VIRTUAL_HOST_REFUSED"
    assert "nowhere" in str(fault)


def test_a_broker_of_another_authority_is_not_trusted(site: Site) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    fault = refusal(
        site.tls_connection(), site.tls_secrets.model_copy(update={"trusted_ca_certificate": other})
    )  # fmt: skip
    assert isinstance(fault, BrokerUnreachable)
    assert fault.type == "CERTIFICATE_UNTRUSTED"
    without = refusal(site.tls_connection(), site.tls_secrets.model_copy(update={"trusted_ca_certificate": None}))
    assert without.type == "CERTIFICATE_UNTRUSTED"


def test_the_name_in_the_brokers_certificate_is_verified(site: Site) -> None:
    # 127.0.0.1 and localhost stand in the certificate, this other loopback address does not
    with passing_on(site.broker.config.tls_port, host="127.0.0.2") as passage:
        fault = refusal(site.tls_connection(host_name=f"127.0.0.2:{passage.port}"), site.tls_secrets)
    assert fault.type == "CERTIFICATE_NAME"


def test_a_client_certificate_of_another_authority_is_refused(site: Site) -> None:
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


def test_a_missing_client_certificate_is_named(site: Site) -> None:
    secrets = ConnectionSecrets(
        password=site.secrets.password, trusted_ca_certificate=site.tls_secrets.trusted_ca_certificate
    )
    fault = refusal(site.tls_connection(username=site.user), secrets)
    assert isinstance(fault, BrokerRefused)
    assert fault.type == "CLIENT_CERTIFICATE_MISSING"


def test_a_certificate_without_its_key_is_named(site: Site) -> None:
    key = trustme.CA().issue_cert("x").private_key_pem.bytes().decode()
    fault = refusal(site.tls_connection(), site.tls_secrets.model_copy(update={"private_key": key}))
    assert fault.type == "CERTIFICATE_UNUSABLE"


def test_mixed_up_protocols_are_named(site: Site) -> None:
    config = site.broker.config
    plain = refusal(site.connection(host_name=f"127.0.0.1:{config.tls_port}"), site.secrets)
    assert plain.type == "PROTOCOL_MISMATCH"
    tls = refusal(site.tls_connection(host_name=f"localhost:{config.port}"), site.tls_secrets)
    assert tls.type == "TLS_NOT_SPOKEN"
    web = refusal(site.connection(host_name=f"127.0.0.1:{config.management_port}"), site.secrets)
    assert web.type in {"PROTOCOL_MISMATCH", "CONNECTION_TIMEOUT", "PROTOCOL_ERROR"}


def test_nobody_listening_an_unknown_name_and_a_forbidden_address_are_named(site: Site) -> None:
    assert refusal(site.connection(host_name="127.0.0.1:1"), site.secrets).type == "CONNECTION_REFUSED"
    assert refusal(site.connection(host_name="no-such-host.invalid"), site.secrets).type == "DNS_FAILURE"
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "169.254.169.254"):
        fault = refusal(site.connection(host_name=host), site.secrets, Settings())
        assert fault.type == "ADDRESS_FORBIDDEN"


def test_a_frozen_broker_does_not_hold_a_connect_beyond_its_time(other_site: Site) -> None:
    other_site.broker.freeze()
    try:
        before = descriptors()
        for connection, secrets in (
            (other_site.connection(connection_timeout=500), other_site.secrets),
            (other_site.tls_connection(connection_timeout=500), other_site.tls_secrets),
        ):
            began = time.monotonic()
            fault = refusal(connection, secrets)
            assert time.monotonic() - began < 0.5 + PRECISE
            assert isinstance(fault, BrokerUnreachable)
            assert fault.type == "CONNECTION_TIMEOUT"
            assert descriptors() == before
    finally:
        other_site.broker.thaw()


def test_a_frozen_broker_ends_a_publish_in_time_and_no_confirm_leaks(other_site: Site) -> None:
    # Given
    key = unique("key")
    bound_queue(other_site, key)
    connection = other_site.connection(action_timeout=400)
    with other_site.publisher(connection) as publisher:
        other_site.broker.freeze()

        # When
        try:
            began = time.monotonic()
            messages = [outgoing("1", routing_key=key), outgoing("2", routing_key=key)]
            result = publisher.publish(messages, soon())
            seconds = time.monotonic() - began
        finally:
            other_site.broker.thaw()

        # Then
        assert 0.4 <= seconds < 0.4 + PRECISE
        assert isinstance(result.fault, BrokerUnreachable)
        assert result.fault.type == "CONFIRM_TIMEOUT"
        assert {outcome.result for outcome in result.outcomes.values()} == {Result.RETRY}
        assert not publisher.usable
        again = publisher.publish(messages, soon())
        assert {outcome.result for outcome in again.outcomes.values()} == {Result.RETRY}
        assert isinstance(again.fault, BrokerUnreachable)


def test_the_callers_deadline_holds_before_the_action_timeout(other_site: Site) -> None:
    with other_site.publisher(other_site.connection(action_timeout=10000)) as publisher:
        other_site.broker.freeze()
        try:
            began = time.monotonic()
            result = publisher.publish([outgoing("1")], soon(0.5))
            assert time.monotonic() - began < 0.5 + PRECISE
        finally:
            other_site.broker.thaw()
    assert result.outcomes["1"].result is Result.RETRY


def test_a_check_finds_a_frozen_broker(other_site: Site) -> None:
    with other_site.publisher() as publisher:
        publisher.check(soon())
        other_site.broker.freeze()
        try:
            with pytest.raises(BrokerUnreachable):
                publisher.check(soon(0.3))
        finally:
            other_site.broker.thaw()
        assert not publisher.usable


def test_a_broker_killed_in_the_middle_of_a_batch_costs_nothing_but_a_retry(other_site: Site) -> None:
    # Given
    key = unique("key")
    queue = bound_queue(other_site, key)
    messages = [
        outgoing(f"{number}", group=f"{number % 5}", routing_key=key, body=b"%d" % number) for number in range(20000)
    ]
    with other_site.publisher(other_site.connection(action_timeout=5000)) as publisher:
        pid = other_site.broker.pid
        killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))

        # When
        killer.start()
        result = publisher.publish(messages, soon(20))
        killer.join()
    other_site.broker.kill()
    other_site.broker.start()

    # Then
    assert isinstance(result.fault, BrokerUnreachable)
    assert len(result.outcomes) == len(messages)
    delivered = {key for key, outcome in result.outcomes.items() if outcome.result is Result.DELIVERED}
    assert 0 < len(delivered) < len(messages)
    kept = {body.decode() for _, _, body in taken(other_site, queue)}
    assert delivered <= kept


def test_a_memory_alarm_is_named_and_ends(other_site: Site) -> None:
    # Given
    key = unique("key")
    bound_queue(other_site, key)
    with other_site.publisher(other_site.connection(action_timeout=500)) as publisher:
        other_site.broker.ctl("set_vm_memory_high_watermark", "0.00001")

        # When
        try:
            result = publisher.publish([outgoing("1", routing_key=key)], soon())
        finally:
            other_site.broker.ctl("set_vm_memory_high_watermark", "0.4")

    # Then
    assert isinstance(result.fault, BrokerUnreachable)
    assert result.fault.type == "BROKER_BLOCKED"
    assert "memory" in str(result.fault)
    with other_site.publisher() as publisher:
        assert publisher.publish([outgoing("1", routing_key=key)], soon()).outcomes == {"1": DELIVERED}


def test_a_connection_that_was_closed_while_idle_is_found_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    connection = site.connection()
    name = f"acme/ConnectionId.{connection.id}#publisher"
    with site.publisher(connection) as publisher:
        assert wait_until(lambda: bool(site.connections_named(name)), 15)
        site.api("DELETE", f"connections/{quote(site.connections_named(name)[0]['name'])}")
        assert publisher.usable  # nobody has looked at the socket yet

        # When: idle for long
        monkeypatch.setattr("chalicelib.amqp_publisher.IDLE", 0.0)
        result = publisher.publish([outgoing("1")], soon())

        # Then
        assert isinstance(result.fault, BrokerUnreachable)
        assert result.fault.type == "CONNECTION_CLOSED"
        assert result.outcomes["1"].result is Result.RETRY
        assert not publisher.usable


def test_a_peer_that_went_silent_while_idle_is_found_out_before_anything_is_sent(
    other_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = unique("key")
    queue = bound_queue(other_site, key)
    with other_site.publisher(other_site.connection(action_timeout=10000)) as publisher:
        monkeypatch.setattr("chalicelib.amqp_publisher.IDLE", 0.0)
        monkeypatch.setattr("chalicelib.amqp_publisher.CHECK", 0.5)
        other_site.broker.freeze()
        try:
            began = time.monotonic()
            result = publisher.publish([outgoing("1", routing_key=key)], soon())
            seconds = time.monotonic() - began
        finally:
            other_site.broker.thaw()
    assert seconds < 0.5 + PRECISE
    assert isinstance(result.fault, BrokerUnreachable)
    assert result.fault.type == "CONNECTION_TIMEOUT"
    assert taken(other_site, queue) == []


def test_an_abort_resets_the_connection(site: Site) -> None:
    connection = site.connection()
    name = f"acme/ConnectionId.{connection.id}#publisher"
    before = descriptors()
    publisher = AmqpPublisherFactory(LOCAL).open(connection, site.secrets, soon())
    assert wait_until(lambda: bool(site.connections_named(name)), 15)
    publisher.abort()
    assert descriptors() == before
    assert not publisher.usable
    assert wait_until(lambda: not site.connections_named(name), 15)
    publisher.abort()


def test_after_a_timeout_nothing_of_what_was_left_is_sent(site: Site) -> None:
    # Given: a message larger than all the buffers on the way, which stops half-way
    with passing_on(site.broker.config.port) as passage:
        connection = site.connection(host_name=f"127.0.0.1:{passage.port}", action_timeout=300)
        with site.publisher(connection) as publisher:
            passage.open.clear()
            body = b"x" * 32 * 1024 * 1024

            # When
            result = publisher.publish([outgoing("1", body=body)], soon())
            passage.open.set()

            # Then
            assert isinstance(result.fault, BrokerUnreachable)
            assert result.fault.type == "CONFIRM_TIMEOUT"
            assert passage.reset.wait(5)
            assert passage.passed < len(body)


def test_far_away_the_batch_costs_a_round_trip_and_not_one_a_message(site: Site) -> None:
    key = unique("key")
    bound_queue(site, key)
    messages = [outgoing(f"{number}", group=f"{number}", routing_key=key) for number in range(20)]
    with (
        delaying_proxy(site.broker.config.port, 0.1) as port,
        site.publisher(site.connection(host_name=f"127.0.0.1:{port}")) as publisher,
    ):
        began = time.monotonic()
        result = publisher.publish(messages, soon())
        seconds = time.monotonic() - began
    assert set(result.outcomes.values()) == {DELIVERED}
    assert seconds < 1.0


def test_the_text_of_a_fault_is_json_and_one_line(site: Site) -> None:
    fault = refusal(site.connection(virtual_host="a\n\x07b\u202e" + "c" * 200), site.secrets)
    text = str(fault)
    assert "\n" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert json.loads(json.dumps(text)) == text


class Passage:
    """A way to the broker that can be shut, and that knows whether the client ended by a reset."""

    def __init__(self, server: socket.socket, target: int) -> None:
        self.port: int = server.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self.reset = threading.Event()
        self.passed = 0
        self._server = server
        self._target = target

    def serve(self) -> None:
        client, _ = self._server.accept()
        with client, socket.create_connection(("127.0.0.1", self._target)) as broker:
            back = threading.Thread(target=self._back, args=(broker, client), daemon=True)
            back.start()
            try:
                while self.open.wait(10) and (data := client.recv(65536)):
                    self.passed += len(data)
                    broker.sendall(data)
            except ConnectionResetError:
                self.reset.set()
            broker.close()
            back.join(5)

    def _back(self, broker: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):  # whoever ends first ends both
            while data := broker.recv(65536):
                client.sendall(data)


@contextmanager
def passing_on(target: int, host: str = "127.0.0.1") -> Iterator[Passage]:
    """Listens on a loopback address and passes one connection on to a port of 127.0.0.1."""
    with socket.create_server((host, 0)) as server:
        passage = Passage(server, target)
        thread = threading.Thread(target=passage.serve, daemon=True)
        thread.start()
        yield passage
    thread.join(10)
