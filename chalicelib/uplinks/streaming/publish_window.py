"""The messages of one drain that are at its broker, over the publishers that it uses."""

from collections.abc import Sequence

from chalicelib.domain.connection import Connection
from chalicelib.domain.delivery import Outcome, Result
from chalicelib.errors import BrokerFault, BrokerUnreachable, NotFound, Unavailable
from chalicelib.ports.publishing import OutgoingMessage, Publisher, PublishResult
from chalicelib.uplinks.drain_context import DrainContext
from chalicelib.uplinks.lanes import SLOW_WAIT, LaneKeeper, OutOfTime, TooSlow
from chalicelib.uplinks.socket_slots import NoSlot
from chalicelib.vocabulary import EventType

_STILL_CONNECTED = {EventType.CONFIRM_TIMEOUT, EventType.BROKER_BLOCKED}
"""Faults of a broker that accepts connections: an immediate reconnect would end in the same fault."""


class PublishWindow:
    """Publishes a drain's messages continuously: new ones join while earlier ones await their confirms.

    Once per drain, it publishes on a new connection what a lost connection left unconfirmed. ``abort_at``: monotonic
    time at which an operation is aborted; set it before the first one.
    """

    _connection: Connection
    """The connection of the publisher."""

    def __init__(self, context: DrainContext, lane: LaneKeeper) -> None:
        self._context = context
        self._lane = lane
        self.abort_at = 0.0
        self._messages: dict[str, OutgoingMessage] = {}
        """By key: the messages without an outcome, in the order in which they were submitted."""
        self._publisher: Publisher | None = None
        self._reconnected = False
        self._connect_seconds = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether every submitted message has its outcome."""
        return not self._messages

    @property
    def unconfirmed(self) -> int:
        """Number of submitted messages without an outcome."""
        return len(self._messages)

    @property
    def is_quick(self) -> bool:
        """Whether the broker answers so quickly that the drain may hold more reports."""
        return self._publisher is not None and self._publisher.is_quick

    def is_outdated(self, connection: Connection) -> bool:
        """Return whether messages of an earlier configuration of the connection await confirms."""
        return self._publisher is not None and self._connection.version != connection.version

    def wake(self) -> None:
        """End the wait of ``progress``. For any thread."""
        publisher = self._publisher
        if publisher is not None:
            publisher.wake()

    def reserve(self, connection: Connection) -> None:
        """Take a slot at the broker, unless a publisher is open. Raises NoSlot, Unavailable.

        Call it before a receive: a drain that waits for a slot must not hide reports from those that have one."""
        if not self._context.pool.is_warm(connection):
            deadline = min(self._context.monotonic() + self._context.timing.connect_budget, self.abort_at)
            self._context.pool.reserve(connection, deadline)

    def open(self, connection: Connection) -> Publisher:
        """Return an open publisher. Raises BrokerFault, TooSlow, NoSlot, OutOfTime (too little is left to connect).

        Time that SQS took, or a reconnect late in the drain, must not count as a fault of the broker."""
        budget = self._context.timing.connect_budget
        began = self._context.monotonic()
        deadline = min(began + budget - self._connect_seconds, self.abort_at)
        due = min(connection.configuration.connection_timeout / 1000, budget / 2)
        if deadline - began < due and not self._context.pool.is_warm(connection):
            raise OutOfTime
        if self._lane.is_fast_lane:
            deadline = min(deadline, began + SLOW_WAIT)
        # A wait for a slot says nothing about the broker, so it is not measured.
        self._context.pool.reserve(connection, deadline)
        self._lane.connecting(self._context.monotonic())
        try:
            return self._context.pool.get(connection, deadline)
        except BrokerUnreachable as fault:
            if self._lane.is_fast_lane and self._context.monotonic() >= began + SLOW_WAIT:
                raise (OutOfTime if self._lane.was_stalled else TooSlow) from fault
            raise
        finally:
            self._lane.connecting()
            self._connect_seconds += self._context.monotonic() - began

    def check(self, connection: Connection) -> None:
        """Make one round trip to the broker. Raises as ``open``."""
        self.open(connection).check(self.abort_at)

    def submit(self, connection: Connection, messages: Sequence[OutgoingMessage]) -> None:
        """Publish messages; ``progress`` returns their outcomes. Raises as ``open`` if the window is empty."""
        if not messages:
            return
        if self._publisher is None:
            self._publisher = self.open(connection)
            self._connection = connection
            self._lane.publishing(self._publisher)
        self._messages.update((message.key, message) for message in messages)
        self._publisher.submit(messages, self.abort_at)

    def progress(self) -> tuple[dict[str, tuple[Outcome, OutgoingMessage]], Exception | None]:
        """Wait for outcomes, or for ``wake``; return them with their messages by key, and the fault that ended the
        drain, if any.

        After a fault, every message has its outcome."""
        if self._publisher is None:
            # A reconnect ended in an unforeseen exception: no publisher can confirm these messages any more.
            left, self._messages = self._messages, {}
            return {key: (Outcome(Result.RETRY), message) for key, message in left.items()}, None
        result = self._publisher.progress()
        outcomes, fault = result.outcomes, result.fault
        delivered = sum(outcome.result is Result.DELIVERED for outcome in outcomes.values())
        self._lane.confirmed(delivered, result.slowest)
        if fault is not None:
            outcomes, fault = self._after_fault(result)
        ended = {key: (outcome, self._messages.pop(key)) for key, outcome in outcomes.items()}
        if not self._messages:
            self._lane.publishing(None)
            self._publisher = None
        return ended, fault

    def _after_fault(self, result: PublishResult) -> tuple[dict[str, Outcome], Exception | None]:
        """Publish again what a lost connection left unconfirmed; return the outcomes of the other messages."""
        self._lane.publishing(None)
        self._publisher = None
        self._context.pool.discard(self._connection.id)
        outcomes = dict(result.outcomes)
        lost = isinstance(result.fault, BrokerUnreachable) and result.fault.type not in _STILL_CONNECTED
        if self._reconnected or not lost:
            return outcomes, result.fault
        self._reconnected = True
        unconfirmed = [message for key, message in self._messages.items() if outcomes[key].result is Result.RETRY]
        try:
            self.submit(self._connection, unconfirmed)
        except (BrokerFault, OutOfTime, TooSlow, NoSlot, NotFound, Unavailable) as error:
            # Without its secret, no reconnect is possible; earlier confirms must still be settled.
            return outcomes, error
        return {key: outcome for key, outcome in outcomes.items() if outcome.result is not Result.RETRY}, None
