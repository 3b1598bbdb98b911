"""Replay of failed messages: put them back into their queues, oldest first, in order per device.

A call puts back what fits into its time. The reconciler continues a replay of all messages.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from pydantic import Field

from chalicelib.domain.connection import Connection
from chalicelib.domain.event import Level
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.messages.entries import replayed_entry
from chalicelib.domain.report import NO_DEVICE
from chalicelib.domain.work_items import DownlinkJob, Wake, replayed_downlink
from chalicelib.errors import NotFound, Unavailable
from chalicelib.kernel.batches import batched
from chalicelib.kernel.documents import Document
from chalicelib.kernel.ids import is_id, last_id
from chalicelib.monitoring import Monitoring, log
from chalicelib.network_servers.thingpark.reports import DOWNLINK
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ConnectionReader
from chalicelib.ports.history import PendingReplay, PendingReplays, ReplayableMessages
from chalicelib.ports.queues import DownlinkQueue, UplinkQueues, WakeQueue
from chalicelib.vocabulary import EventType

SECONDS = 15.0
"""Seconds after which a call starts no further messages, because a request has 29 seconds."""
RESUME_SECONDS = 20.0
"""Seconds of a minutely run for all unfinished replays together; the function has 60."""
MAX_RESUMED = 100
"""Maximum number of replays in one run; the others come first in the next one."""
_CHUNK = 50


class ReplayIds(Document):
    """A request to replay up to 1000 failed messages, given by their ids."""

    ids: list[str] = Field(max_length=1000)


class ReplayAll(Document):
    """A request to replay all failed messages."""

    all: Literal[True]


@dataclass(frozen=True)
class Replayed:
    """The result of a replay: the number of messages that were put back, and the rest.

    ``remaining``: the number of ids that the time did not suffice for. ``under_way``: the reconciler puts back the
    others.
    """

    number: int
    remaining: int = 0
    under_way: bool = False


@dataclass(frozen=True)
class ReplayContext:
    """Dependencies of ``Replay``."""

    connections: ConnectionReader
    failed: ReplayableMessages
    pending: PendingReplays
    queues: UplinkQueues
    wakes: WakeQueue
    downlinks: DownlinkQueue
    monitoring: Monitoring
    executor: Executor
    clock: Clock


class Replay:
    """Replays and purges failed messages for the API.

    A message is sent to its queue before it is removed from the failed messages. A crash in between loses no message;
    it may repeat one, which SQS deduplicates for five minutes.
    """

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def replay(self, tenant: str, connection_id: str, ids: Sequence[str] | None) -> Replayed:
        """Put the messages of ``ids`` back, or all that failed before now, as far as the time suffices.

        Unknown ids, and messages that another call has put back, are skipped. Raises NotFound, or Unavailable when a
        queue does not accept a message, which then remains a failed message.
        """
        connection = self._context.connections.get(tenant, connection_id)
        stop_at = time.monotonic() + SECONDS
        if ids is not None:
            wanted = sorted({each for each in ids if is_id(each)})
            number, tried = self._put_back_all(connection, self._some(connection, wanted), stop_at)
            return Replayed(number, remaining=0 if tried is None else sum(each > tried for each in wanted))
        # Exclude messages that fail from this moment: a replayed message that fails again would cause a loop.
        last = last_id(self._context.clock())
        messages = self._context.failed.oldest_first(tenant, connection.id, last)
        number, tried = self._put_back_all(connection, messages, stop_at)
        if tried is not None:
            self._context.pending.add(tenant, connection.id, last)
        return Replayed(number, under_way=tried is not None)

    def resume(self) -> int:
        """Continue the unfinished replays for RESUME_SECONDS and return the number of messages that were put back.

        The reconciler calls this once a minute.
        """
        stop_at, number = time.monotonic() + RESUME_SECONDS, 0
        pending = list(islice(self._context.pending.all(), MAX_RESUMED))
        for position, replay in enumerate(pending):
            left = stop_at - time.monotonic()
            if left <= 0 and position > 0:
                break
            # An equal share of the time that is left, so that a long replay does not delay the others.
            number += self._resume(replay, time.monotonic() + left / (len(pending) - position))
        return number

    def _resume(self, replay: PendingReplay, stop_at: float) -> int:
        try:
            connection = self._context.connections.get(replay.tenant, replay.connection_id)
            messages = self._context.failed.oldest_first(replay.tenant, replay.connection_id, replay.last)
            number, tried = self._put_back_all(connection, messages, stop_at)
        except NotFound:
            number, tried = 0, None
        except Unavailable as error:
            log.warning("replay not continued", extra={"connection": replay.connection_id, "reason": str(error)})
            number, tried = 0, replay.last
        except Exception:  # noqa: BLE001  # one connection's replay must not hold back the others
            log.exception("replay ended", extra={"connection": replay.connection_id})
            number, tried = 0, None
        if tried is None:
            self._context.pending.end(replay)
        else:
            self._context.pending.postpone(replay)
        return number

    def _put_back_all(
        self, connection: Connection, messages: Iterable[FailedMessage], stop_at: float
    ) -> tuple[int, str | None]:
        """Put messages back until ``stop_at``, the first chunk in any case.

        Return their number, and the id of the last one that was tried, or None if none is left.
        """
        replayed = 0
        chunks = iter(batched(messages, _CHUNK))
        try:
            for chunk in chunks:
                replayed += self._put_back(connection, chunk)
                if time.monotonic() > stop_at:
                    return replayed, None if next(chunks, None) is None else chunk[-1].id
        finally:
            if replayed:
                message = f"{replayed} failed message(s) were put back into the queue."
                self._context.monitoring.event(
                    connection, Level.INFO, EventType.MESSAGES_REPLAYED, message, {"count": replayed}
                )
        return replayed, None

    def purge(self, tenant: str, connection_id: str, direction: Direction | None) -> None:
        """Delete the failed messages of one direction, or of both if it is None. Raises NotFound."""
        connection = self._context.connections.get(tenant, connection_id)
        self._context.failed.purge(tenant, connection.id, direction)
        details = {} if direction is None else {"direction": direction.value}
        message = "The failed messages were deleted."
        self._context.monitoring.event(connection, Level.INFO, EventType.MESSAGES_PURGED, message, details)

    def _some(self, connection: Connection, ids: Sequence[str]) -> Iterator[FailedMessage]:
        for start in range(0, len(ids), _CHUNK):
            found = self._context.failed.some(connection.tenant, connection.id, ids[start : start + _CHUNK])
            yield from sorted(found, key=lambda message: message.id)

    def _put_back(self, connection: Connection, messages: Sequence[FailedMessage]) -> int:
        devices: dict[tuple[Direction, str], list[FailedMessage]] = {}
        for message in messages:
            devices.setdefault((message.direction, message.dev_eui or NO_DEVICE), []).append(message)
        running = [self._context.executor.submit(self._send_in_order, connection, part) for part in devices.values()]
        ended = [future.result() for future in running]
        sent = [message for part, _ in ended for message in part]
        uplinks = [message for message in sent if message.direction is Direction.UPLINK]
        if uplinks:
            tenant, own = connection.tenant, connection.id
            self._context.wakes.send([Wake(tenant=tenant, connection_id=own, message_id=m.message_id) for m in uplinks])
        if sent:
            self._context.failed.remove(connection.tenant, connection.id, [message.id for message in sent])
            entries = [replayed_entry(message, self._context.clock()) for message in sent]
            self._context.monitoring.count(connection, {}, (), entries)
        failure = next((error for _, error in ended if error is not None), None)
        if failure is not None:
            raise failure
        return len(sent)

    def _send_in_order(
        self, connection: Connection, messages: Sequence[FailedMessage]
    ) -> tuple[list[FailedMessage], Unavailable | None]:
        """Send one device's messages and return the sent ones; stop at the first failure, which keeps their order."""
        sent: list[FailedMessage] = []
        for message in messages:
            try:
                self._send(connection, message)
            except Unavailable as error:
                return sent, error
            except (LookupError, TypeError, ValueError):
                # The body is not a downlink, or was truncated when it was stored: the message remains a failed one.
                log.exception("message not replayed", extra={"connection": connection.id, "id": message.id})
                continue
            sent.append(message)
        return sent, None

    def _send(self, connection: Connection, message: FailedMessage) -> None:
        # A new id, because SQS may still remember the message's first one; it is equal for a repeat of this replay.
        deduplication_id = hashlib.sha256(f"replay {message.id}".encode()).hexdigest()
        if message.direction is Direction.UPLINK:
            self._context.queues.send(
                connection.id,
                body=message.body,
                report_format=message.report_format,
                group=message.dev_eui or NO_DEVICE,
                message_id=message.message_id,
                deduplication_id=deduplication_id,
                driver=message.driver,
                validity=message.validity,
            )
            return
        job = DownlinkJob(
            tenant=connection.tenant,
            connection_id=connection.id,
            downlink=json.loads(message.body)[DOWNLINK],
            as_key_secret=message.as_key_secret,
            # A replay is a new reception: a ValidityTime in seconds counts from this moment.
            received_at=self._context.clock(),
        )
        # The id keeps the downlink's name: the last release refuses a job with a further field.
        named = replayed_downlink(message.message_id or message.id, deduplication_id)
        if not all(self._context.downlinks.send([(job, named)])):
            raise Unavailable("SQS did not accept the downlink")
