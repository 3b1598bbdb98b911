"""The bookkeeping of one batch of messages: what may be sent, what waits for its confirm, how each ended.

No I/O. Of a group (a device) at most one message is unconfirmed; after one that has to be sent again, the rest of its
group is held back, so that none overtakes it. One that failed for good holds nothing back: it is settled.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence

from pika import BasicProperties

from chalicelib.domain.amqp_limits import MAX_SHORT_STRING
from chalicelib.domain.delivery import DELIVERED, Outcome, Result
from chalicelib.ports.publishing import OutgoingMessage, amqp_properties
from chalicelib.vocabulary import EventType, FailureReason, RetryReason

MESSAGES_A_TURN = 25
"""Published in one turn of the loop; more only fill a buffer while the confirms wait to be read."""
WINDOW_BYTES = 512 * 1024
"""Unconfirmed at a time, so that the time to confirm is not spent in our own buffer."""


class Batch:
    """``outcomes`` by the messages' keys. ``progress`` grows whenever the broker settled something."""

    def __init__(self, messages: Sequence[OutgoingMessage]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.progress = 0
        self._messages = messages
        self._groups: dict[str, deque[OutgoingMessage]] = {}
        for message in messages:
            self._groups.setdefault(message.group, deque()).append(message)
        self._ready = deque(self._groups)
        self._sent: dict[int, tuple[OutgoingMessage, float]] = {}
        self._bytes = 0
        self._returned: dict[str, str] = {}

    @property
    def done(self) -> bool:
        return len(self.outcomes) == len(self._messages)

    @property
    def unconfirmed(self) -> int:
        return len(self._sent)

    @property
    def sendable(self) -> bool:
        return bool(self._ready)

    @property
    def window_full(self) -> bool:
        return self._bytes >= WINDOW_BYTES

    @property
    def oldest_sent(self) -> float:
        """time.monotonic() of the message that waits longest for its confirm; infinity when none does."""
        return next((moment for _message, moment in self._sent.values()), math.inf)

    def next_turn(self) -> Iterator[tuple[OutgoingMessage, BasicProperties]]:
        """What is to be published now; each must be told ``sent`` or ``invalid`` before the next is asked for."""
        for _ in range(MESSAGES_A_TURN):
            if not self._ready or self.window_full:
                return
            message = self._groups[self._ready.popleft()][0]
            yield message, properties_of(message)

    def sent(self, tag: int, message: OutgoingMessage) -> None:
        self._sent[tag] = (message, time.monotonic())
        self._bytes += len(message.body)

    def invalid(self, message: OutgoingMessage, detail: str) -> None:
        """It cannot be written as AMQP, now or ever."""
        too_long = len(message.routing_key.encode(errors="replace")) > MAX_SHORT_STRING
        reason = FailureReason.ROUTING_KEY_TOO_LONG if too_long else FailureReason.MESSAGE_INVALID
        self._settle(message, Outcome(Result.FAILED, reason, detail))

    def returned(self, message_id: str, text: str) -> None:
        """The broker found no queue for it; its ack follows."""
        self._returned[message_id] = text

    def confirmed(self, tag: int, *, multiple: bool, ack: bool) -> None:
        """A confirm from the broker, of one message or of all up to it. Unknown tags are ignored."""
        tags = [known for known in self._sent if known <= tag] if multiple else [tag] if tag in self._sent else []
        for known in tags:
            message, _moment = self._sent.pop(known)
            self._bytes -= len(message.body)
            text = self._returned.pop(message.message_id, None)
            if not ack:
                self._settle(
                    message, Outcome(Result.RETRY, RetryReason.NACKED, "The broker refused the message (basic.nack).")
                )
            elif text is not None:
                detail = f"No queue is bound to the exchange for this routing key ({text}); bind one, then replay."
                self._settle(message, Outcome(Result.FAILED, FailureReason.UNROUTABLE, detail))
            else:
                self._settle(message, DELIVERED)
        if tags:
            self.progress += 1

    def stop(self) -> None:
        """Nothing more is sent; what waits for its confirm still may get it."""
        self._ready.clear()
        self._groups = {group: deque([*waiting][:1]) for group, waiting in self._groups.items()}

    def settle_rest(self, reason: EventType | RetryReason, detail: str) -> None:
        """Everything without an outcome is to be sent again."""
        for message in self._messages:
            self.outcomes.setdefault(message.key, Outcome(Result.RETRY, reason, detail))

    def _settle(self, message: OutgoingMessage, outcome: Outcome) -> None:
        self.outcomes[message.key] = outcome
        waiting = self._groups[message.group]
        waiting.popleft()
        if outcome.result is Result.RETRY:
            held = Outcome(
                Result.RETRY, RetryReason.HELD_BACK, "An earlier message of the same device has to go first."
            )
            self.outcomes.update({later.key: held for later in waiting})
            waiting.clear()
        if waiting:
            self._ready.append(message.group)


def properties_of(message: OutgoingMessage) -> BasicProperties:
    """The properties that a message is published with."""
    return BasicProperties(headers=dict(message.headers), **amqp_properties(message))
