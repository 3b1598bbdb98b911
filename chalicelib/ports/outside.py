"""What the services need from outside, as protocols. Adapters and the tests' fakes have these interfaces."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from chalicelib.domain.delivery import Outcome
from chalicelib.domain.models import ApplicationServer, CheckStep, Connection, ConnectionSecrets, Event, FailedMessage
from chalicelib.domain.work_items import DownlinkJob, PollJob, Wake
from chalicelib.errors import BrokerFault

Clock = Callable[[], float]
"""Unix seconds."""


@dataclass(frozen=True)
class QueueRecord:
    """A message that an event source mapping hands over."""

    receipt: str
    message_id: str
    body: str
    group: str = ""
    attempts: int = 1


@dataclass(frozen=True)
class ReceivedReport:
    """A report as it came from a connection's queue. ``group``: the device; ``attempts`` begins at 1."""

    receipt: str
    message_id: str
    group: str
    body: str
    sent_at: float
    attempts: int


class ConnectionStore(Protocol):
    """Connections in DynamoDB. Every write is conditional; reads are strongly consistent."""

    def create(self, connection: Connection, limit: int) -> None:
        """Raises Conflict when the tenant has ``limit`` connections already."""

    def get(self, tenant: str, connection_id: str) -> Connection:
        """Raises NotFound."""

    def of_tenant(self, tenant: str) -> list[Connection]:
        """All of a tenant's, newest first."""

    def replace(self, connection: Connection, expected_version: int) -> None:
        """Writes what the API changes. Raises PreconditionFailed when the version is another, NotFound when gone."""

    def delete(self, tenant: str, connection_id: str, version: int | None = None) -> None:
        """``version``: the one that may be deleted, without it any. Raises NotFound, PreconditionFailed."""

    def generation(self, tenant: str) -> int:
        """Changes whenever one of the tenant's connections is created, replaced or deleted."""

    def update_breaker(self, connection: Connection, expected_epoch: int) -> bool:
        """Writes state, reason, epoch, failures, outage, probe and mark in one; False when the epoch was another."""

    def set_pending_wake(self, tenant: str, connection_id: str, wake_at: float, token: str) -> None:
        """Leaves a mark: the reconciler sends a wake once ``wake_at`` is past. No effect on one that is gone."""

    def clear_pending_wake(self, tenant: str, connection_id: str, token: str) -> None:
        """Removes the mark if its token is still this one."""

    def postpone_probe(self, connection: Connection, probe_at: float) -> None:
        """Moves the next probe if the epoch is still the connection's."""

    def forget_old_bindings(self, connection: Connection) -> None:
        """The broker has removed them. No effect when the version is another."""

    def pending_wakes_due(self, now: float) -> Iterable[Connection]: ...

    def probes_due(self, now: float) -> Iterable[Connection]: ...

    def all_active(self) -> Iterable[Connection]: ...


class SecretStore(Protocol):
    """Secrets Manager, one secret a connection; versions never overwrite each other."""

    def put(self, tenant: str, connection_id: str, secrets: ConnectionSecrets) -> str:
        """Stores a new version and returns its id."""

    def get(self, tenant: str, connection_id: str, version: str) -> ConnectionSecrets: ...

    def drop_version(self, tenant: str, connection_id: str, version: str) -> None:
        """Forgets a version that no record names any more."""

    def delete(self, tenant: str, connection_id: str) -> None:
        """All versions at once, not to be recovered, and its AS keys. No error when there is none."""

    def put_as_key(self, tenant: str, connection_id: str, as_key: str) -> str:
        """Keeps the AS key that came with a downlink; returns the name to get it by, the same for the same key."""

    def get_as_key(self, name: str) -> str: ...


class ApplicationServerStore(Protocol):
    def put(self, tenant: str, as_id: str, as_key: str) -> ApplicationServer: ...

    def of_tenant(self, tenant: str) -> list[ApplicationServer]: ...

    def delete(self, tenant: str, as_id: str) -> None:
        """Raises NotFound."""

    def keys(self, as_id: str) -> list[tuple[str, str]]:
        """(tenant, AS key) of every tenant that has this application server."""


