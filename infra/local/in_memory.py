"""Ports in memory, with the real ones' rules, for tests and benchmarks."""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chalicelib.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed
from chalicelib.models import (
    ApplicationServer,
    Connection,
    ConnectionSecrets,
    Event,
    FailedMessage,
    PollJob,
    Wake,
)
from chalicelib.ports import Clock, ReceivedReport
from chalicelib.queues import QueueMissing


@dataclass
class _Stored:
    report: ReceivedReport
    visible_at: float = 0.0


@dataclass
class _Fifo:
    messages: dict[int, _Stored] = field(default_factory=dict)
    """By sequence number, so in order."""
    groups: dict[str, dict[int, None]] = field(default_factory=lambda: defaultdict(dict))
    seen: dict[str, float] = field(default_factory=dict)
    receipts: dict[str, int] = field(default_factory=dict)


class MemoryUplinkQueues:
    """FIFO queues with groups, visibility and deduplication, as SQS has them."""

    def __init__(self, visibility: float = 60, clock: Clock = time.monotonic) -> None:
        self._visibility = visibility
        self._clock = clock
        self._queues: dict[str, _Fifo] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def create(self, connection_id: str) -> None:
        with self._lock:
            self._queues.setdefault(connection_id, _Fifo())

    def delete(self, connection_id: str) -> None:
        with self._lock:
            self._queues.pop(connection_id, None)

    def _queue(self, connection_id: str) -> _Fifo:
        if connection_id not in self._queues:
            raise QueueMissing("the queue does not exist")
        return self._queues[connection_id]

    def send(self, connection_id: str, *, body: str, group: str, message_id: str, deduplication_id: str) -> None:
        with self._lock:
            queue, now = self._queue(connection_id), self._clock()
            if now - queue.seen.get(deduplication_id, float("-inf")) < 300:  # noqa: PLR2004  # SQS's five minutes
                return
            queue.seen[deduplication_id] = now
            number = next(self._numbers)
            queue.messages[number] = _Stored(ReceivedReport("", message_id, group, body, now, 0))
            queue.groups[group][number] = None

    def receive(self, connection_id: str, limit: int) -> list[ReceivedReport]:
        with self._lock:
            queue, now = self._queue(connection_id), self._clock()
            received: list[ReceivedReport] = []
            for group in list(queue.groups.values()):
                if any(queue.messages[number].visible_at > now for number in group):
                    continue
                for number in group:
                    if len(received) == min(limit, 10):
                        return received
                    received.append(self._give(queue, number, now))
            return received

    def _give(self, queue: _Fifo, number: int, now: float) -> ReceivedReport:
        stored = queue.messages[number]
        receipt = f"{number}.{stored.report.attempts + 1}"
        queue.receipts.pop(stored.report.receipt, None)
        stored.report = replace(stored.report, receipt=receipt, attempts=stored.report.attempts + 1)
        stored.visible_at = now + self._visibility
        queue.receipts[receipt] = number
        return stored.report

    def delete_messages(self, connection_id: str, receipts: Sequence[str]) -> list[str]:
        with self._lock:
            queue = self._queue(connection_id)
            for receipt in receipts:
                number = queue.receipts.pop(receipt, None)
                if number is not None:
                    group = queue.messages.pop(number).report.group
                    del queue.groups[group][number]
                    if not queue.groups[group]:
                        del queue.groups[group]
            return []

    def release(self, connection_id: str, receipts: Sequence[str], delay: int) -> None:
        with self._lock:
            queue = self._queue(connection_id)
            for receipt in receipts:
                number = queue.receipts.get(receipt)
                if number is not None:
                    queue.messages[number].visible_at = self._clock() + delay

    def depth(self, connection_id: str) -> tuple[int, int]:
        with self._lock:
            queue, now = self._queue(connection_id), self._clock()
            held = sum(stored.visible_at > now for stored in queue.messages.values())
            return len(queue.messages) - held, held


