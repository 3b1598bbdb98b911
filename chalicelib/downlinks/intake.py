"""Intake of downlinks from customers' brokers: validate them, and ack each only once our own queue holds it."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from ulid import ULID

from chalicelib.domain.connection import Connection
from chalicelib.domain.drivers.results import Encoded
from chalicelib.domain.work_items import DownlinkJob
from chalicelib.errors import DownlinkInvalid, Unavailable
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import Monitoring, log
from chalicelib.monitoring.metrics import metrics
from chalicelib.network_servers.formats import DEFAULT
from chalicelib.network_servers.thingpark.downlinks import no_encoder, parse_downlink
from chalicelib.ports.clock import Clock
from chalicelib.ports.consuming import ReceivedDownlink, Verdict
from chalicelib.ports.publishing import APP_ID
from chalicelib.ports.queues import BATCH, DownlinkQueue
from chalicelib.ports.secrets import SecretStore
from chalicelib.uplinks.ingress import Ingress
from chalicelib.vocabulary import EventType, FailureReason, Metric

_Kind = tuple[object, ...]
_NOT_HANDLED = "The downlink cannot be handled because of an internal error. Publish it without unusual characters."


class DownlinkIntake:
    """Intake of the downlinks that customers publish: validates each one and queues it for the sender.

    A downlink is acked only after SQS accepted it, and rejected only when it can never be sent. An exception on one
    message never affects another message.
    """

    def __init__(
        self,
        queue: DownlinkQueue,
        secrets: SecretStore,
        ingress: Ingress,
        monitoring: Monitoring,
        executor: Executor,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._secrets = secrets
        self._ingress = ingress
        self._monitoring = monitoring
        self._executor = executor
        self._clock = clock
        self.encode: Callable[..., Encoded] = _without_encoder
        """Encodes the payload of a downlink, as ``DownlinkEncoder.encode`` does. By default, it is rejected."""

    def accept(self, connection: Connection, messages: Sequence[ReceivedDownlink]) -> list[Verdict]:
        """Return one verdict per message, in the order of ``messages``.

        Does not raise: a message that SQS did not accept gets LATER, and its broker delivers it again.
        """
        verdicts = [Verdict.LATER] * len(messages)
        jobs: list[tuple[int, DownlinkJob, str]] = []
        invalid: list[tuple[int, DownlinkInvalid]] = []
        for index, message in enumerate(messages):
            try:
                job = self._job(connection, message)
            except DownlinkInvalid as error:
                invalid.append((index, error))
                continue
            except Unavailable as error:
                log.warning("downlink not accepted", extra={"connection": connection.id, "reason": str(error)})
                break
            except Exception:  # noqa: BLE001  # one message must not hold back the others
                log.exception("downlink not handled", extra={"connection": connection.id})
                invalid.append((index, DownlinkInvalid(FailureReason.NOT_HANDLED, _NOT_HANDLED)))
                continue
            if job is None:
                verdicts[index] = Verdict.ACK
            else:
                jobs.append((index, job, job.deduplication_id))
        for index in self._reject(connection, invalid):
            verdicts[index] = Verdict.REJECT
        names = {index: name for index, _, name in jobs}
        accepted = self._send(jobs)
        metrics.add(Metric.DOWNLINKS_ACCEPTED, len(accepted))
        self._monitoring.downlinks_waiting(connection, [names[index] for index in accepted])
        for index in accepted:
            verdicts[index] = Verdict.ACK
        return verdicts

    def _job(self, connection: Connection, message: ReceivedDownlink) -> DownlinkJob | None:
        """Build the job, or return None for an uplink that this connector published and that the binding matched."""
        if message.app_id == APP_ID and b'"DevEUI_downlink"' not in message.body:
            return None
        configuration = connection.configuration
        downlink = parse_downlink(
            message.body,
            message.routing_key,
            configuration.downlink_topic_pattern or "",
            configuration,
            partial(self.encode, connection),
        )
        as_key = downlink.pop("AS_KEY", None)
        job = DownlinkJob(
            tenant=connection.tenant,
            connection_id=connection.id,
            downlink=downlink,
            as_key_secret=self._secrets.put_as_key(connection.tenant, connection.id, as_key) if as_key else None,
            received_at=self._clock(),
            deduplication_id=_deduplication_id(connection, message),
        )
        # A job that JSON cannot hold must fail here, where it affects its own message only.
        job.model_dump_json(by_alias=True)
        return job

    def _reject(self, connection: Connection, invalid: Sequence[tuple[int, DownlinkInvalid]]) -> list[int]:
        """Report and count a batch's invalid downlinks; return the indexes of those that the broker may drop.

        The number of writes depends on the kinds of faults, not on the number of downlinks. Otherwise, a flood of
        invalid downlinks could hold back the valid ones.
        """
        devices: dict[str, dict[_Kind, DownlinkInvalid]] = defaultdict(dict)
        for _, error in invalid:
            if error.dev_eui:
                devices[error.dev_eui].setdefault(_kind(error), error)
        running = [self._executor.submit(self._report, connection, list(kinds.values())) for kinds in devices.values()]
        unreported = {_kind(error) for future in running for error in future.result()}
        settled: dict[EventType, list[DownlinkInvalid]] = defaultdict(list)
        indexes = []
        for index, error in invalid:
            if _kind(error) not in unreported:
                settled[error.reason.downlink_event].append(error)
                indexes.append(index)
        for type_, errors in settled.items():
            details = {"devEUI": errors[0].dev_eui} if errors[0].dev_eui else {}
            # A driver fails for each of its downlinks until it is corrected.
            cause = "downlinks" if type_ is EventType.DRIVER_FAILED else None
            self._monitoring.occurrences(connection, type_, len(errors), errors[0].detail, details, cause)
        if indexes:
            self._monitoring.count(connection, {"downlinksFailed": len(indexes)})
        return indexes

    def _report(self, connection: Connection, errors: Sequence[DownlinkInvalid]) -> Sequence[DownlinkInvalid]:
        """Send a device's rejection reports in order; return those that could not be stored."""
        for number, error in enumerate(errors):
            try:
                report = DEFAULT.rejection(
                    dev_eui=error.dev_eui or "",
                    time_iso=iso_time(self._clock()),
                    cause=f"{error.reason}: {error.detail}",
                    f_port=error.f_port,
                    correlation_id=error.correlation_id,
                )
                self._ingress.store(connection.tenant, report, only=[connection])
            except Unavailable as unavailable:
                log.warning("rejection not stored", extra={"connection": connection.id, "reason": str(unavailable)})
                return errors[number:]
            except Exception:  # noqa: BLE001  # one message must not hold back the others
                log.exception("rejection not reported", extra={"connection": connection.id})
        return []

    def _send(self, jobs: Sequence[tuple[int, DownlinkJob, str]]) -> list[int]:
        """Send the jobs and return the indexes of those that SQS accepted.

        A call has at most one downlink of each device: SQS may accept only part of a batch, and a later downlink
        must not overtake an earlier one of the same device.
        """
        accepted: list[int] = []
        left = list(jobs)
        stopped: set[str] = set()
        while left:
            batch: list[tuple[int, DownlinkJob, str]] = []
            devices: set[str] = set()
            rest = []
            for entry in left:
                device = entry[1].downlink["DevEUI"]
                if device in stopped:
                    continue
                if device in devices or len(batch) == BATCH:
                    rest.append(entry)
                else:
                    batch.append(entry)
                devices.add(device)
            left = rest
            if not batch:
                break
            try:
                stored = self._queue.send([(job, name) for _, job, name in batch])
            except Unavailable as error:
                log.warning("downlinks not accepted", extra={"reason": str(error)})
                stored = [False] * len(batch)
            for (index, job, _), ok in zip(batch, stored, strict=True):
                if ok:
                    accepted.append(index)
                else:
                    stopped.add(job.downlink["DevEUI"])
        return accepted


def _without_encoder(_connection: Connection, *given: Any) -> Encoded:
    return no_encoder(*given)


def _kind(error: DownlinkInvalid) -> _Kind:
    """Return what the rejection reports of equal downlinks have in common: one report of them is enough."""
    return error.dev_eui, error.reason, error.detail, error.f_port, error.correlation_id


def _deduplication_id(connection: Connection, message: ReceivedDownlink) -> str:
    """Return a hash of the AMQP message id, or a new id: equal downlinks without a message id may both be intended."""
    if not message.message_id:
        return str(ULID())
    return hashlib.sha256(f"{connection.id} {message.message_id}".encode()).hexdigest()