class UplinkQueues(Protocol):
    """The connections' FIFO queues."""

    def create(self, connection_id: str) -> None: ...

    def delete(self, connection_id: str) -> None:
        """No error when there is none."""

    def send(self, connection_id: str, *, body: str, group: str, message_id: str, deduplication_id: str) -> None:
        """Raises QueueMissing (a NotFound) when the queue is gone, Unavailable when SQS does not take it."""

    def receive(self, connection_id: str, limit: int) -> list[ReceivedReport]:
        """Up to ``limit`` (at most 10), for the report visibility of the settings."""

    def delete_messages(self, connection_id: str, receipts: Sequence[str]) -> list[str]:
        """Deletes, with repeats; returns the receipts that could not be deleted."""

    def release(self, connection_id: str, receipts: Sequence[str], delay: int) -> None:
        """Makes messages visible again after ``delay`` seconds, the last first, so that order holds."""

    def depth(self, connection_id: str) -> tuple[int, int]:
        """(visible and delayed, in flight), approximate."""


class WakeQueue(Protocol):
    def send(self, wakes: Sequence[Wake]) -> None: ...

    def extend(self, receipts: Sequence[str]) -> None:
        """Gives wakes their full visibility again."""

    def delete(self, receipts: Sequence[str]) -> None: ...


class PollQueue(Protocol):
    def send(self, job: PollJob) -> None: ...


class DownlinkQueue(Protocol):
    def send(self, jobs: Sequence[tuple[DownlinkJob, str]]) -> list[bool]:
        """(job, deduplication id) pairs, at most 10; True for each that SQS accepted."""

    def delete(self, receipts: Sequence[str]) -> None: ...

    def delay(self, receipts: Sequence[str], seconds: int) -> None: ...


class DownlinkLedger(Protocol):
    """Which downlinks the network server has taken, so that a crash repeats a call once at the most."""

    def was_sent(self, message_id: str) -> bool: ...

    def record(self, message_id: str) -> None: ...


class EventLog(Protocol):
    def add(self, tenant: str, event: Event) -> None: ...


class FailedMessages(Protocol):
    def add(self, tenant: str, connection_id: str, messages: Sequence[FailedMessage]) -> None: ...

    def page(
        self, tenant: str, connection_id: str, limit: int, cursor: str | None
    ) -> tuple[list[FailedMessage], str | None]:
        """Newest first, and the cursor of the next page. Raises InvalidRequest for a cursor that is none of ours."""

    def purge(self, tenant: str, connection_id: str) -> None: ...


class Statistics(Protocol):
    def add(self, tenant: str, connection_id: str, counts: Mapping[str, int], devices: Collection[str] = ()) -> None:
        """Adds to the counters of this minute, such as ``uplinksDelivered``, and notes the devices as active."""

    def mark_waiting(self, tenant: str, connection_id: str, names: Sequence[str]) -> None:
        """These, named by SQS's deduplication ids, wait from now on. No effect on those that do or did just now."""

    def clear_waiting(self, tenant: str, connection_id: str, name: str) -> None:
        """It does not wait any more. The order of taking and settling does not matter."""


class Leases(Protocol):
    """One consumer a connection."""

    def acquire(self, connection_id: str, owner: str) -> bool:
        """Takes or renews; False when somebody else has it."""

    def release(self, connection_id: str, owner: str) -> None: ...


@dataclass(frozen=True)
class OutgoingMessage:
    """One basic.publish. Messages of the same ``group`` are published one after the other, in order."""

    key: str
    """The caller's name for it, given back with the outcome."""
    group: str
    routing_key: str
    body: bytes
    message_id: str
    type: str
    timestamp: int | None = None
    headers: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishResult:
    """``outcomes``: by key, for every message. ``fault``: what ended the connection or channel, if something did."""

    outcomes: Mapping[str, Outcome]
    fault: Exception | None = None


