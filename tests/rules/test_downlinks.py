"""Guarantees for downlinks under any interleaving of faults.

An acknowledged downlink reaches the network server or is rejected with a report. A device's downlinks keep their order.
A downlink is sent twice only after a fault, and an invalid one is rejected without requeue.
"""

from collections import Counter

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.rules.downlink_world import CONNECTION, DownlinkWorld
from tests.rules.scheduler import FAULTS, Fate
from tests.rules.world import TENANT

DEVICES = st.integers(1, 3)
SENDERS = st.integers(0, 1)
FATES = st.sampled_from([Fate.WORKS, Fate.WORKS, Fate.WORKS, *FAULTS])
PLANS = st.lists(st.tuples(st.integers(0, 8), st.sampled_from(FAULTS)), max_size=2)
HEALED_MINUTES = 60


class Downlinks(RuleBasedStateMachine):
    """Publishes, consumes and sends downlinks while calls, functions and the network server fail."""

    def __init__(self) -> None:
        super().__init__()
        self.world = DownlinkWorld()

    @initialize()
    def connect(self) -> None:
        self.world.connect(CONNECTION)

    @rule(devices=st.lists(DEVICES, min_size=1, max_size=12), named=st.booleans())
    def customer_publishes(self, devices: list[int], named: bool) -> None:
        for device in devices:
            self.world.publish(device, named=named, valid=True)

    @rule(device=DEVICES)
    def customer_publishes_nonsense(self, device: int) -> None:
        self.world.publish(device, named=True, valid=False)

    @rule(number=st.integers(1, 30), plan=PLANS, ack_lost=st.sampled_from([0, 0, 0, 1, 5]))
    def consumer(self, number: int, plan: list[tuple[int, Fate]], ack_lost: int) -> None:
        self.world.consume(number, plan, ack_lost)

    @rule(index=SENDERS, number=st.integers(1, 10), fates=st.lists(FATES, max_size=20))
    def sender(self, index: int, number: int, fates: list[Fate]) -> None:
        self.world.send(index, number)
        self.world.send_on(index, fates)

    @rule(index=SENDERS)
    def sender_finishes(self, index: int) -> None:
        self.world.send(index, 10)
        self.world.send_on(index, None)

    @rule(mood=st.sampled_from([Fate.WORKS, Fate.FAILS]), device=DEVICES, which=st.booleans())
    def network_server(self, mood: Fate, device: int, which: bool) -> None:
        if which:
            self.world.network.mood = mood
        else:
            self.world.network.refusing ^= {f"{device:016X}"}

    @rule(active=st.booleans())
    def connection(self, active: bool) -> None:
        self.world.change(CONNECTION, {"active": active}, [])

    @rule(seconds=st.sampled_from([1, 6, 31, 61, 301, 3700]))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @invariant()
    def order_holds(self) -> None:
        """Check the order of first answers, because a repeat after a lost ack arrives late."""
        first: dict[str, int] = {}
        for index, call in enumerate(self.world.network.answered):
            first.setdefault(call, index)
        for device in {p.device for p in self.world.published}:
            positions = [first[p.name] for p in self.world.published if p.device == device and p.name in first]
            assert positions == sorted(positions), f"{device} is out of order"

    @invariant()
    def repeats_have_a_reason(self) -> None:
        repeats = sum(number - 1 for number in Counter(self.world.network.calls).values())
        running = sum(len(s.receipts) for s in self.world.senders if s.task and s.task.faults)
        assert repeats <= self.world.incidents + running

    def teardown(self) -> None:
        world = self.world
        for index in range(len(world.senders)):
            world.send_on(index, None)
        world.network.mood = Fate.WORKS
        world.network.refusing.clear()
        world.change(CONNECTION, {"active": True}, [])
        for _ in range(HEALED_MINUTES):
            world.consume(100, [], 0)
            for _ in range(10):
                world.send(0, 10)
                world.send_on(0, None)
            world.pass_time(60)
        self.order_holds()
        assert not world.waiting
        assert world.downlinks.depth() == (0, 0)
        rejected = {message.body for message in world.failed.messages[TENANT, CONNECTION]}
        for published in world.published:
            sent = published.name in world.network.calls
            kept = any(f'"{published.name}"' in body for body in rejected)
            assert sent or kept if published.valid else published in world.dead, f"{published.name} is lost"


TestDownlinks = Downlinks.TestCase
TestDownlinks.settings = settings.get_profile("rules")
