"""Consuming downlinks from brokers, and removing their queues."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.errors import BrokerFault


@dataclass(frozen=True)
class ReceivedDownlink:
    """A message from a downlink queue. ``tag`` identifies it in an ack or reject."""

    connection_id: str
    tag: Any
    routing_key: str
    body: bytes
    message_id: str | None
    app_id: str | None
    redelivered: bool


class Verdict(StrEnum):
    """Answers of the consumer to a received message."""

    ACK = "ACK"
    """SQS has accepted the message, or the message is an uplink that this connector published."""
    REJECT = "REJECT"
    """The message can never be sent: the consumer rejects it without requeue, and a dead-letter exchange may get it."""
    LATER = "LATER"
    """The message could not be queued: the consumer closes, and the broker redelivers in order."""


OnBatch = Callable[[str, Sequence[ReceivedDownlink]], Sequence[Verdict]]
"""(connection id, messages) → a verdict for each. The consumer calls it in one of its threads, so it may block.
Messages of one connection arrive in their order, one batch of up to 100 at a time."""


class DownlinkConsumer(Protocol):
    """Consumes the downlinks of many connections on one I/O loop, for one run.

    Every method except ``run`` may be called from any thread, before and during the run.
    """

    def open(
        self, connection: Connection, secrets: ConnectionSecrets, old_bindings: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Start to connect; ends in ``on_opened`` or ``on_fault``.

        A connection that is open already must be closed first; the new one starts when the close has ended, and
        removes the previous binding if it differs. ``old_bindings``: further (exchange, binding key) pairs to remove.
        """

    def close(self, connection_id: str, then: Callable[[], object] | None = None) -> None:
        """Cancel, drain, ack, close. Ignored when the connection is not open.

        The loop calls ``then`` once the connection is closed, at once when it is not open; ``then`` must not block.
        """

    def delete_queue(self, connection_id: str) -> None:
        """Delete the downlink queue over the open connection and close it. It is not opened again in this run."""

    def finish(self) -> None:
        """Make ``run`` close everything now."""

    def run(
        self,
        close_at: float,
        end: float,
        on_batch: OnBatch,
        on_opened: Callable[[str], None],
        on_fault: Callable[[str, BrokerFault], None],
        tick: Callable[[], None],
    ) -> None:
        """Consume until ``close_at`` (time.monotonic()), then close in order; reset what is still open at ``end``.

        The loop calls ``on_opened``, ``on_fault`` and ``tick`` (about five times a second); they must not block.
        After ``on_fault`` the connection is gone until it is opened again; an orderly end is not reported. An
        exception of a callback ends the run and is raised.
        """


class DownlinkQueueRemover(Protocol):
    """Removes a connection's downlink queue from its broker."""

    def remove(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> None:
        """Delete the queue, whether or not it has a consumer. ``deadline``: time.monotonic(). Raises BrokerFault."""
