"""Decoder of the reports of one chunk: one call of the codec, in which each driver has its own context."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chalicelib.domain.connection import Connection
from chalicelib.domain.drivers.driver import Driver, Operation, fitting, is_automatic
from chalicelib.domain.report import Report, UplinkPayload
from chalicelib.errors import InvalidRequest, NotFound, TooLarge, Unavailable
from chalicelib.monitoring import Monitoring
from chalicelib.network_servers.formats import format_named
from chalicelib.ports.clock import Clock
from chalicelib.ports.drivers import Codec, CodecAnswer, CodecJob
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.decoding.tenant_drivers import TenantDrivers
from chalicelib.vocabulary import EventType

_TRIES = 3
"""Attempts while drivers are replaced meanwhile."""


@dataclass(frozen=True)
class Decoded:
    """The result of decoding a chunk.

    ``reports``: those with a payload or the reason why it is missing, by receipt. ``waiting``: receipts of reports that
    the time did not suffice for, and of the later reports of their devices. ``seconds``: the time it took.
    """

    reports: dict[str, Report] = field(default_factory=dict)
    waiting: frozenset[str] = frozenset()
    seconds: float = 0.0


class Decoder(Protocol):
    """Adds the payload to reports before they are published."""

    def decode(self, connection: Connection, reports: Sequence[ReceivedReport], until: float) -> Decoded:
        """Decode the reports of a chunk that have a driver; begin no call after ``until`` (monotonic) but the first.

        Raises Unavailable.
        """


class _NoDecoder:
    def decode(self, connection: Connection, reports: Sequence[ReceivedReport], until: float) -> Decoded:  # noqa: ARG002
        if any(report.driver is not None for report in reports):
            raise Unavailable("this function cannot decode payloads")
        return Decoded()


NO_DECODER: Decoder = _NoDecoder()
"""For a forwarder that meets no driver."""


@dataclass(frozen=True)
class _Task:
    received: ReceivedReport
    report: Report
    driver: Driver
    job: CodecJob


class PayloadDecoder:
    """Decodes the payloads of reports that a flow with a driver has chosen.

    A driver that fails never costs a report: the report says so. A codec that does not answer is an outage of ours:
    nothing of the chunk may be published then, because its payloads would be missing.
    """

    def __init__(self, codec: Codec, drivers: TenantDrivers, monitoring: Monitoring, monotonic: Clock) -> None:
        self._codec = codec
        self._drivers = drivers
        self._monitoring = monitoring
        self._monotonic = monotonic

    def decode(self, connection: Connection, reports: Sequence[ReceivedReport], until: float) -> Decoded:
        """Decode the reports of a chunk; see ``Decoder``."""
        wanted = [report for report in reports if report.driver is not None]
        if not wanted:
            return Decoded()
        began = self._monotonic()
        for _ in range(_TRIES):
            try:
                found, missing = self._decode(connection, wanted, until)
            except NotFound:
                # Its code was read after it was replaced.
                self._drivers.forget(connection.tenant)
                continue
            return Decoded(found, _with_successors(missing, reports), self._monotonic() - began)
        raise Unavailable("a driver was replaced again and again while reports were decoded")

    def _decode(
        self, connection: Connection, wanted: Sequence[ReceivedReport], until: float
    ) -> tuple[dict[str, Report], set[str]]:
        """Return the decoded reports by receipt, and the receipts of those that were not reached."""
        tasks, found = self._tasks(connection.tenant, wanted)
        failures: dict[str, list[tuple[Report, str]]] = {}
        codes = {task.driver.code_hash: task.driver for task in tasks}
        answers: list[CodecAnswer] = []
        while len(answers) < len(tasks) and (not answers or self._monotonic() < until):
            jobs = [task.job for task in tasks[len(answers) :]]
            answers += self._codec.run(jobs, lambda name: self._drivers.code(codes[name]))
        for task, answer in zip(tasks, answers, strict=False):
            report, fault = with_answer(task.report, answer)
            found[task.received.receipt] = report
            if fault is not None:
                failures.setdefault(task.driver.id, []).append((task.report, fault))
        self._report(connection, failures)
        return found, {task.received.receipt for task in tasks[len(answers) :]}

    def _tasks(self, tenant: str, wanted: Sequence[ReceivedReport]) -> tuple[list[_Task], dict[str, Report]]:
        """Return the calls of drivers, and the reports whose driver does not exist any more, by receipt."""
        drivers = self._drivers.of(tenant)
        known = {driver.id for driver in drivers}
        if any(each.driver not in known and not is_automatic(each.driver or "") for each in wanted):
            # A driver that was created a moment ago.
            self._drivers.forget(tenant)
            drivers = self._drivers.of(tenant)
        tasks: list[_Task] = []
        found: dict[str, Report] = {}
        for received in wanted:
            try:
                form = format_named(received.format)
                report = form.parse(received.body.encode())
            except (InvalidRequest, TooLarge):
                continue  # The drain records it as a failed message.
            payload = form.payload(report)
            if payload is None or received.driver is None:
                continue
            driver = fitting(drivers, received.driver, payload.models)
            if driver is not None:
                tasks.append(_Task(received, report, driver, decoding_job(driver, payload)))
            elif not is_automatic(received.driver):
                found[received.receipt] = form.with_failure(report, missing_driver(received.driver))
        return tasks, found

    def _report(self, connection: Connection, failures: dict[str, list[tuple[Report, str]]]) -> None:
        for driver_id, failed in failures.items():
            report, fault = failed[0]
            self._monitoring.occurrences(
                connection,
                EventType.DRIVER_FAILED,
                len(failed),
                f"The driver {driver_id} failed, so reports have payloadDecodedError in place of payload, this one "
                f"first: {fault} Test the driver with the example.",
                {"driver": driver_id, "devEUI": report.dev_eui, "fPort": report.f_port, "payload_hex": _hex(report)},
                cause=driver_id,
            )


def decoding_job(driver: Driver, payload: UplinkPayload) -> CodecJob:
    """Return the call of the driver that decodes a payload."""
    return CodecJob(driver.code_hash, driver.signature, Operation.DECODE_UPLINK, payload.to_input())


def missing_driver(driver_id: str) -> str:
    """Return the reason for a report without payload whose driver was deleted."""
    return f"The driver {driver_id} does not exist any more."


def with_answer(report: Report, answer: CodecAnswer) -> tuple[Report, str | None]:
    """Return the report with its payload, or with the reason why it has none, and this reason."""
    form = format_named(report.format)
    fault = answer.fault
    if fault is None and answer.data is not None:
        try:
            return form.with_payload(report, answer.data), None
        except InvalidRequest as error:
            fault = f"The result is not usable: {error.violations[0].detail}."
    fault = fault or "The driver returned no data."
    return form.with_failure(report, fault), fault


def _with_successors(missing: set[str], reports: Sequence[ReceivedReport]) -> frozenset[str]:
    """Return ``missing`` with the later reports of the same devices, which must not overtake."""
    groups: set[str] = set()
    waiting: set[str] = set()
    for report in reports:
        if report.receipt in missing or report.group in groups:
            groups.add(report.group)
            waiting.add(report.receipt)
    return frozenset(waiting)


def _hex(report: Report) -> str:
    return str(report.fields.get("payload_hex", ""))[:512]
