"""Sending of queued downlinks to the network server, in order per device."""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from chalicelib.config import Timing
from chalicelib.domain.connection import Connection
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.messages.entries import Step, failed_entry
from chalicelib.domain.work_items import DownlinkJob, PollTarget, read_target, readable_fields
from chalicelib.downlinks.outcome_log import entry_of, name_of
from chalicelib.errors import DownlinkDelayed, DownlinkRejected, NotFound, Unavailable
from chalicelib.kernel.backoff import backoff
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import Monitoring, log
from chalicelib.monitoring.metrics import metrics
from chalicelib.network_servers.formats import DEFAULT
from chalicelib.network_servers.thingpark.downlinks import query_parameters, valid_until
from chalicelib.network_servers.thingpark.reports import DOWNLINK
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ConnectionReader
from chalicelib.ports.coordination import DownlinkLedger, ParkedReceipts
from chalicelib.ports.history import FailedMessages
from chalicelib.ports.network_server import NetworkServer
from chalicelib.ports.queues import DownlinkQueue, QueueRecord
from chalicelib.ports.secrets import ApplicationServerStore, SecretStore
from chalicelib.uplinks.ingress import Ingress
from chalicelib.vocabulary import EventType, FailureReason, Metric

MAX_AGE = 86400.0
"""Seconds after its reception during which a downlink without ValidityTime is retried."""
MAX_ATTEMPTS = 10
"""Attempts of a downlink that fails with an unforeseen error."""
INACTIVE_DELAY = 60
"""Seconds, before TIME_SCALE, until the next check of a deactivated connection's downlink that could not be parked."""
PARKED = 43_000
"""Seconds, before TIME_SCALE, that a deactivated connection's downlink is hidden: SQS hides it for 12 h at most."""


class _RetryLater(Exception):
    """The downlink must stay queued and be retried after ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


class _Inactive(Exception):
    """The connection of a downlink is deactivated. ``until``: end of the downlink's validity in Unix seconds."""

    def __init__(self, job: DownlinkJob, until: float) -> None:
        super().__init__()
        self.job = job
        self.until = until


@dataclass(frozen=True)
class SenderContext:
    """Dependencies of ``DownlinkSender``. ``monotonic`` measures deadlines; a simulation passes another clock."""

    connections: ConnectionReader
    secrets: SecretStore
    application_servers: ApplicationServerStore
    queue: DownlinkQueue
    ledger: DownlinkLedger
    parked: ParkedReceipts
    failed: FailedMessages
    network_server: NetworkServer
    ingress: Ingress
    monitoring: Monitoring
    executor: Executor
    clock: Clock
    timing: Timing
    monotonic: Clock = time.monotonic


