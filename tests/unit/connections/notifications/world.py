"""Notifications on in-memory ports with a virtual clock: reconciler's steps, outbox, dispatch and sender."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from chalicelib.connections.notifications.dispatch import Dispatcher
from chalicelib.connections.notifications.outbox import NotificationOutbox, Subscriptions
from chalicelib.connections.notifications.sender import NotificationSender, NotifyContext
from chalicelib.domain import breaker
from chalicelib.domain.notifications.settings import NotificationRequest, NotificationSettings, QuietHours
from chalicelib.errors import BrokerRefused, NotDelivered
from chalicelib.ports.notifications import Accepted, SendJob
from chalicelib.upkeep.state_notices import StateNotices
from chalicelib.vocabulary import EventType, NotificationKind
from infra.local.in_memory import MemoryNotifications, MemorySettings, MemoryWebhookSecrets
from tests.unit.domain.test_breaker import connection

if TYPE_CHECKING:
    from chalicelib.domain.connection import Connection

REFUSED = BrokerRefused(EventType.LOGIN_REFUSED, "The broker refused the login.")
MINUTE, HOUR = 60.0, 3600.0
START = 1_795_000_000.0


class Webhook:
    """The webhooks of all tenants. ``failing``: returns the fault of a call to a URL, or None."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.failing: Callable[[str], NotDelivered | None] = lambda _: None
        self.calls: list[tuple[float, str, Mapping[str, str], str]] = []
        self.received: list[tuple[float, str, Mapping[str, str], str]] = []

    def send(self, url: str, headers: Mapping[str, str], body: str) -> Accepted:
        call = self._world.now, url, headers, body
        self.calls.append(call)
        if (fault := self.failing(url)) is not None:
            raise fault
        self.received.append(call)
        return Accepted(200)


class World:
    """Tenants with connections and webhooks. ``run`` is a run of the reconciler, which calls the sender at once."""

    def __init__(self) -> None:
        self.now = START
        self.settings = MemorySettings()
        self.notifications = MemoryNotifications()
        self.secrets = MemoryWebhookSecrets()
        self.webhook = Webhook(self)
        self.published: list[tuple[str, str, str]] = []
        self.jobs: list[SendJob] = []
        self.connections: dict[str, Connection] = {}
        self.refused: Exception | None = None
        """What Lambda raises in place of an invocation."""
        self.subscriptions = Subscriptions(self.settings, self.clock, MINUTE / 2)
        self.cold()

    def clock(self) -> float:
        return self.now

    def cold(self) -> None:
        """Replace the functions' processes, as after a kill."""
        self.subscriptions = Subscriptions(self.settings, self.clock, MINUTE / 2)
        self.outbox = NotificationOutbox(self.subscriptions, self.notifications, self.clock)
        self.notices = StateNotices(self.subscriptions, self.outbox, self.clock, 1.0)
        self.dispatcher = Dispatcher(self.subscriptions, self.notifications, self, self.clock)
        context = NotifyContext(
            settings=self.settings,
            notifications=self.notifications,
            secrets=self.secrets,
            webhooks=self.webhook,
            topics=self,
            executor=ThreadPoolExecutor(10),
            clock=self.clock,
            scale=1.0,
            monotonic=lambda: 0.0,
        )
        self.sender = NotificationSender(context)

    # The function ``notify``, and SNS

    def start(self, jobs: Sequence[SendJob]) -> None:
        if self.refused is not None:
            raise self.refused
        for job in jobs:
            self.run_job(job)

    def run(self, job: SendJob) -> None:
        self.run_job(job)

    def run_job(self, job: SendJob) -> None:
        self.jobs.append(job)
        event = {"jobs": [{"tenant": job.tenant, "ids": list(job.ids), "test": job.test}]}
        self.sender.handle(event, 60.0)

    def publish(self, arn: str, kind: str, body: str) -> Accepted:
        self.published.append((arn, kind, body))
        return Accepted()

    # Tenants and connections

    def subscribe(self, tenant: str = "demo", quiet: QuietHours | None = None, **wanted: Any) -> str:
        """Set up a tenant's notifications and return the secret of its webhook."""
        name, secret = self.secrets.create(tenant)
        target = {} if "topic_arn" in wanted else {"url": f"https://{tenant}.example/hook"}
        request = NotificationRequest(**target, quiet_hours=quiet, **wanted)
        stored = self.settings.find(tenant)
        version = 0 if stored is None else stored.version
        settings = NotificationSettings(
            tenant=tenant,
            wanted=request,
            secret_id=name,
            active_since=self.now,
            version=version + 1,
            created_at="",
            updated_at="",
        )
        self.settings.put(settings, version)
        return secret

    def connect(self, name: str, tenant: str = "demo") -> None:
        self.connections[name] = connection().model_copy(update={"tenant": tenant, "id": name, "name": name})
        self.open(name)

    def open(self, name: str) -> None:
        self.connections[name] = breaker.recovered(self.connections[name], self.now, "token", self.now)

    def fail(self, name: str) -> None:
        self.connections[name] = breaker.failed(self.connections[name], REFUSED, self.now, 0, 1)

    # Runs of the reconciler

    def find(self) -> None:
        """Store what the records show."""
        for each in self.connections.values():
            if self.notices.concerns(each):
                self.notices.check(each)

    def reconcile(self, minutes: float = 0) -> None:
        """Run the reconciler now, or each minute of the next ``minutes``."""
        for _ in range(max(1, round(minutes))):
            self.now += MINUTE if minutes else 0
            self.find()
            self.dispatcher.run()

    def kinds(self, tenant: str = "demo") -> list[str]:
        """Return the kinds that a tenant's webhook received, each id once, in the order of arrival."""
        ids = {headers["webhook-id"]: body for _, url, headers, body in self.webhook.received if tenant in url}
        return [next(kind.value for kind in NotificationKind if f'"{kind.value}"' in body) for body in ids.values()]
