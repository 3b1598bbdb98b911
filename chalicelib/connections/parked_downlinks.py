"""Release of the downlinks that wait in SQS for the activation of their connection."""

from chalicelib.domain.connection import Connection
from chalicelib.errors import Unavailable
from chalicelib.monitoring import log
from chalicelib.ports.coordination import ParkedReceipts
from chalicelib.ports.queues import DownlinkQueue


class ParkedDownlinks:
    """Makes the parked downlinks of an activated connection visible to the sender again."""

    def __init__(self, parked: ParkedReceipts, queue: DownlinkQueue) -> None:
        self._parked = parked
        self._queue = queue

    def release(self, connection: Connection) -> None:
        """Make the downlinks visible. Does not raise: without it, they return when their visibility timeout ends."""
        try:
            receipts = self._parked.receipts(connection.tenant, connection.id)
            if receipts:
                self._queue.delay(receipts, 0)
        except Unavailable as error:
            log.warning("parked downlinks not released", extra={"connection": connection.id, "reason": str(error)})