class MemoryConnectionStore:
    """The conditional writes of the connections' table."""

    def __init__(self) -> None:
        self.connections: dict[tuple[str, str], Connection] = {}
        self._generations: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def create(self, connection: Connection, limit: int) -> None:
        with self._lock:
            if len(self.of_tenant(connection.tenant)) >= limit:
                raise Conflict(f"a tenant has at most {limit} connections")
            self.connections[connection.tenant, connection.id] = connection
            self._generations[connection.tenant] += 1

    def get(self, tenant: str, connection_id: str) -> Connection:
        if (tenant, connection_id) not in self.connections:
            raise NotFound("no such connection")
        return self.connections[tenant, connection_id]

    def of_tenant(self, tenant: str) -> list[Connection]:
        return sorted((c for c in self.connections.values() if c.tenant == tenant), key=lambda c: c.id, reverse=True)

    def replace(self, connection: Connection, expected_version: int) -> None:
        with self._lock:
            if self.get(connection.tenant, connection.id).version != expected_version:
                raise PreconditionFailed("the connection was changed meanwhile")
            self.connections[connection.tenant, connection.id] = connection
            self._generations[connection.tenant] += 1

    def delete(self, tenant: str, connection_id: str) -> None:
        with self._lock:
            self.get(tenant, connection_id)
            del self.connections[tenant, connection_id]
            self._generations[tenant] += 1

    def generation(self, tenant: str) -> int:
        return self._generations[tenant]

    def _change(self, current: Connection, **changes: object) -> None:
        self.connections[current.tenant, current.id] = current.model_copy(update=changes)

    def update_breaker(self, connection: Connection, expected_epoch: int) -> bool:
        with self._lock:
            current = self.get(connection.tenant, connection.id)
            if current.epoch != expected_epoch:
                return False
            names = ("state", "state_reason", "startup_time", "epoch", "failures", "outage_since", "probe_at")
            marks = ("wake_at", "wake_token")
            changes = {name: getattr(connection, name) for name in names}
            if connection.wake_token != current.wake_token and connection.wake_token:
                changes.update({name: getattr(connection, name) for name in marks})
            self._change(current, **changes)
            return True

    def mark(self, tenant: str, connection_id: str, wake_at: float, token: str) -> None:
        with self._lock:
            if (tenant, connection_id) in self.connections:
                self._change(self.get(tenant, connection_id), wake_at=wake_at, wake_token=token)

    def clear_mark(self, tenant: str, connection_id: str, token: str) -> None:
        with self._lock:
            current = self.connections.get((tenant, connection_id))
            if current and current.wake_token == token:
                self._change(current, wake_at=None, wake_token=None)

    def postpone_probe(self, connection: Connection, probe_at: float) -> None:
        with self._lock:
            current = self.connections.get((connection.tenant, connection.id))
            if current and current.epoch == connection.epoch:
                self._change(current, probe_at=probe_at)

    def forget_old_bindings(self, connection: Connection) -> None:
        with self._lock:
            current = self.connections.get((connection.tenant, connection.id))
            if current and current.version == connection.version:
                self._change(current, old_bindings=[])

    def marks_due(self, now: float) -> Iterator[Connection]:
        yield from [c for c in self.connections.values() if c.wake_at is not None and c.wake_at <= now]

    def probes_due(self, now: float) -> Iterator[Connection]:
        yield from [c for c in self.connections.values() if c.active and c.probe_at is not None and c.probe_at <= now]

    def all_active(self) -> Iterator[Connection]:
        yield from [c for c in self.connections.values() if c.active]


class MemoryWakeQueue:
    """Wakes sent; who needs a visibility time-out takes them from ``sent`` and puts them back."""

    def __init__(self) -> None:
        self.sent: list[Wake] = []
        self.deleted: list[str] = []

    def send(self, wakes: Sequence[Wake]) -> None:
        self.sent += wakes

    def extend(self, receipts: Sequence[str]) -> None:
        """Nothing here ever expires."""

    def delete(self, receipts: Sequence[str]) -> None:
        self.deleted += receipts


