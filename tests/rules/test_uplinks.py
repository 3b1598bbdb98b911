"""Guarantees for uplinks: no acknowledged report is lost, stuck, reordered or duplicated without a reason.

The uplink services run in any interleaving, with a crash, a lost answer or a failure at any call.
"""

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.rules.broker import Mode
from tests.rules.checks import check_arrivals, check_calm, check_kept
from tests.rules.healing import heal
from tests.rules.scheduler import FAULTS, Fate
from tests.rules.world import Post, World

DEVICES = st.integers(1, 4)
CONNECTIONS = st.sampled_from(["c1", "c2"])
ENVIRONMENTS = st.integers(0, 3)
FATES = st.sampled_from([Fate.WORKS, *FAULTS])
PLANS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(FAULTS)), max_size=2)
CHANGES: list[dict[str, object]] = [
    {"active": False},
    {"active": True},
    {"configuration": {"uplinkTopicPattern": "new.{DevEUI}"}},
    {"configuration": {"uplinkTopicPattern": "up.{DevEUI}"}},
    {"configuration": {"username": "me", "password": "one"}},
    {"configuration": {"username": "me", "password": "two"}},
]


class Uplinks(RuleBasedStateMachine):
    """Posts and forwards reports while calls, functions, brokers and connections change and fail."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(strategy=st.sampled_from(["NORMAL", "CALM", "AGGRESSIVE"]), net=st.booleans())
    def connect(self, strategy: str, net: bool) -> None:
        self.world.net = net
        self.world.connect("c1", reconnectStrategy=strategy)
        self.world.connect("c2", sendMetadata=True)

    # Incoming reports

    @rule(devices=st.lists(DEVICES, min_size=1, max_size=12))
    def reports(self, devices: list[int]) -> None:
        for device in devices:
            self.world.post(device)

    @rule(device=DEVICES, plan=PLANS)
    def report_in_trouble(self, device: int, plan: list[tuple[int, Fate]]) -> None:
        self.world.post(device, plan)

    @precondition(lambda self: self.world.posts)
    @rule(data=st.data(), plan=PLANS)
    def repeated_report(self, data: Any, plan: list[tuple[int, Fate]]) -> None:
        post: Post = data.draw(st.sampled_from(self.world.posts[-5:]))
        self.world.post(0, plan, again=post)

    # Functions

    @rule(index=ENVIRONMENTS, number=st.integers(1, 10), calls=st.integers(0, 30), fate=FATES, data=st.data())
    def forwarder(self, index: int, number: int, calls: int, fate: Fate, data: Any) -> None:
        """Start a forwarder if none runs, and let it make some calls. The last call has this fate."""
        self.world.start(index, number, lambda names: data.draw(st.permutations(names[:12])))
        self.world.step(index, calls, fate)

    @rule(index=ENVIRONMENTS, fates=st.lists(FATES, min_size=1, max_size=8))
    def forwarder_meets_faults(self, index: int, fates: list[Fate]) -> None:
        self.world.start(index, 10, lambda names: names)
        for fate in fates:
            self.world.step(index, 0, fate)

    @rule(index=ENVIRONMENTS)
    def forwarder_finishes(self, index: int) -> None:
        self.world.start(index, 10, lambda names: names)
        self.world.finish(index)

    @rule(plan=PLANS, late=st.booleans())
    def reconciler(self, plan: list[tuple[int, Fate]], late: bool) -> None:
        self.world.reconcile().run(plan)
        if late:
            self.world.connections.lag()
        else:
            self.world.connections.catch_up()

    @rule(calls=st.integers(0, 12), fate=FATES)
    def reconciler_beside_others(self, calls: int, fate: Fate) -> None:
        if self.world.others:
            self.world.others.pop(0).run([(calls, fate)])
        else:
            self.world.reconcile().steps(calls, fate)

    @rule(index=ENVIRONMENTS, call=st.sampled_from(["connections.clear_pending_wake", "connections.postpone_probe"]))
    def reconciler_is_overtaken(self, index: int, call: str) -> None:
        """Run a forwarder on the reconciler's wake before the reconciler makes its next call."""
        self.world.reconcile().go_to(call)
        self.world.start(index, 10, lambda names: names)
        self.world.finish(index)

    @rule(index=ENVIRONMENTS, seconds=st.sampled_from([1, 6, 61, 181, 301, 3700]), fates=st.lists(FATES, max_size=3))
    def a_minute_of_all(self, index: int, seconds: int, fates: list[Fate]) -> None:
        """Let time pass until pending wake-ups and probes are due, and run a forwarder on them."""
        self.world.pass_time(seconds)
        self.world.reconcile().run()
        self.world.others.clear()
        self.world.start(index, 10, lambda names: names)
        for fate in fates:
            self.world.step(index, 3, fate)

    # Time, brokers and connections

    @rule(seconds=st.sampled_from([1, 6, 21, 31, 61]))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @rule(connection_id=CONNECTIONS, mode=st.sampled_from([Mode.UP, *Mode]), device=DEVICES, what=st.integers(0, 4))
    def brokers_change(self, connection_id: str, mode: Mode, device: int, what: int) -> None:
        brokers = self.world.brokers
        match what:
            case 0:
                brokers.nacking ^= {f"{device:016X}"}
            case 1:
                brokers.unroutable ^= {f"{device:016X}"}
            case 2:
                brokers.lose_connections(connection_id)
            case 3:
                brokers.slow ^= {connection_id}
            case _:
                brokers.modes[connection_id] = mode

    @rule(connection_id=CONNECTIONS, change=st.sampled_from([*CHANGES, "restart"]), plan=PLANS)
    def connection_changes(
        self, connection_id: str, change: dict[str, object] | str, plan: list[tuple[int, Fate]]
    ) -> None:
        if isinstance(change, str):
            self.world.restart(connection_id, plan)
        else:
            self.world.change(connection_id, change, plan)

    @rule(plan=PLANS, sure=st.integers(0, 3))
    def wakes_come_twice_or_a_connection_goes(self, plan: list[tuple[int, Fate]], sure: int) -> None:
        if sure == 0:
            self.world.change("c2", None, plan)
        else:
            self.world.wakes.repeat()
            self.world.slow_wakes.repeat()

    # Invariants

    @invariant()
    def arrivals_are_right(self) -> None:
        check_arrivals(self.world)

    def teardown(self) -> None:
        heal(self.world)
        check_arrivals(self.world)
        check_kept(self.world)
        check_calm(self.world)


TestUplinks = Uplinks.TestCase
TestUplinks.settings = settings.get_profile("rules")
