"""Checks of the guarantees for uplinks, from the outside: order, duplicates, losses and wakes."""

from collections import defaultdict
from typing import TYPE_CHECKING

from chalicelib.errors import QueueMissing
from tests.rules.healing import run_one_minute
from tests.rules.world import TENANT, World

if TYPE_CHECKING:
    from tests.rules.broker import Arrival

DEDUPLICATION = 300
"""Seconds in which SQS drops a repeated request."""
STOPS_WITHIN = 60
"""Seconds after which an inactive connection must not publish."""
CALM_MINUTES = 12
"""Minutes without work in which no wake may be sent."""


def check_arrivals(world: World) -> None:
    """Check everything that has arrived at the brokers so far."""
    for connection_id in list(world.brokers.arrivals):
        _check_order(world, connection_id)
        _check_duplicates(world, connection_id)
        _check_stopped(world, connection_id)


def _check_order(world: World, connection_id: str) -> None:
    """Check that reports of a device arrive in the order of their requests.

    Requests that overlap have no order. A returned message has none either, because it has failed permanently.
    """
    first: dict[str, int] = {}
    for index, arrival in enumerate(world.brokers.arrivals[connection_id]):
        first.setdefault(arrival.message_id, index)
    before: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for post in world.posts:
        name = world.name(post, connection_id)
        if name not in first or (connection_id, name) in world.brokers.returned:
            continue
        for acknowledged, position in before[post.device]:
            assert acknowledged > post.began or position < first[name], f"{connection_id}: {name[:6]} is out of order"
        if connection_id in post.acknowledged:
            before[post.device].append((post.acknowledged[connection_id], first[name]))


def _check_duplicates(world: World, connection_id: str) -> None:
    """Check that each repeat has a reason.

    Allowed reasons: the earlier arrival was unconfirmed, its function was killed or could not delete the report, or the
    request was repeated after five minutes.
    """
    previous: dict[str, Arrival] = {}
    spare = {
        world.name(post, connection_id): sum(time - post.times[0] >= DEDUPLICATION for time in post.times)
        for post in world.posts
        if len(post.times) > 1
    }
    for arrival in world.brokers.arrivals[connection_id]:
        before = previous.get(arrival.message_id)
        previous[arrival.message_id] = arrival
        if before is None or not before.confirmed or before.task is None or before.task.killed:
            continue
        if any(call == "queues.delete_messages" for call, _ in before.task.faults):
            continue
        spare[arrival.message_id] = spare.get(arrival.message_id, 0) - 1
        assert spare[arrival.message_id] >= 0, f"duplicate without a reason after {before.task.faults}"


def _check_stopped(world: World, connection_id: str) -> None:
    """Check that a connection gets nothing a minute after its deletion or deactivation."""
    for since in (world.inactive_since.get(connection_id), world.deleted_at.get(connection_id)):
        if since is not None:
            assert all(arrival.at <= since + STOPS_WITHIN for arrival in world.brokers.arrivals[connection_id])


def check_kept(world: World) -> None:
    """Check that each report answered with 200 was delivered or is kept as failed, and that all queues are empty."""
    for connection in world.connections.connections.values():
        arrived = {arrival.message_id for arrival in world.brokers.arrivals[connection.id]}
        failed = {message.message_id for message in world.failed.messages[TENANT, connection.id]}
        for post in world.posts:
            if connection.id in post.acknowledged:
                assert world.name(post, connection.id) in arrived | failed, f"{post} is lost or stuck"
        assert world.queues.depth(connection.id) == (0, 0)
        assert failed <= {name for id_, name in world.brokers.returned if id_ == connection.id}
    for connection_id in world.deleted_at:
        try:
            world.queues.depth(connection_id)
        except QueueMissing:
            continue
        raise AssertionError(f"the queue of {connection_id} outlives it")


def check_calm(world: World) -> None:
    """Check that a healed and idle world sends no wakes."""
    sent = world.wakes.sent, world.slow_wakes.sent
    for _ in range(CALM_MINUTES):
        run_one_minute(world)
    assert (world.wakes.sent, world.slow_wakes.sent) == sent
    assert not len(world.wakes) + len(world.slow_wakes)