class DownlinkSender:
    """Queue handler that sends downlinks to the network server, in order per device.

    A downlink leaves the queue only after the network server accepted it, after it was stored as failed and reported,
    or when its connection was deleted. Only a downlink that cannot even be stored as failed is dropped with a log
    line; one that names no connection stays until its retention ends. The ledger limits repeated calls to one per
    killed function.
    """

    def __init__(self, context: SenderContext) -> None:
        self._context = context

    def handle(self, records: Sequence[QueueRecord], deadline: float) -> None:
        """Send the downlinks. Lambda ends the function at ``deadline`` (monotonic).

        Raises Unavailable if a downlink is not finished, after deleting the finished ones. SQS redelivers the others
        after their delay and holds back the later downlinks of their devices until then.
        """
        devices: dict[str, list[QueueRecord]] = defaultdict(list)
        for record in records:
            devices[record.group].append(record)
        stop_at = deadline - min(self._context.timing.spare, self._context.timing.downlink_timeout)
        running = [self._context.executor.submit(self._send_in_order, list(part), stop_at) for part in devices.values()]
        done = [record.receipt for future in running for record in future.result()]
        if len(done) < len(records):
            self._context.queue.delete(done)
            raise Unavailable(f"{len(records) - len(done)} downlink(s) are not finished and will be retried")

    def _send_in_order(self, records: list[QueueRecord], stop_at: float) -> list[QueueRecord]:
        """Send one device's downlinks and return the finished ones; stop at the first other one to keep the order."""
        for index, record in enumerate(records):
            if self._context.monotonic() > stop_at:
                self._context.queue.delay([r.receipt for r in records[index:]], 0)
                return records[:index]
            try:
                self._send(record)
            except _RetryLater as retry:
                self._context.queue.delay([r.receipt for r in records[index:]], retry.seconds)
                return records[:index]
            except _Inactive as inactive:
                self._park([r.receipt for r in records[index:]], inactive.job, inactive.until)
                return records[:index]
            except (NotFound, Unavailable) as error:
                # NotFound: after the record was read, its secret was replaced or the connection was deleted.
                log.warning("downlink not sent yet", extra={"messageId": record.message_id, "reason": str(error)})
                return records[:index]
            except Exception:  # noqa: BLE001
                # An unforeseen error must neither repeat the downlinks of other devices nor recur without end.
                log.exception("downlink not handled", extra={"messageId": record.message_id})
                if record.attempts < MAX_ATTEMPTS or not self._give_up(record):
                    return records[:index]
        return records

    def _park(self, receipts: Sequence[str], job: DownlinkJob, until: float) -> None:
        """Hide a device's downlinks until their connection is activated, which makes them visible by their receipts.

        Each invocation with a downlink that stays queued counts as an error of the function, so it must not be checked
        each minute.
        """
        queue, scale = self._context.queue, self._context.timing.scale
        if not job.deduplication_id:
            queue.delay(receipts, max(1, round(INACTIVE_DELAY / scale)))
            return
        try:
            self._context.parked.park(job.tenant, job.connection_id, job.deduplication_id, receipts)
            queue.delay(receipts, max(1, round(min(PARKED / scale, until - self._context.clock() + 1))))
            # The connection may have been activated before its receipts were recorded.
            active = self._context.connections.get(job.tenant, job.connection_id).active
        except NotFound:
            active = True
        except Unavailable as error:
            log.warning("downlink not parked", extra={"connection": job.connection_id, "reason": str(error)})
            queue.delay(receipts, max(1, round(INACTIVE_DELAY / scale)))
            return
        if active:
            queue.delay(receipts, 0)

    def _give_up(self, record: QueueRecord) -> bool:
        """Store a downlink that cannot be handled as failed; return False if it must stay queued."""
        target = read_target(record.body) or _target_of_group(record.group)
        if target is None:
            metrics.add(Metric.UNREADABLE)
            log.error("unreadable downlink kept", extra={"messageId": record.message_id, "attempts": record.attempts})
            return False
        try:
            connection = self._context.connections.get(target.tenant, target.connection_id)
            detail = f"the downlink failed {record.attempts} times because of an internal error"
            job = _read_job(record.body)
            if job is None:
                self._keep_unreadable(connection, record, detail)
            else:
                self._reject(connection, job, FailureReason.NOT_HANDLED, detail, record)
        except NotFound:
            log.warning("downlink of a deleted connection dropped", extra={"messageId": record.message_id})
        except Exception:  # noqa: BLE001
            # Without a failed message, the queue is the only place that has the downlink.
            log.exception("downlink kept", extra={"messageId": record.message_id, "attempts": record.attempts})
            return False
        return True

    def _keep_unreadable(self, connection: Connection, record: QueueRecord, detail: str) -> None:
        """Store an unreadable downlink as failed. Its body is the downlink if that is readable, else the message."""
        fields = readable_fields(record.body)
        downlink, as_key_secret, name = (fields.get(key) for key in ("downlink", "asKeySecret", "deduplicationId"))
        dev_eui = downlink.get("DevEUI") if isinstance(downlink, dict) else None
        is_known = isinstance(dev_eui, str)
        message = FailedMessage(
            id=new_id(self._context.clock()),
            time=iso_time(self._context.clock()),
            direction=Direction.DOWNLINK,
            reason=FailureReason.NOT_HANDLED,
            detail=detail,
            dev_eui=dev_eui if is_known else None,
            attempts=record.attempts,
            body=json.dumps({DOWNLINK: downlink}, ensure_ascii=False) if is_known else record.body,
            as_key_secret=as_key_secret if isinstance(as_key_secret, str) else None,
        )
        self._context.failed.add(connection.tenant, connection.id, [message])
        details = {"devEUI": dev_eui} if is_known else {}
        self._context.monitoring.occurrences(connection, message.reason.downlink_event, 1, detail, details)
        self._context.monitoring.count(connection, {"downlinksFailed": 1}, (), [failed_entry(message)])
        if isinstance(name, str) and name:
            self._context.monitoring.downlink_done(connection.tenant, connection.id, name)

    def _send(self, record: QueueRecord) -> None:
        job = DownlinkJob.model_validate_json(record.body)
        self._send_or_reject(record, job)
        if job.deduplication_id:
            # A repeat clears the count again, because a killed function may not have reached this line.
            self._context.monitoring.downlink_done(job.tenant, job.connection_id, job.deduplication_id)

    def _send_or_reject(self, record: QueueRecord, job: DownlinkJob) -> None:
        """Return when the downlink is finished. Raises _RetryLater, NotFound or Unavailable if it must stay queued."""
        try:
            connection = self._context.connections.get(job.tenant, job.connection_id)
        except NotFound:
            # Deleting a connection discards its queued downlinks.
            log.info("downlink of a deleted connection dropped", extra={"connection": job.connection_id})
            return
        if self._context.ledger.was_sent(record.message_id):
            return
        until = valid_until(job.downlink, job.received_at) or job.received_at + MAX_AGE
        if not connection.active and self._context.clock() <= until:
            raise _Inactive(job, until)
        if self._context.clock() > until:
            self._reject(
                connection,
                job,
                FailureReason.VALIDITY_PASSED,
                "the network server did not accept the downlink before its validity ended",
                record,
            )
            return
        as_id, as_key = self._application_server(connection, job)
        if as_key is None:
            detail = (
                f"no AS key is known for the application server '{as_id}'; set downlinkAsId and downlinkAsKey, "
                "or register the application server with POST /application-servers"
            )
            self._reject(connection, job, FailureReason.NO_APPLICATION_SERVER, detail, record)
            return
        sent_at = datetime.fromtimestamp(self._context.clock(), UTC).isoformat(timespec="milliseconds")
        try:
            self._context.network_server.send_downlink(query_parameters(job.downlink, as_id, sent_at), as_key)
        except DownlinkRejected as error:
            self._reject(connection, job, FailureReason.REJECTED, str(error), record)
            return
        except DownlinkDelayed as error:
            seconds = backoff(record.attempts, first=5, longest=300, scale=self._context.timing.scale)
            log.warning(
                "downlink delayed", extra={"connection": connection.id, "reason": str(error), "seconds": seconds}
            )
            if record.attempts == 1:
                self._context.monitoring.occurrences(
                    connection, EventType.DOWNLINK_DELAYED, 1, str(error), _device(job)
                )
            attempt = entry_of(job, record, Step.ATTEMPTED, self._context.clock(), detail=str(error))
            self._context.monitoring.count(connection, {}, (), [attempt])
            raise _RetryLater(seconds) from error
        self._context.ledger.record(record.message_id)
        delivered = entry_of(job, record, Step.DELIVERED, self._context.clock())
        self._context.monitoring.count(connection, {"downlinksDelivered": 1}, (), [delivered])

    def _application_server(self, connection: Connection, job: DownlinkJob) -> tuple[str, str | None]:
        """Return the AS_ID and AS key for the call: the downlink's, the connection's, or the tenant's only ones.

        The AS key is None if no key is known. Raises NotFound or Unavailable.
        """
        as_id = job.downlink.get("AS_ID")
        if as_id and job.as_key_secret:
            return as_id, self._context.secrets.get_as_key(job.as_key_secret)
        configuration = connection.configuration
        if as_id in {None, configuration.downlink_as_id} and configuration.downlink_as_id:
            if configuration.downlink_as_key:
                return configuration.downlink_as_id, self._context.secrets.of(connection).downlink_as_key
            as_id = configuration.downlink_as_id
        if not as_id:
            registered = self._context.application_servers.of_tenant(connection.tenant)
            if len(registered) != 1:
                return "", None
            as_id = registered[0].as_id
        keys = dict(self._context.application_servers.keys(as_id))
        return as_id, keys.get(connection.tenant)

    def _reject(
        self, connection: Connection, job: DownlinkJob, reason: FailureReason, detail: str, record: QueueRecord
    ) -> None:
        """Store the downlink as failed, send a rejection report to the customer and record an event."""
        message = FailedMessage(
            id=new_id(self._context.clock()),
            time=iso_time(self._context.clock()),
            direction=Direction.DOWNLINK,
            reason=reason,
            detail=detail,
            dev_eui=job.downlink["DevEUI"],
            attempts=record.attempts,
            body=json.dumps({DOWNLINK: job.downlink}, ensure_ascii=False),
            message_id=name_of(job, record),
            as_key_secret=job.as_key_secret,
        )
        self._context.failed.add(connection.tenant, connection.id, [message])
        report = DEFAULT.rejection(
            dev_eui=job.downlink["DevEUI"],
            # The time of reception is the same in a repeat, so that SQS deduplicates the report.
            time_iso=iso_time(job.received_at),
            cause=f"{reason}: {detail}",
            f_port=job.downlink["FPort"],
            correlation_id=job.downlink.get("CorrelationID"),
        )
        self._context.ingress.store(connection.tenant, report, only=[connection])
        self._context.monitoring.occurrences(connection, reason.downlink_event, 1, detail, _device(job))
        entries = [failed_entry(message, job.received_at)]
        self._context.monitoring.count(connection, {"downlinksFailed": 1}, (), entries)


def _device(job: DownlinkJob) -> dict[str, object]:
    return {"devEUI": job.downlink["DevEUI"]}


def _target_of_group(group: str) -> PollTarget | None:
    """Return the connection in the message group ``<tenant>.<connection id>.<DevEUI>``, None if it is another group."""
    tenant, _, rest = group.partition(".")
    connection_id, _, device = rest.partition(".")
    return PollTarget(tenant=tenant, connection_id=connection_id) if device else None


def _read_job(body: str) -> DownlinkJob | None:
    """Return the job in a message, None if it is unreadable or lacks what a rejection names."""
    try:
        job = DownlinkJob.model_validate_json(body)
    except ValidationError:
        return None
    return job if {"DevEUI", "FPort"} <= job.downlink.keys() else None
