"""Connections of one tenant that consume the same downlinks are found."""

from typing import Any

import pytest

from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.downlink_overlaps import keys_overlap, overlap_notices
from chalicelib.vocabulary import ConnectionState


def connection(own: str, *, active: bool = True, **changes: Any) -> Connection:
    fields = {
        "host_name": "broker.example.com",
        "protocol": "TCP",
        "uplink_topic_pattern": "up",
        "downlink_topic_pattern": "things.{DevEUI}.down",
        **changes,
    }
    return Connection(
        tenant="demo", id=own, name=f"name of {own}", active=active, configuration=AmqpConfiguration(**fields),
        created_at="", updated_at="", state=ConnectionState.OPENED,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.*.b", "a.*.b", True),
        ("a.*.b", "a.x.b", True),
        ("a.*.b", "*.c.*", True),
        ("a.*.b", "a.*.c", False),
        ("a.*", "a.*.b", False),
        ("#", "a.b.c", True),
        ("a.#", "a", True),
        ("a.#.z", "*.b.c.z", True),
        ("a.#.z", "*.b.c.y", False),
        ("#.a", "b.#", True),
        ("a", "b", False),
        ("", "#", True),
        ("#." * 100 + "a", "#." * 100 + "b", False),
    ],
)
def test_binding_keys_overlap_if_a_routing_key_matches_both(one: str, other: str, expected: bool) -> None:
    assert keys_overlap(one, other) is expected
    assert keys_overlap(other, one) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"host_name": "BROKER.example.com.:5672"},
        {"protocol": "SSL"},
        {"downlink_topic_pattern": "#"},
        {"downlink_topic_pattern": "{CustomerID}.{DevEUI}.down"},
    ],
)
def test_connection_to_the_same_downlinks_is_named(changes: dict[str, Any]) -> None:
    (notice,) = overlap_notices(connection("B"), [connection("B"), connection("A", **changes)])
    assert notice.pointer == "/configuration/downlinkTopicPattern"
    assert "name of A (A)" in notice.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"host_name": "other.example.com"},
        {"host_name": "broker.example.com:5673"},
        {"virtual_host": "other"},
        {"exchange_name": "other"},
        {"downlink_topic_pattern": "sites.{DevEUI}.down"},
        {"downlink_enabled": False},
        {"active": False},
    ],
)
def test_connection_to_other_downlinks_causes_no_notice(changes: dict[str, Any]) -> None:
    assert overlap_notices(connection("B"), [connection("A", **changes)]) == []
    assert overlap_notices(connection("B", **changes), [connection("A")]) == []


def test_many_connections_are_counted() -> None:
    (notice,) = overlap_notices(connection("B"), [connection(f"A{number}") for number in range(9)])
    assert "and 6 more" in notice.detail
