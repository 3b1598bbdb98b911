"""In-memory brokers of customers. A test makes them fail, refuse, nack, return messages or lose connections."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.delivery import DELIVERED, Outcome, Result
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerRefused, BrokerUnreachable
from chalicelib.ports.publishing import OutgoingMessage, PublishResult
from chalicelib.vocabulary import EventType, FailureReason, RetryReason
from tests.rules.scheduler import Fate, Killed, Task, current, history


class Mode(StrEnum):
    """The answer of a broker to a connect or a publish."""

    UP = "up"
    DOWN = "down"
    REFUSES = "refuses"
    NO_EXCHANGE = "no exchange"


_FAULTS: dict[Mode, BrokerFault] = {
    Mode.DOWN: BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused"),
    Mode.REFUSES: BrokerRefused(EventType.LOGIN_REFUSED, "wrong password"),
    Mode.NO_EXCHANGE: BrokerMisconfigured(EventType.EXCHANGE_MISSING, "no such exchange"),
}
_LOST = BrokerUnreachable(EventType.CONNECTION_LOST, "the broker closed the connection")
_TIMED_OUT = BrokerUnreachable(EventType.CONFIRM_TIMEOUT, "the broker does not confirm")


@dataclass
class Arrival:
    """A message that reached the broker. ``confirmed``: the publisher got the confirm."""

    message_id: str
    group: str
    at: float
    task: Task | None
    confirmed: bool = True


@dataclass
class Brokers:
    """The brokers of all connections, one each. Implements ``ports.PublisherFactory``.

    ``returned``: (connection id, message id) of messages that the broker returned at least once.
    """

    clock: Callable[[], float]
    modes: dict[str, Mode] = field(default_factory=lambda: defaultdict(lambda: Mode.UP))
    nacking: set[str] = field(default_factory=set)
    """Devices whose queue is full."""
    unroutable: set[str] = field(default_factory=set)
    """Devices whose routing key has no bound queue."""
    slow: set[str] = field(default_factory=set)
    """Connection ids whose brokers confirm late."""
    arrivals: dict[str, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    returned: set[tuple[str, str]] = field(default_factory=set)
    sessions: list["Session"] = field(default_factory=list)

    def open(self, connection: Connection, _secrets: ConnectionSecrets, _deadline: float) -> "Session":
        task = current()
        fate = task.stop_at("broker.open") if task else Fate.WORKS
        if fate in {Fate.CRASHES, Fate.CRASHES_AFTER}:
            raise Killed
        if self.modes[connection.id] is not Mode.UP:
            raise _FAULTS[self.modes[connection.id]]
        if fate is not Fate.WORKS:
            raise _FAULTS[Mode.DOWN]
        session = Session(self, connection.id)
        self.sessions.append(session)
        return session

    def lose_connections(self, connection_id: str) -> None:
        """Drop all connections of the broker, as its restart does."""
        for session in self.sessions:
            session.lost = session.lost or session.id == connection_id

    def arrive(self, connection_id: str, message: OutgoingMessage, *, confirmed: bool = True) -> None:
        """Record the arrival of a message."""
        arrival = Arrival(message.message_id, message.group, self.clock(), current(), confirmed)
        self.arrivals[connection_id].append(arrival)
        history.append(f"    {connection_id} has {message.message_id[:6]} of {message.group[-1]}, {confirmed=}")


@dataclass
class Session:
    """A warm connection. Implements ``ports.Publisher``. The client notices its loss at the next use."""

    brokers: Brokers
    id: str
    usable: bool = True
    waiting_since: float = math.inf
    is_quick: bool = False
    lost: bool = False
    waiting: dict[str, list[OutgoingMessage]] = field(default_factory=dict)
    """Submitted messages without an outcome, by device."""

    def submit(self, messages: Sequence[OutgoingMessage], _deadline: float) -> None:
        for message in messages:
            self.waiting.setdefault(message.group, []).append(message)

    def wake(self) -> None:
        pass

    def progress(self) -> PublishResult:
        """Publish a round with one message of each device. All messages of a round are unconfirmed together."""
        outcomes: dict[str, Outcome] = {}
        heads = [left[0] for left in self.waiting.values()]
        for index, message in enumerate(heads):
            fault = self._fault(heads[index:])
            if fault:
                self.usable = False
                rest = [waiting for left in self.waiting.values() for waiting in left]
                self.waiting.clear()
                return PublishResult(
                    {m.key: Outcome(Result.RETRY, fault.type, str(fault)) for m in rest} | outcomes, fault
                )
            outcomes[message.key] = outcome = self._outcome(message)
            left = self.waiting[message.group]
            left.pop(0)
            if outcome.result is Result.RETRY:
                outcomes |= {later.key: Outcome(Result.RETRY, RetryReason.HELD_BACK) for later in left}
                left.clear()
            if not left:
                del self.waiting[message.group]
        return PublishResult(outcomes, slowest=2.0 if self.id in self.brokers.slow else 0.0)

    def _fault(self, unconfirmed: Sequence[OutgoingMessage]) -> BrokerFault | None:
        """Return the fault that ends the connection before the first of these messages is confirmed, if any."""
        task = current()
        fate = task.stop_at("broker.publish") if task else Fate.WORKS
        if fate is Fate.CRASHES:
            raise Killed
        if self.lost or self.brokers.modes[self.id] is not Mode.UP:
            return _LOST
        if fate in {Fate.ANSWER_LOST, Fate.SHORT, Fate.CRASHES_AFTER}:
            for message in unconfirmed:
                if message.group not in self.brokers.nacking | self.brokers.unroutable:
                    self.brokers.arrive(self.id, message, confirmed=False)
        if fate is Fate.CRASHES_AFTER:
            raise Killed
        return {Fate.FAILS: _LOST, Fate.ANSWER_LOST: _LOST, Fate.SHORT: _TIMED_OUT}.get(fate)

    def _outcome(self, message: OutgoingMessage) -> Outcome:
        if message.group in self.brokers.nacking:
            return Outcome(Result.RETRY, RetryReason.NACKED, "the queue is full")
        if message.group in self.brokers.unroutable:
            self.brokers.returned.add((self.id, message.message_id))
            return Outcome(Result.FAILED, FailureReason.UNROUTABLE, "NO_ROUTE")
        self.brokers.arrive(self.id, message)
        return DELIVERED

    def check(self, _deadline: float) -> None:
        task = current()
        fate = task.stop_at("broker.check") if task else Fate.WORKS
        if fate in {Fate.CRASHES, Fate.CRASHES_AFTER}:
            raise Killed
        if self.lost or self.brokers.modes[self.id] is not Mode.UP or fate is not Fate.WORKS:
            self.usable = False
            raise _LOST

    def close(self) -> None:
        self.usable = False

    def abort(self) -> None:
        self.usable = False