class Publisher(Protocol):
    """A warm AMQP connection with a channel in confirm mode."""

    def publish(self, messages: Sequence[OutgoingMessage], deadline: float) -> PublishResult:
        """Publishes pipelined, at most one unconfirmed of a group. ``deadline``: time.monotonic(). Never raises for
        a broker's fault: what was not confirmed has the outcome RETRY, and ``fault`` says why."""

    def check(self, deadline: float) -> None:
        """A round trip. Raises BrokerFault when the broker does not answer."""

    @property
    def usable(self) -> bool: ...

    def close(self) -> None: ...

    def abort(self) -> None:
        """Resets the socket, so that a thawed environment flushes nothing."""


class PublisherFactory(Protocol):
    def open(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> Publisher:
        """Connects, logs in, opens a channel in confirm mode, finds or declares the exchange. Raises BrokerFault."""


class RateLimits(Protocol):
    def acquire(self, tenant: str, kind: str, limit: int) -> None:
        """Counts one call of a kind. Raises TooManyRequests when the tenant has made ``limit`` of them within this
        minute."""


class ConnectionTester(Protocol):
    def test(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> list[CheckStep]:
        """The steps up to the first that fails; ends at ``deadline`` (time.monotonic()). Publishes nothing, leaves
        nothing at the broker, and never raises for a broker's fault."""


@dataclass(frozen=True)
class ReceivedDownlink:
    """What came from a downlink queue. ``tag``: to acknowledge it with."""

    connection_id: str
    tag: Any
    routing_key: str
    body: bytes
    message_id: str | None
    app_id: str | None
    redelivered: bool


class Verdict(StrEnum):
    """What becomes of a received downlink."""

    ACK = "ACK"
    """It is safely ours."""
    REJECT = "REJECT"
    """It can never be sent: not requeued, so that a dead-letter exchange of the customer's gets it."""
    LATER = "LATER"
    """It could not be kept: the connection is closed, which gives all that is not acknowledged back in order."""


OnBatch = Callable[[str, Sequence[ReceivedDownlink]], Sequence[Verdict]]
"""(connection id, messages) → a verdict for each. Called in a thread of the consumer's, so it may wait. Messages of
one connection come in their order, one batch of up to 100 at a time."""


class DownlinkConsumer(Protocol):
    """Consumes the downlinks of many connections on one I/O loop; for one run. All methods but ``run`` may be called
    from any thread, before and while it runs."""

    def open(
        self, connection: Connection, secrets: ConnectionSecrets, old_bindings: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Starts connecting; ends in ``on_opened`` or ``on_fault``. One that is there already must be told to close
        first; the new one begins when that is done, and removes its binding if it was another.

        ``old_bindings``: further (exchange, binding key) pairs that the queue is to be freed of."""

    def close(self, connection_id: str) -> None:
        """Cancel, drain, ack, close. No effect on one that is not there."""

    def delete_queue(self, connection_id: str) -> None:
        """Deletes the downlink queue over the live connection and closes it. It is not opened again in this run."""

    def finish(self) -> None:
        """Makes ``run`` close everything now."""

    def run(
        self,
        close_at: float,
        end: float,
        on_batch: OnBatch,
        on_opened: Callable[[str], None],
        on_fault: Callable[[str, BrokerFault], None],
        tick: Callable[[], None],
    ) -> None:
        """Serves until ``close_at`` (time.monotonic()), then closes all in order; what is left at ``end`` is reset.

        ``on_opened``, ``on_fault`` and ``tick`` (some five times a second) are called by the loop and must not wait.
        After ``on_fault`` the connection is gone until it is opened again; an orderly end is not told. What a callback
        raises ends the run and is raised by it."""


class DownlinkQueueRemover(Protocol):
    def remove(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> None:
        """Deletes the connection's queue at its broker, consumed from or not. ``deadline``: time.monotonic(). Raises
        BrokerFault."""


class NetworkServer(Protocol):
    def send_downlink(self, parameters: Sequence[tuple[str, str]], as_key: str) -> None:
        """The LRC call. Raises DownlinkRejected (4xx) or DownlinkDelayed (5xx, time-out)."""
