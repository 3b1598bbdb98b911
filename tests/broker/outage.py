"""A forwarder on in-memory queues and tables in front of a real, faulty broker."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_changes import fresh, old_bindings
from chalicelib.ports.publishing import OutgoingMessage, Publisher, PublisherFactory, PublishResult
from chalicelib.vocabulary import ConnectionState
from tests.broker.support import LOCAL, Site, bound_queue, drain_queue, unique
from tests.unit.flow import TENANT, Flow

DEVICES = (1, 2, 3)


class Watched:
    """A publisher factory that calls ``before`` and ``after`` around each publish."""

    def __init__(self, factory: PublisherFactory) -> None:
        self._factory = factory
        self.opened = 0
        self._publishers: list[Publisher] = []
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None

    def open(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> Publisher:
        publisher = self._factory.open(connection, secrets, deadline)
        self.opened += 1
        self._publishers.append(publisher)
        return _WatchedPublisher(self, publisher)

    def any_usable(self) -> bool:
        return any(publisher.usable for publisher in self._publishers)


class _WatchedPublisher:
    def __init__(self, watched: Watched, publisher: Publisher) -> None:
        self._watched = watched
        self._publisher = publisher

    @property
    def usable(self) -> bool:
        return self._publisher.usable

    def submit(self, messages: Sequence[OutgoingMessage], deadline: float) -> None:
        self._publisher.submit(messages, deadline)

    def progress(self) -> PublishResult:
        self._watched.before()
        result = self._publisher.progress()
        self._watched.after()
        return result

    def wake(self) -> None:
        self._publisher.wake()

    @property
    def is_quick(self) -> bool:
        return self._publisher.is_quick

    @property
    def waiting_since(self) -> float:
        return self._publisher.waiting_since

    def check(self, deadline: float) -> None:
        self._publisher.check(deadline)

    def close(self) -> None:
        self._publisher.close()

    def abort(self) -> None:
        self._publisher.abort()


class Outage(Flow):
    """A tenant's connection ``c1``. ``queue`` at the broker collects the uplinks for the tenant's application."""

    def __init__(self, site: Site) -> None:
        self.publishers = Watched(AmqpPublisherFactory(LOCAL))
        super().__init__(self.publishers)
        self.site = site
        self.key = unique("key")
        self.pattern = f"{self.key}.{{DevEUI}}"
        self.queue = bound_queue(site, f"{self.key}.#")
        self.accepted: list[str] = []

    def start(self, connection: Connection, secrets: ConnectionSecrets) -> None:
        """Create the connection and its uplink queue."""
        configuration = connection.configuration.model_copy(update={"uplink_topic_pattern": self.pattern})
        self.queues.create("c1")
        self.connections.create(
            connection.model_copy(
                update={
                    "tenant": TENANT,
                    "id": "c1",
                    "configuration": configuration,
                    "secret_version": self.secrets.put(TENANT, "c1", secrets),
                }
            ),
            100,
        )

    def close(self) -> None:
        self.pool.close("c1")
        self.executor.shutdown()

    def good(self) -> "Outage":
        """Start with a working configuration and deliver the first reports."""
        self.start(self.site.connection(), self.site.secrets)
        self.accept()
        self.forward()
        assert self.visible_state() == ("OPENED", None, ["OPENED"])
        self.events.events.clear()
        return self

    def accept(self, rounds: int = 2) -> None:
        """Accept ``rounds`` reports of each of three devices."""
        self.accepted += [self.post(device) for _ in range(rounds) for device in DEVICES]

    def change(self, secrets: ConnectionSecrets | None = None, **configuration: Any) -> None:
        """Change the connection as a user's ``PUT`` stores it."""
        before = self.state()
        after = before.configuration.model_copy(update=configuration)
        update: dict[str, Any] = {
            "configuration": after,
            "old_bindings": old_bindings(before, after),
            "version": before.version + 1,
            "state": ConnectionState.OPENING,
            "state_reason": None,
            "failures": 0,
            "outage_since": None,
        }
        if secrets:
            update["secret_version"] = self.secrets.put(TENANT, "c1", secrets)
        self.connections.replace(before.model_copy(update=update), before.version, reset=True)
        self.wake(probe=self.state().epoch)

    def activate(self, *, active: bool) -> None:
        """Activate or deactivate the connection as ``PATCH`` stores it."""
        before = self.state()
        update = {"active": active, "version": before.version + 1, **fresh(self.now, active=active)}
        self.connections.replace(before.model_copy(update=update), before.version, reset=True)
        if active:
            self.wake(probe=self.state().epoch)

    def visible_state(self) -> tuple[str, str | None, list[str]]:
        """Return what the tenant sees: the state, its reason and the event types in order."""
        return self.state().state.value, self.state().state_reason, self.event_types()

    def probe(self) -> None:
        """Let the time of the next probe come."""
        self.now = (self.state().probe_at or self.now) + 1
        self.reconciler.run()
        self.forward()

    def run_until_delivered(self) -> None:
        """Run until the queue is empty: pending wake-ups come due and reports become visible again."""
        for _ in range(10):
            if self.queues.depth("c1") == (0, 0):
                return
            self.now += self.settings.timing.report_visibility + 1
            self.reconciler.run()
            self.forward()
        raise AssertionError(f"left in the queue: {self.queues.depth('c1')}, {self.visible_state()}")

    def arrived(self) -> list[tuple[str, str]]:
        """Return (body, message_id) of every message that the application received, in order."""
        return [(body.decode(), properties.message_id) for _, properties, body in drain_queue(self.site, self.queue)]

    def assert_all_arrived(self, repeats: int = 0) -> None:
        """Assert that each accepted report arrived once, in order per device.

        At most ``repeats`` further arrivals may repeat an earlier body and message_id.
        """
        arrived = self.arrived()
        first = list(dict.fromkeys(arrived))
        assert len(arrived) - len(first) <= repeats
        assert len({body for body, _ in first}) == len(first)
        for device in DEVICES:
            assert [body for body, _ in first if device_of(body) == device] == [
                body for body in self.accepted if device_of(body) == device
            ]
        assert self.queues.depth("c1") == (0, 0)
        assert not self.failed.messages


def device_of(body: str) -> int:
    return int(json.loads(body)["DevEUI_uplink"]["DevEUI"], 16)
