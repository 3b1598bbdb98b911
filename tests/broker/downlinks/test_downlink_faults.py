"""A fault of the downlinks does not stop uplinks, and a fault of the uplinks does not stop downlinks."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.broker.downlinks.test_poll_outages import QUEUE, Polls, payloads
from tests.broker.outage import Outage
from tests.broker.support import Site, unique
from tests.unit.flow import Flow


@pytest.fixture
def polls(site: Site) -> Iterator[Polls]:
    outage = Outage(site)
    yield Polls(outage)
    outage.close()
    site.api("DELETE", f"queues/%2F/{QUEUE}")


def document(flow: Flow) -> dict[str, Any]:
    return flow.state().to_json()


def start(polls: Polls, **configuration: Any) -> None:
    """Create a connection with downlinks, and publish one uplink of each device as soon as it is open."""
    secrets = configuration.pop("secrets", polls.site.secrets)
    pattern = f"{polls.downlink_key}.{{DevEUI}}"
    polls.outage.start(polls.site.connection(downlink_topic_pattern=pattern, **configuration), secrets)
    polls.outage.accept(1)
    polls.outage.forward()


def assert_only_downlinks_fail(polls: Polls, event: str, *words: str) -> None:
    """Assert that a poll reports the event and the words, and that uplinks arrive before and after it."""
    outage = polls.outage
    polls.during()
    outage.accept(1)
    outage.forward()
    read = document(outage)
    assert (read["state"], read["downlinkState"]) == ("OPENED", "CLOSED")
    assert read["stateReason"] == f"Downlinks: {read['downlinkStateReason']}"
    for word in words:
        assert word in read["downlinkStateReason"]
    assert outage.event_types() == ["OPENED", event]
    assert outage.events.events[-1][1].details == {"role": "downlink", "failures": 1}
    outage.assert_all_arrived()


def test_user_who_may_only_publish_sends_uplinks(polls: Polls) -> None:
    # Given
    user, secrets = polls.site.user_with(configure="^$", write=".*", read=r"^amq\.topic$")

    # When
    start(polls, username=user, secrets=secrets)

    # Then
    assert_only_downlinks_fail(polls, "PERMISSION_REFUSED", user, "Grant configure", "set downlinkEnabled to false")

    # When a poll job arrives before the next attempt is due
    polls.outage.now += 1
    polls.during()

    # Then it does not connect
    assert polls.outage.event_types() == ["OPENED", "PERMISSION_REFUSED"]

    # When the administrator grants the permissions, and the next attempt is due
    polls.outage.now += 10
    polls.site.api("PUT", f"permissions/%2F/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
    polls.during(polls.is_consumed, lambda: polls.publish(0, 3), lambda: polls.waits_for(3), polls.hand_over)

    # Then
    read = document(polls.outage)
    assert (read["state"], read["stateReason"], read["downlinkState"]) == ("OPENED", None, "OPENED")
    assert polls.outage.event_types() == ["OPENED", "PERMISSION_REFUSED", "OPENED"]
    assert sorted(polls.payloads()) == payloads(0, 3)


def test_user_who_may_not_publish_receives_downlinks(polls: Polls) -> None:
    # Given
    user, secrets = polls.site.user_with(configure=".*", write=r"^iot-flow\.", read=".*")

    # When
    start(polls, username=user, secrets=secrets)
    outage = polls.outage
    assert outage.event_types() == ["PERMISSION_REFUSED"]
    polls.during(polls.is_consumed, lambda: polls.publish(0, 3), lambda: polls.waits_for(3), polls.hand_over)

    # Then
    read = document(outage)
    assert (read["state"], read["downlinkState"]) == ("CLOSED", "OPENED")
    assert read["stateReason"].startswith(f"Uplinks: The user {user} may not publish")
    assert outage.event_types() == ["PERMISSION_REFUSED"]
    assert sum(outage.queues.depth("c1")) == 3
    assert sorted(polls.payloads()) == payloads(0, 3)


def test_reached_limit_of_queues_stops_downlinks_only(polls: Polls) -> None:
    # Given
    polls.site.api("PUT", "vhost-limits/%2F/max-queues", {"value": 0})
    try:
        # When
        start(polls)

        # Then
        assert_only_downlinks_fail(
            polls, "QUEUE_LIMIT_REACHED", "queue limit in vhost '/' (0) is reached", "Raise max-queues"
        )
    finally:
        polls.site.api("DELETE", "vhost-limits/%2F/max-queues")

    # When the limit is raised, and the next attempt is due
    polls.outage.now += 10
    polls.during(polls.is_consumed)

    # Then
    assert document(polls.outage)["downlinkState"] == "OPENED"


def test_exchange_without_topic_patterns_stops_downlinks_only(polls: Polls) -> None:
    # Given an exchange type that takes only numbers as binding keys
    site, exchange = polls.site, unique("hash")
    site.broker.ctl("eval", "application:ensure_all_started(rabbitmq_consistent_hash_exchange).")
    site.broker.ctl("eval", "rabbit_boot_steps:run_boot_steps([rabbitmq_consistent_hash_exchange]).")
    site.api("PUT", f"exchanges/%2F/{exchange}", {"type": "x-consistent-hash", "durable": True})
    site.api("POST", f"bindings/%2F/e/{exchange}/q/{polls.outage.queue}", {"routing_key": "1", "arguments": {}})

    # When
    start(polls, exchange_name=exchange)

    # Then
    assert_only_downlinks_fail(
        polls,
        "PRECONDITION_FAILED",
        f"The exchange {exchange} accepts no topic pattern",
        "Set downlinkEnabled to false",
    )
    site.api("DELETE", f"exchanges/%2F/{exchange}")
