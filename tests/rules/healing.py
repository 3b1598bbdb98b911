"""Everything works again, and time passes until nothing is left to be done."""

from chalicelib.upkeep.reconciler import SWEEP_RUNS
from tests.rules.broker import Mode
from tests.rules.world import TENANT, World

ROUNDS = 120


def heal(world: World) -> None:
    """Brokers are up, nothing fails any more, what was under way ends, and every connection is active."""
    _mend(world)
    if not world.net:
        # The network server repeats what was not answered with 200.
        for post in world.posts:
            if len(post.acknowledged) < len(world.active_ids()):
                world.post(0, again=post)
    quiet = 0
    for _ in range(ROUNDS):
        minute(world)
        quiet = 0 if busy(world) else quiet + 1
        if quiet > SWEEP_RUNS:
            return
        later(world)
    raise AssertionError(f"not calm: {[c for c in world.connections.connections.values() if c.wake_at or c.probe_at]}")


def _mend(world: World) -> None:
    for index in range(len(world.environments)):
        world.finish(index)
    for task in world.others:
        task.run()
    world.others.clear()
    world.connections.catch_up()
    brokers = world.brokers
    for connection_id in brokers.modes:
        brokers.modes[connection_id] = Mode.UP
    brokers.nacking.clear()
    brokers.unroutable.clear()
    for connection in list(world.connections.connections.values()):
        if not connection.active:
            world.change(connection.id, {"active": True}, [])
        elif connection.breaker_open and connection.probe_at is None:
            # CALM has given up: that is what a restart is for.
            world.restart(connection.id, [])


def minute(world: World) -> None:
    """A run of the reconciler, and of the forwarder for all its wakes."""
    world.reconcile().run()
    world.others.clear()
    while world.start(0, 10, lambda names: names):
        world.finish(0)
    world.pass_time(world.settings.timing.schedule)


def busy(world: World) -> bool:
    """Whether somebody still has something to do."""
    connections = list(world.connections.connections.values())
    return bool(len(world.wakes) or any(c.wake_at is not None or c.probe_at is not None for c in connections))


def later(world: World) -> None:
    """To the moment at which the next thing is due, so that a day's outage does not take a day's runs."""
    due = [
        at
        for c in world.connections.connections.values()
        if c.tenant == TENANT
        for at in (c.wake_at, c.probe_at)
        if at is not None
    ]
    if due and not len(world.wakes) and min(due) > world.now:
        world.pass_time(min(due) - world.now)
