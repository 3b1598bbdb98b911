"""Uplinks that the broker refuses, such as for a topic permission, beside uplinks that it accepts."""

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.broker.outage import Outage
from tests.broker.support import Site
from tests.unit.flow import TENANT

FORBIDDEN = 0xAAAAAAAAAAAAAAAA
PERMITTED = 0x70B3D50000000000


@pytest.fixture
def outage(site: Site) -> Iterator[Outage]:
    """A connection whose user may publish only the topics of devices that begin with 70B3."""
    made = Outage(site)
    user, secrets = site.user_with(configure=".*", write=".*", read=".*")
    permission = {"exchange": "amq.topic", "write": rf"^{made.key}\.70B3.*", "read": ".*"}
    site.api("PUT", f"topic-permissions/%2F/{user}", permission)
    made.start(site.connection(username=user), secrets)
    made.post(PERMITTED)
    made.forward()
    assert made.visible_state()[0] == "OPENED"
    made.arrived()
    made.events.events.clear()
    yield made
    made.close()


def devices_of(bodies: list[tuple[str, str]]) -> Counter[str]:
    return Counter(json.loads(body)["DevEUI_uplink"]["DevEUI"] for body, _ in bodies)


@pytest.mark.parametrize(("forbidden", "permitted"), [(1, 20), (1, 100), (10, 100), (30, 5), (3, 0)])
def test_forbidden_devices_fail_and_permitted_ones_are_delivered(
    outage: Outage, forbidden: int, permitted: int
) -> None:
    # Given
    refused = [outage.post(FORBIDDEN + number) for number in range(forbidden)]
    for number in range(permitted):
        outage.post(PERMITTED + number)

    # When
    began = time.monotonic()
    outage.forward()
    seconds = time.monotonic() - began

    # Then
    assert seconds < 10
    assert outage.queues.depth("c1") == (0, 0)
    arrived = devices_of(outage.arrived())
    assert set(arrived) == {f"{PERMITTED + number:016X}" for number in range(permitted)}
    assert max(arrived.values(), default=1) <= 3
    failed = outage.failed.messages[TENANT, "c1"]
    assert sorted(message.body for message in failed) == sorted(refused)
    assert {message.reason for message in failed} == {"REFUSED_BY_BROKER"}
    state, reason, events = outage.visible_state()
    assert (state, reason, set(events)) == ("OPENED", None, {"REFUSED_BY_BROKER"})
    assert len(events) <= 1 + forbidden // 20


def test_refused_uplink_is_delivered_by_a_replay_after_the_topic_is_permitted(outage: Outage, site: Site) -> None:
    # Given
    body = outage.post(FORBIDDEN)
    outage.forward()
    (failed,) = outage.failed.messages[TENANT, "c1"]
    assert f"access to topic '{outage.key}.{FORBIDDEN:016X}'" in failed.detail
    assert failed.routing_key == f"{outage.key}.{FORBIDDEN:016X}"

    # When
    user = outage.state().configuration.username
    site.api("DELETE", f"topic-permissions/%2F/{user}")
    outage.pool.discard("c1")
    outage.queues.send(
        "c1", body=failed.body, group=failed.dev_eui or "", message_id="replay", deduplication_id="replay"
    )
    outage.wake()
    outage.forward()

    # Then
    assert [arrived for arrived, _ in outage.arrived()] == [body]


def test_probe_after_an_outage_fails_refused_uplinks_and_delivers_the_others(outage: Outage, site: Site) -> None:
    # Given an outage for every message
    user = outage.state().configuration.username
    site.api("PUT", f"permissions/%2F/{user}", {"configure": ".*", "write": "^$", "read": ".*"})
    outage.pool.discard("c1")
    outage.post(FORBIDDEN)
    permitted = outage.post(PERMITTED)
    outage.forward()
    state, _, events = outage.visible_state()
    assert (state, events) == ("CLOSED", ["PERMISSION_REFUSED"])
    assert outage.queues.depth("c1") == (2, 0)
    assert not outage.failed.messages

    # When
    site.api("PUT", f"permissions/%2F/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
    outage.now += 61
    outage.probe()

    # Then
    assert [body for body, _ in outage.arrived()] == [permitted]
    assert [message.reason for message in outage.failed.messages[TENANT, "c1"]] == ["REFUSED_BY_BROKER"]
    assert outage.visible_state()[0] == "OPENED"


def test_probe_with_refused_uplinks_only_opens_the_connection(outage: Outage, site: Site) -> None:
    # Given
    user = outage.state().configuration.username
    site.api("PUT", f"permissions/%2F/{user}", {"configure": ".*", "write": "^$", "read": ".*"})
    outage.pool.discard("c1")
    outage.post(FORBIDDEN)
    outage.forward()
    assert outage.visible_state()[0] == "CLOSED"

    # When
    site.api("PUT", f"permissions/%2F/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
    outage.now += 61
    outage.probe()

    # Then
    assert [message.reason for message in outage.failed.messages[TENANT, "c1"]] == ["REFUSED_BY_BROKER"]
    assert outage.visible_state()[0] == "OPENED"
