"""State machine of notifications: functions are killed between any two steps, and no change is lost.

Connections open and fail, the reconciler finds and stores the changes and starts the sender, and the sender calls the
webhook. Each step may be the last one of its process. In the end, the webhook has received every change of a model
without crashes, with the same ``webhook-id`` in each repeat.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from chalicelib.domain.notifications.notification import Notification
from chalicelib.errors import NotDelivered, Unavailable
from chalicelib.ports.notifications import Accepted
from chalicelib.vocabulary import DeliveryStatus
from infra.local.in_memory import MemoryNotifications
from tests.unit.connections.notifications.world import MINUTE, Webhook, World

NAMES = st.sampled_from(("one", "two"))
AFTER = 5
STEPS = ("before add", "after add", "before due", "before take", "after take", "before finish", "after finish")
CALLS = ("before call", "after call")


class Killed(BaseException):
    """The end of a function's process."""


class KillableStore(MemoryNotifications):
    """A store that may end its caller before or after each write."""

    def __init__(self, reach: Callable[[str], None]) -> None:
        super().__init__()
        self._reach = reach

    def add(self, notification: Notification) -> bool:
        self._reach("before add")
        added = super().add(notification)
        self._reach("after add")
        return added

    def due(self, now: float) -> Mapping[str, Sequence[str]]:
        self._reach("before due")
        return super().due(now)

    def take(self, tenant: str, notification_id: str, now: float, until: float) -> Notification | None:
        self._reach("before take")
        taken = super().take(tenant, notification_id, now, until)
        self._reach("after take")
        return taken

    def finish(self, notification: Notification) -> None:
        self._reach("before finish")
        super().finish(notification)
        self._reach("after finish")


class KillableWebhook(Webhook):
    """A webhook whose caller may end before the call or after the answer."""

    def __init__(self, world: World, reach: Callable[[str], None]) -> None:
        super().__init__(world)
        self._reach = reach

    def send(self, url: str, headers: Mapping[str, str], body: str) -> Accepted:
        self._reach("before call")
        accepted = super().send(url, headers, body)
        self._reach("after call")
        return accepted


class Notifying(RuleBasedStateMachine):
    """Changes of two connections, runs of the functions, and crashes."""

    @initialize()
    def begin(self) -> None:
        self.last_step = ""
        self.missed = 0
        self.world = World()
        self.world.notifications = KillableStore(self.reach)
        self.world.webhook = KillableWebhook(self.world, self.reach)
        self.world.cold()
        self.world.subscribe(faulty_after=AFTER)
        self.expected: dict[str, list[str]] = defaultdict(list)
        self.failing_since: dict[str, float] = {}
        for name in ("one", "two"):
            self.world.connect(name)
            self.expected[name].append("connection.opened")

    def reach(self, step: str) -> None:
        if step == self.last_step:
            self.last_step = ""
            raise Killed

    @rule(name=NAMES)
    def fail(self, name: str) -> None:
        self.world.fail(name)
        self.failing_since.setdefault(name, self.world.now)

    @rule(name=NAMES)
    def recover(self, name: str) -> None:
        self.world.open(name)
        since = self.failing_since.pop(name, None)
        if since is not None and self.world.now - since > AFTER * MINUTE:
            self.expected[name] += ["connection.faulty", "connection.recovered"]

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        """Let time pass before a run of the reconciler."""
        self.world.now += minutes * MINUTE
        self.run()

    # A record keeps five outages, so the runs must not stay away for more of them.
    @precondition(lambda self: self.missed < 4)
    @rule(minutes=st.integers(1, 60))
    def miss_runs(self, minutes: int) -> None:
        """Let time pass in which the schedule calls no function."""
        self.missed += 1
        self.world.now += minutes * MINUTE

    @rule(step=st.sampled_from((*STEPS, *CALLS)))
    def run_and_kill(self, step: str) -> None:
        """Run the functions; the process that reaches ``step`` ends there."""
        self.last_step = step
        self.run()
        self.last_step = ""
        self.world.cold()

    @precondition(lambda self: self.world.webhook.failing("") is None)
    @rule()
    def break_webhook(self) -> None:
        self.world.webhook.failing = lambda _: NotDelivered("no answer", silent=True)

    @rule()
    def mend_webhook(self) -> None:
        self.world.webhook.failing = lambda _: None

    def run(self) -> None:
        with suppress(Killed, Unavailable):
            self.world.reconcile()
            self.missed = 0

    def teardown(self) -> None:
        self.last_step = ""
        self.mend_webhook()
        for _ in range(40):
            self.world.now += MINUTE
            self.run()
        for name, since in self.failing_since.items():
            if self.world.now - since > AFTER * MINUTE:
                self.expected[name].append("connection.faulty")
        received: dict[str, str] = {}
        for _, _, headers, body in self.world.webhook.received:
            # Each repeat has the same id and the same body.
            assert received.setdefault(headers["webhook-id"], body) == body
        for name, kinds in self.expected.items():
            bodies = [body for body in received.values() if f'"connectionId": "{name}"' in body]
            found = [kind for kind in set(kinds) for body in bodies if f'"type": "{kind}"' in body]
            assert sorted(found) == sorted(kinds), name
        stored = self.world.notifications.stored.values()
        assert {each.status for each in stored} == {DeliveryStatus.DELIVERED}


TestNotifications = Notifying.TestCase
TestNotifications.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
