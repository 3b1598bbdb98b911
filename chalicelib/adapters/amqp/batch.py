"""State of a publisher's messages without I/O: ready to send, unconfirmed, or with an outcome.

Each group (a device) has at most one unconfirmed message. A message that must be retried holds back the rest of its
group, so that no later message overtakes it. A message that failed permanently holds nothing back.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import takewhile

from chalicelib.domain.amqp_limits import MAX_SHORT_STRING
from chalicelib.domain.delivery import DELIVERED, Outcome, Result
from chalicelib.ports.publishing import OutgoingMessage
from chalicelib.vocabulary import EventType, FailureReason, RetryReason

MESSAGES_A_TURN = 25
"""Messages published per turn of the loop. More would only fill a buffer while confirms wait to be read."""
WINDOW_BYTES = 512 * 1024
"""Limit of unconfirmed bytes, so that a message does not spend its time to confirm in our own buffer."""
WIDE_WINDOW_BYTES = 2 << 20
"""Limit at a quick broker. Many brokers confirm only when they have read all that was sent; with a small window, they
would then wait while the next reports are prepared."""

ENDED = Outcome(Result.RETRY, RetryReason.DEADLINE, "This attempt ended before the message was sent.")
_HELD_BACK = Outcome(
    Result.RETRY, RetryReason.HELD_BACK, "An earlier message of the same device must be confirmed first."
)


class SendWindow:
    """Limit of a publisher's unconfirmed bytes, which grows while the broker confirms what fills it quickly.

    ``confirm_seconds``: the time in which a message must be confirmed. A quick confirm takes an eighth of it, so that
    twice as many bytes need at most half of it.
    """

    def __init__(self, confirm_seconds: float) -> None:
        self.bytes = WINDOW_BYTES
        self._quick = confirm_seconds / 8

    @property
    def is_wide(self) -> bool:
        return self.bytes > WINDOW_BYTES

    def confirmed(self, in_flight: int, seconds: float) -> None:
        """Note a confirm that took ``seconds`` while ``in_flight`` bytes were unconfirmed."""
        if seconds > 4 * self._quick:
            self.bytes = WINDOW_BYTES
        elif seconds <= self._quick and 2 * in_flight >= self.bytes:
            self.bytes = min(2 * self.bytes, WIDE_WINDOW_BYTES)

    def refused(self) -> None:
        """Note a negative confirm. Its time says nothing: a broker may refuse at once what it has no room for."""
        self.bytes = WINDOW_BYTES


class Batch:
    """Messages that await an outcome, in the order in which they were added; at most one of a group is unconfirmed.

    ``outcomes``: by the messages' keys, until they are taken. ``progress``: grows with every confirm and every refusal
    of the broker. ``acks``: grows with every positive confirm. ``slowest``: seconds of the slowest confirm among the
    outcomes.
    """

    def __init__(self, window: SendWindow) -> None:
        self._window = window
        self.outcomes: dict[str, Outcome] = {}
        self.progress = 0
        self.slowest = 0.0
        self.acks = 0
        self._groups: dict[str, deque[OutgoingMessage]] = {}
        """The messages without an outcome. The first one of a group is the one that is ready or unconfirmed."""
        self._ready: deque[str] = deque()
        self._sent: dict[int, tuple[OutgoingMessage, float]] = {}
        self._bytes = 0
        self._returned: dict[str, str] = {}
        self._most: float = math.inf
        """Limit of messages in flight, after the broker closed the channel."""
        self._suspects: list[tuple[OutgoingMessage, Outcome]] = []

    def add(self, messages: Sequence[OutgoingMessage]) -> None:
        """Add messages behind the earlier ones of their groups."""
        for message in messages:
            waiting = self._groups.get(message.group)
            if waiting is None:
                self._groups[message.group] = deque((message,))
                self._ready.append(message.group)
            else:
                waiting.append(message)

    def take_outcomes(self) -> tuple[dict[str, Outcome], float]:
        """Return the outcomes since the last call, and the seconds of their slowest confirm."""
        taken = self.outcomes, self.slowest
        self.outcomes, self.slowest = {}, 0.0
        return taken

    @property
    def done(self) -> bool:
        """Whether every message has an outcome."""
        return not self._groups

    @property
    def unconfirmed(self) -> int:
        return len(self._sent)

    @property
    def sendable(self) -> bool:
        return bool(self._ready)

    @property
    def window_full(self) -> bool:
        return self._bytes >= self._window.bytes or len(self._sent) >= self._most

    @property
    def can_send(self) -> bool:
        return bool(self._ready) and not self.window_full

    @property
    def in_flight(self) -> list[OutgoingMessage]:
        """The unconfirmed messages in the order in which they were sent."""
        return [message for message, _moment in self._sent.values()]

    @property
    def oldest_sent(self) -> float:
        """time.monotonic() at which the oldest unconfirmed message was sent; infinity without one."""
        return next((moment for _message, moment in self._sent.values()), math.inf)

    def next_turn(self) -> Iterator[OutgoingMessage]:
        """Yield the messages to publish in this turn of the loop.

        The caller must call ``sent`` or ``invalid`` for each message before it takes the next one.
        """
        for _ in range(MESSAGES_A_TURN):
            if not self._ready or self.window_full:
                return
            yield self._groups[self._ready.popleft()][0]

    def sent(self, tag: int, message: OutgoingMessage) -> None:
        """Record a published message under its delivery tag."""
        self._sent[tag] = (message, time.monotonic())
        self._bytes += len(message.body)

    def postpone(self, seconds: float) -> None:
        """Leave out ``seconds`` of the wait for confirms, in which nothing was read."""
        self._sent = {tag: (message, moment + seconds) for tag, (message, moment) in self._sent.items()}

    def invalid(self, message: OutgoingMessage, detail: str) -> None:
        """Fail a message that AMQP cannot encode. ``detail``: the encoding error."""
        too_long = len(message.routing_key.encode(errors="replace")) > MAX_SHORT_STRING
        reason = FailureReason.ROUTING_KEY_TOO_LONG if too_long else FailureReason.MESSAGE_INVALID
        self._settle(message, Outcome(Result.FAILED, reason, detail))

    def returned(self, message_id: str, text: str) -> None:
        """Record a ``basic.return``: no queue matched the routing key. The message's ack follows."""
        if len(self._returned) < len(self._sent):  # a hostile broker may return anything without end
            self._returned[message_id] = text

    def confirmed(self, tag: int, *, multiple: bool, ack: bool) -> None:
        """Settle a confirm of the broker. ``multiple``: it covers every tag up to ``tag``. Unknown tags are ignored."""
        tags = [*takewhile(tag.__ge__, self._sent)] if multiple else [tag] if tag in self._sent else []
        if not tags:
            return
        seconds = time.monotonic() - self._sent[tags[0]][1]  # of the message that was sent first
        self.slowest = max(self.slowest, seconds)
        if ack:
            self._window.confirmed(self._bytes, seconds)
        else:
            self._window.refused()
        plain = ack and not self._returned
        for known in tags:
            message, _moment = self._sent.pop(known)
            self._bytes -= len(message.body)
            self._settle(message, DELIVERED if plain else self._outcome(message, ack=ack))
        self.progress += 1
        self.acks += ack
        if ack and self._suspects:
            self._refuse_suspects()
        if ack and not self._sent:
            self._most *= 2

    def _outcome(self, message: OutgoingMessage, *, ack: bool) -> Outcome:
        """Return the outcome of a confirmed message, which the broker may have returned before."""
        text = self._returned.pop(message.message_id, None)
        if not ack:
            return Outcome(Result.RETRY, RetryReason.NACKED, "The broker refused the message (basic.nack).")
        if text is None:
            return DELIVERED
        detail = f"No queue is bound to the exchange for this routing key ({text}). Bind a queue, then replay."
        return Outcome(Result.FAILED, FailureReason.UNROUTABLE, detail)

    def take_back(self) -> None:
        """Make the unconfirmed messages ready again: the channel on which they were sent is closed.

        The first of them is then sent alone. The limit of messages in flight doubles with each confirmed round, so that
        another closing loses few confirms.
        """
        self._ready.extendleft(message.group for message in reversed(self.in_flight))
        self._sent.clear()
        self._returned.clear()
        self._bytes = 0
        self._most = 1

    def refuse(self, message: OutgoingMessage, detail: str) -> None:
        """Fail a ready message because of which the broker closed the channel. ``detail``: the broker's reason."""
        self._ready.remove(message.group)
        self.progress += 1
        self._settle(message, Outcome(Result.FAILED, FailureReason.REFUSED_BY_BROKER, detail))

    def suspect(self, message: OutgoingMessage, detail: str) -> None:
        """Send no further messages of a ready message's group; the next ack of another message refuses the message."""
        self._ready.remove(message.group)
        self._suspects.append((message, Outcome(Result.FAILED, FailureReason.REFUSED_BY_BROKER, detail)))
        # Refused messages may stand together, so the next one is taken from the other end.
        self._ready.reverse()

    def _refuse_suspects(self) -> None:
        suspects, self._suspects = self._suspects, []
        for message, outcome in suspects:
            self._settle(message, outcome)

    def stop(self) -> None:
        """Send no further messages; unconfirmed messages can still be confirmed."""
        self._ready.clear()
        for waiting in self._groups.values():
            while len(waiting) > 1:
                self.outcomes[waiting.pop().key] = ENDED

    def settle_rest(self, reason: EventType | RetryReason, detail: str) -> None:
        """Mark every message without an outcome for a retry."""
        outcome = Outcome(Result.RETRY, reason, detail)
        for waiting in self._groups.values():
            self.outcomes.update((message.key, outcome) for message in waiting)
        self._groups.clear()
        self._ready.clear()
        self._sent.clear()

    def _settle(self, message: OutgoingMessage, outcome: Outcome) -> None:
        self.outcomes[message.key] = outcome
        waiting = self._groups[message.group]
        waiting.popleft()
        if outcome.result is Result.RETRY:
            self.outcomes.update((later.key, _HELD_BACK) for later in waiting)
            waiting.clear()
        if waiting:
            self._ready.append(message.group)
        else:
            del self._groups[message.group]
