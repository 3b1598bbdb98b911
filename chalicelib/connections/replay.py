"""Failed messages put back into their queues, oldest first, so that a device's keep their order."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Protocol

from chalicelib.domain.models import Connection, Direction, FailedMessage, Level
from chalicelib.domain.work_items import DownlinkJob, Wake
from chalicelib.errors import Unavailable
from chalicelib.kernel.ids import is_id, last_id
from chalicelib.monitoring import Monitoring, log
from chalicelib.network_servers.thingpark.reports import DOWNLINK, NO_DEVICE
from chalicelib.ports.outside import Clock, ConnectionStore, DownlinkQueue, UplinkQueues, WakeQueue

SECONDS = 18.0
"""After so long no further messages are begun, for a request has 29 seconds; the next call goes on with the rest."""
_CHUNK = 50


class KeptMessages(Protocol):
    """What a replay needs of the failed messages."""

    def some(self, tenant: str, connection_id: str, ids: Sequence[str]) -> list[FailedMessage]:
        """Those of ``ids`` that there are."""

    def oldest_first(self, tenant: str, connection_id: str, last: str) -> Iterator[FailedMessage]:
        """All up to the id ``last``."""

    def remove(self, tenant: str, connection_id: str, ids: Sequence[str]) -> None: ...

    def purge(self, tenant: str, connection_id: str, direction: Direction | None = None) -> None: ...


class Replay:
    """Each message is written to its queue first and removed from the failed ones then: a crash in between costs a
    repeat, which deduplication swallows for five minutes, and never a message."""

    def __init__(
        self,
        connections: ConnectionStore,
        failed: KeptMessages,
        queues: UplinkQueues,
        wakes: WakeQueue,
        downlinks: DownlinkQueue,
        monitoring: Monitoring,
        executor: Executor,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._failed = failed
        self._queues = queues
        self._wakes = wakes
        self._downlinks = downlinks
        self._monitoring = monitoring
        self._executor = executor
        self._clock = clock

    def replay(self, tenant: str, connection_id: str, ids: Sequence[str] | None) -> int:
        """Puts back the messages of ``ids``, or all that failed before now; returns how many.

        Ids that are unknown, or that somebody else has put back meanwhile, are passed over. Raises NotFound;
        Unavailable when a queue does not take a message, which then stays among the failed ones.
        """
        connection = self._connections.get(tenant, connection_id)
        stop_at, replayed = time.monotonic() + SECONDS, 0
        try:
            for chunk in _chunks(self._wanted(connection, ids)):
                replayed += self._put_back(connection, chunk)
                if time.monotonic() > stop_at:
                    log.info("replay not finished", extra={"connection": connection.id, "replayed": replayed})
                    break
        finally:
            if replayed:
                message = f"{replayed} failed message(s) were put back into the queue."
                self._monitoring.event(connection, Level.INFO, "MESSAGES_REPLAYED", message, {"count": replayed})
        return replayed

    def purge(self, tenant: str, connection_id: str, direction: Direction | None) -> None:
        """Drops the failed messages, those of one direction or all. Raises NotFound."""
        connection = self._connections.get(tenant, connection_id)
        self._failed.purge(tenant, connection.id, direction)
        details = {} if direction is None else {"direction": direction.value}
        message = "The failed messages were deleted."
        self._monitoring.event(connection, Level.INFO, "MESSAGES_PURGED", message, details)

    def _wanted(self, connection: Connection, ids: Sequence[str] | None) -> Iterable[FailedMessage]:
        if ids is None:
            # Up to now: what is put back can fail again at once, and must not go round and round.
            return self._failed.oldest_first(connection.tenant, connection.id, last_id(self._clock()))
        return self._some(connection, sorted({each for each in ids if is_id(each)}))

    def _some(self, connection: Connection, ids: Sequence[str]) -> Iterator[FailedMessage]:
        for start in range(0, len(ids), _CHUNK):
            found = self._failed.some(connection.tenant, connection.id, ids[start : start + _CHUNK])
            yield from sorted(found, key=lambda message: message.id)

    def _put_back(self, connection: Connection, messages: Sequence[FailedMessage]) -> int:
        devices: dict[tuple[Direction, str], list[FailedMessage]] = {}
        for message in messages:
            devices.setdefault((message.direction, message.dev_eui or NO_DEVICE), []).append(message)
        running = [self._executor.submit(self._send_in_order, connection, part) for part in devices.values()]
        ended = [future.result() for future in running]
        sent = [message for part, _ in ended for message in part]
        uplinks = [message for message in sent if message.direction is Direction.UPLINK]
        if uplinks:
            tenant, own = connection.tenant, connection.id
            self._wakes.send([Wake(tenant=tenant, connection_id=own, message_id=m.message_id) for m in uplinks])
        if sent:
            self._failed.remove(connection.tenant, connection.id, [message.id for message in sent])
        failure = next((error for _, error in ended if error is not None), None)
        if failure is not None:
            raise failure
        return len(sent)

    def _send_in_order(
        self, connection: Connection, messages: Sequence[FailedMessage]
    ) -> tuple[list[FailedMessage], Unavailable | None]:
        """What was sent; one that is not taken ends it, so that none overtakes."""
        sent: list[FailedMessage] = []
        for message in messages:
            try:
                self._send(connection, message)
            except Unavailable as error:
                return sent, error
            sent.append(message)
        return sent, None

    def _send(self, connection: Connection, message: FailedMessage) -> None:
        # Of its own: SQS may still know the message's first one. And the same for a repeat of this replay.
        deduplication_id = hashlib.sha256(f"replay {message.id}".encode()).hexdigest()
        if message.direction is Direction.UPLINK:
            self._queues.send(
                connection.id,
                body=message.body,
                group=message.dev_eui or NO_DEVICE,
                message_id=message.message_id,
                deduplication_id=deduplication_id,
            )
            return
        job = DownlinkJob(
            tenant=connection.tenant,
            connection_id=connection.id,
            downlink=json.loads(message.body)[DOWNLINK],
            as_key_secret=message.as_key_secret,
            # A new attempt: a ValidityTime in seconds counts from here.
            received_at=self._clock(),
        )
        if not all(self._downlinks.send([(job, deduplication_id)])):
            raise Unavailable("SQS did not take the downlink")


def _chunks(messages: Iterable[FailedMessage]) -> Iterator[list[FailedMessage]]:
    chunk: list[FailedMessage] = []
    for message in messages:
        chunk.append(message)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
