"""Recovery at the end of an example: all faults end, and time passes until no work is left."""

from chalicelib.upkeep.survey import SWEEP_RUNS
from tests.rules.broker import Mode
from tests.rules.world import TENANT, World

ROUNDS = 120
"""Runs of the reconciler within which all work must end."""


def heal(world: World) -> None:
    """End all faults, activate every connection and run until no work is left.

    Raises AssertionError when work is left after ROUNDS runs.
    """
    _mend(world)
    if not world.net:
        # The network server repeats what was not answered with 200.
        for post in world.posts:
            if len(post.acknowledged) < len(world.active_ids()):
                world.post(0, again=post)
    quiet = 0
    for _ in range(ROUNDS):
        run_one_minute(world)
        quiet = 0 if has_work(world) else quiet + 1
        if quiet > SWEEP_RUNS:
            return
        advance_to_next_due(world)
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
            # Strategy CALM has stopped probing, so only a restart opens the connection.
            world.restart(connection.id, [])


def run_one_minute(world: World) -> None:
    """Run the reconciler once and the forwarder for all its wakes."""
    world.reconcile().run()
    world.others.clear()
    while any(world.start(index, 10, lambda names: names) for index in (0, 2)):
        world.finish(0)
        world.finish(2)
    world.pass_time(world.settings.timing.schedule)


def has_work(world: World) -> bool:
    """Return True while a wake, a pending wake-up or a probe is left."""
    connections = list(world.connections.connections.values())
    waiting = len(world.wakes) + len(world.slow_wakes)
    return bool(waiting or any(c.wake_at is not None or c.probe_at is not None for c in connections))


def advance_to_next_due(world: World) -> None:
    """Advance to the next due time, so that an outage of a day does not need a day of runs."""
    due = [
        at
        for c in world.connections.connections.values()
        if c.tenant == TENANT
        for at in (c.wake_at, c.probe_at)
        if at is not None
    ]
    if due and not len(world.wakes) + len(world.slow_wakes) and min(due) > world.now:
        world.pass_time(min(due) - world.now)
