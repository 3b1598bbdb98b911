"""Publisher at a real broker, plain and with mutual TLS."""

import time
from typing import Any

import pytest

from chalicelib.domain.delivery import DELIVERED, Result
from chalicelib.errors import BrokerMisconfigured
from infra.local.broker.delay_proxy import delaying_proxy
from infra.local.waiting import wait_until
from tests.broker.support import Site, bound_queue, drain_queue, outgoing, results, soon, unique


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "mutual TLS"])
def test_message_arrives_with_its_properties_and_headers(site: Site, tls: bool) -> None:
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
    ((method, properties, received),) = drain_queue(site, queue)
    assert received == body
    assert method.exchange == "amq.topic"
    assert properties.headers == headers
    assert (properties.content_type, properties.content_encoding) == ("application/json", "utf-8")
    assert (properties.delivery_mode, properties.message_id) == (2, "message-a")
    assert (properties.timestamp, properties.type, properties.app_id) == (1_700_000_000, "DevEUI_uplink", "iot-flow")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "mutual TLS"])
def test_broker_shows_tenant_and_id_of_the_connection(site: Site, tls: bool) -> None:
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


def test_messages_are_confirmed_in_order_per_device(site: Site) -> None:
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
    received = [int(body) for _, _, body in drain_queue(site, queue)]
    assert sorted(received) == list(range(700))
    for device in range(7):
        of_device = [number for number in received if number % 7 == device]
        assert of_device == sorted(of_device)


def test_woken_progress_sends_what_was_submitted(site: Site) -> None:
    key = unique("key")
    queue = bound_queue(site, key)
    with site.publisher() as publisher, site.channel() as channel:
        publisher.submit([outgoing("1", routing_key=key)], soon(20))
        publisher.wake()
        publisher.progress()
        # No further call sends it.
        assert wait_until(lambda: channel.queue_declare(queue, passive=True).method.message_count == 1, 20)


def test_unroutable_message_fails_and_does_not_hold_back_its_device(site: Site) -> None:
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
    assert len(drain_queue(site, queue)) == 2


def test_nacked_message_is_retried_and_holds_back_only_its_device(site: Site) -> None:
    # Given a queue with room for one message
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
def test_message_that_amqp_cannot_encode_fails_alone(site: Site, changes: dict[str, Any], reason: str) -> None:
    key = unique("key")
    bound_queue(site, key)
    bad = outgoing("bad", **{"routing_key": key, **changes})
    with site.publisher() as publisher:
        result = publisher.publish([bad, outgoing("good", routing_key=key)], soon())
    assert results(result) == {"bad": reason, "good": "DELIVERED"}


def test_batch_larger_than_the_window_is_delivered(site: Site) -> None:
    key = unique("key")
    queue = bound_queue(site, key)
    body = b"x" * 256 * 1024
    messages = [outgoing(f"{number}", group=f"{number}", routing_key=key, body=body) for number in range(12)]
    with site.publisher() as publisher:
        result = publisher.publish(messages, soon(20))
    assert set(result.outcomes.values()) == {DELIVERED}
    assert {received == body for _, _, received in drain_queue(site, queue)} == {True}


def test_missing_exchange_is_declared(site: Site) -> None:
    name = unique("exchange")
    with site.publisher(site.connection(exchange_name=name)) as publisher:
        assert results(publisher.publish([outgoing("1")], soon())) == {"1": "UNROUTABLE"}
    exchange = site.api("GET", f"exchanges/%2F/{name}")
    assert (exchange["type"], exchange["durable"], exchange["auto_delete"]) == ("topic", True, False)


@pytest.mark.parametrize("kind", ["fanout", "headers", "direct"])
def test_exchange_of_another_type_is_used_unchanged(site: Site, kind: str) -> None:
    name = unique("exchange")
    site.api("PUT", f"exchanges/%2F/{name}", {"type": kind, "durable": False, "auto_delete": False})
    with site.publisher(site.connection(exchange_name=name)) as publisher:
        assert results(publisher.publish([outgoing("1")], soon())) == {"1": "UNROUTABLE"}
    assert site.api("GET", f"exchanges/%2F/{name}")["type"] == kind


def test_default_exchange_is_not_declared(site: Site) -> None:
    queue = bound_queue(site, unique("key"))
    with site.publisher(site.connection(exchange_name="")) as publisher:
        assert publisher.publish([outgoing("1", routing_key=queue)], soon()).outcomes == {"1": DELIVERED}


def test_missing_write_permission_fails_the_first_publish(site: Site) -> None:
    user, secrets = site.user_with(configure=".*", read=".*")
    with site.publisher(site.connection(username=user), secrets) as publisher:
        result = publisher.publish([outgoing("1"), outgoing("2", group="B")], soon())
        assert not publisher.usable
    assert isinstance(result.fault, BrokerMisconfigured)
    assert result.fault.type == "PERMISSION_REFUSED"
    assert {outcome.result for outcome in result.outcomes.values()} == {Result.RETRY}
    assert len(result.outcomes) == 2


def test_deleted_exchange_is_a_misconfiguration(site: Site) -> None:
    name = unique("exchange")
    with site.publisher(site.connection(exchange_name=name)) as publisher:
        site.api("DELETE", f"exchanges/%2F/{name}")
        result = publisher.publish([outgoing("1")], soon())
    assert isinstance(result.fault, BrokerMisconfigured)
    assert result.fault.type == "EXCHANGE_MISSING"
    assert results(result) == {"1": "EXCHANGE_MISSING"}


def test_batch_to_a_distant_broker_takes_few_round_trips(site: Site) -> None:
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