class MemoryPollQueue:
    def __init__(self) -> None:
        self.sent: list[PollJob] = []

    def send(self, job: PollJob) -> None:
        self.sent.append(job)


class MemorySecretStore:
    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], dict[str, ConnectionSecrets]] = defaultdict(dict)
        self._as_keys: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def put(self, tenant: str, connection_id: str, secrets: ConnectionSecrets) -> str:
        version = f"v{next(self._numbers)}"
        self._versions[tenant, connection_id][version] = secrets
        return version

    def get(self, tenant: str, connection_id: str, version: str) -> ConnectionSecrets:
        return self._versions[tenant, connection_id][version]

    def drop_version(self, tenant: str, connection_id: str, version: str) -> None:
        self._versions[tenant, connection_id].pop(version, None)

    def delete(self, tenant: str, connection_id: str) -> None:
        self._versions.pop((tenant, connection_id), None)

    def put_as_key(self, tenant: str, connection_id: str, as_key: str) -> str:
        name = f"{tenant}/{connection_id}/{len(self._as_keys)}"
        self._as_keys[name] = as_key
        return name

    def get_as_key(self, name: str) -> str:
        return self._as_keys[name]


class MemoryFailedMessages:
    def __init__(self) -> None:
        self.messages: dict[tuple[str, str], list[FailedMessage]] = defaultdict(list)

    def add(self, tenant: str, connection_id: str, messages: Sequence[FailedMessage]) -> None:
        self.messages[tenant, connection_id] += messages

    def page(
        self, tenant: str, connection_id: str, limit: int, cursor: str | None
    ) -> tuple[list[FailedMessage], str | None]:
        if cursor is not None:
            raise InvalidRequest([])
        return self.messages[tenant, connection_id][::-1][:limit], None

    def purge(self, tenant: str, connection_id: str) -> None:
        self.messages.pop((tenant, connection_id), None)


class MemoryEventLog:
    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def add(self, tenant: str, event: Event) -> None:
        self.events.append((tenant, event))


class MemoryStatistics:
    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.devices: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._waiting: dict[tuple[str, str, str], bool] = {}
        """False for what was settled."""

    def take_downlinks(self, tenant: str, connection_id: str, names: Sequence[str]) -> None:
        for name in names:
            self._waiting.setdefault((tenant, connection_id, name), True)

    def settle_downlink(self, tenant: str, connection_id: str, name: str) -> None:
        self._waiting[tenant, connection_id, name] = False

    def waiting_downlinks(self, tenant: str, connection_id: str) -> int:
        return sum(waits for key, waits in self._waiting.items() if key[:2] == (tenant, connection_id))

    def add(self, tenant: str, connection_id: str, counts: Mapping[str, int], devices: Collection[str] = ()) -> None:
        self.devices[tenant, connection_id] |= set(devices)
        for name, number in counts.items():
            self.counts[tenant, connection_id][name] += number


class MemoryApplicationServerStore:
    def __init__(self) -> None:
        self._servers: dict[tuple[str, str], tuple[ApplicationServer, str]] = {}

    def put(self, tenant: str, as_id: str, as_key: str) -> ApplicationServer:
        server = ApplicationServer(tenant=tenant, as_id=as_id, secret_id="", secret_version="", created_at="")
        self._servers[tenant, as_id] = (server, as_key)
        return server

    def of_tenant(self, tenant: str) -> list[ApplicationServer]:
        return [server for (owner, _), (server, _) in self._servers.items() if owner == tenant]

    def delete(self, tenant: str, as_id: str) -> None:
        if self._servers.pop((tenant, as_id), None) is None:
            raise NotFound("no such application server")

    def keys(self, as_id: str) -> list[tuple[str, str]]:
        return [(owner, key) for (owner, name), (_, key) in self._servers.items() if name == as_id]
