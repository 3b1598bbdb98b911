"""Monitoring: structured log lines, the tenants' events and the counters of connections."""

import json
import logging
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ulid import ULID

from chalicelib.domain.connection import Connection
from chalicelib.domain.event import Event, Level
from chalicelib.domain.messages.entries import LogEntry
from chalicelib.errors import Unavailable
from chalicelib.kernel.ids import id_of
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring.metrics import metrics
from chalicelib.monitoring.request_ids import current_ids
from chalicelib.ports.clock import Clock
from chalicelib.ports.history import EventLog, StatisticsWriter
from chalicelib.vocabulary import EventType, Metric

log = logging.getLogger("iot_flow")

_MINUTE, _HOUR = 60, 3600
_STANDARD = set(vars(logging.makeLogRecord({})))
_OF_EVENTS = {
    EventType.UPLINK_EXPIRED: Metric.UPLINKS_EXPIRED,
    EventType.UPLINKS_EXPIRE: Metric.UPLINKS_EXPIRE,
    EventType.UPLINKS_LOST: Metric.UPLINKS_LOST,
    EventType.DOWNLINK_DELAYED: Metric.DOWNLINKS_DELAYED,
    EventType.DOWNLINK_REJECTED: Metric.DOWNLINKS_REJECTED,
    EventType.UPLINK_NOT_HANDLED: Metric.NOT_HANDLED,
    EventType.DOWNLINK_NOT_HANDLED: Metric.NOT_HANDLED,
}
_OF_COUNTERS = {
    "uplinksDelivered": Metric.UPLINKS_DELIVERED,
    "uplinksFailed": Metric.UPLINKS_FAILED,
    "downlinksDelivered": Metric.DOWNLINKS_SENT,
    "downlinksFailed": Metric.DOWNLINKS_FAILED,
}


class _JsonFormatter(logging.Formatter):
    """A formatter that writes one JSON object per line, so that user input cannot forge a log line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "level": record.levelname,
            "time": iso_time(record.created),
            "message": record.getMessage(),
            **current_ids(),
        }
        entry.update({k: v for k, v in vars(record).items() if k not in _STANDARD})
        if record.exc_info and record.exc_info[1]:
            # Log the frames only: an exception's text may quote the caller's input.
            entry["error"] = type(record.exc_info[1]).__name__
            entry["frames"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(record.exc_info[2])]
        return json.dumps(entry, default=str)


def configure_logging(level: str) -> None:
    """Write structured lines of at least ``level`` to stdout, from which Lambda collects them."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter())
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(level)


class Monitoring:
    """Events and counters of connections.

    Its methods do not raise when a store fails: an outage may lose events and counts, but never stops a message.
    """

    def __init__(self, events: EventLog, statistics: StatisticsWriter, clock: Clock) -> None:
        self._events = events
        self._statistics = statistics
        self._clock = clock

    def event(
        self,
        connection: Connection,
        level: Level,
        type_: EventType,
        message: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Log an event and store it for the tenant. ``message`` and ``details`` must not contain secrets."""
        self._log(connection, level, type_, message, details or {})
        event = self._event(connection, level, type_, message, details or {})
        with _log_lost_event(type_):
            self._events.add(connection.tenant, event)

    def occurrences(
        self,
        connection: Connection,
        type_: EventType,
        number: int,
        message: str,
        details: Mapping[str, Any],
        cause: str | None = None,
    ) -> None:
        """Log and store a warning that stands for ``number`` messages, of which the first has this text.

        A sender outside may cause any number of them, so a connection has one event of each type a minute.
        ``cause``: what lasts, such as a faulty driver; then there is one event an hour for each cause.
        """
        self._log(connection, Level.WARNING, type_, message, {**details, "count": number})
        event = self._event(connection, Level.WARNING, type_, message, details)
        period = _MINUTE if cause is None else _HOUR
        begin = self._clock() // period * period
        names = (connection.id, type_, *(() if cause is None else (cause,)))
        same = event.model_copy(update={"id": id_of(begin, *names)})
        with _log_lost_event(type_):
            self._events.add_up(connection.tenant, same, number)

    def _event(
        self, connection: Connection, level: Level, type_: EventType, message: str, details: Mapping[str, Any]
    ) -> Event:
        return Event(
            id=str(ULID()),
            time=iso_time(self._clock()),
            level=level,
            type=type_,
            connection_id=connection.id,
            message=message,
            details=dict(details),
        )

    @staticmethod
    def _log(connection: Connection, level: Level, type_: EventType, message: str, details: Mapping[str, Any]) -> None:
        if type_ in _OF_EVENTS:
            metrics.add(_OF_EVENTS[type_], details.get("count", 1))
        extra = {"tenant": connection.tenant, "connection": connection.id, "type": type_, "details": details}
        log.log(logging.getLevelNamesMapping()[level.upper()], message, extra=extra)

    def count(
        self,
        connection: Connection,
        counts: Mapping[str, int],
        devices: Collection[str] = (),
        log_entries: Sequence[LogEntry] = (),
    ) -> None:
        """Add to the counters of this minute. ``devices``: DevEUIs with a delivered uplink among those counted.

        ``log_entries``: steps of messages for the message log, which the same write stores.
        """
        wanted = {name: n for name, n in counts.items() if n}
        if wanted or log_entries:
            for name in wanted.keys() & _OF_COUNTERS.keys():
                metrics.add(_OF_COUNTERS[name], wanted[name])
            with _log_failures(connection.id):
                self._statistics.add(connection.tenant, connection.id, wanted, devices, log_entries)

    def downlinks_waiting(self, connection: Connection, names: Sequence[str]) -> None:
        """Count downlinks as waiting. ``names``: their SQS deduplication ids."""
        if names:
            with _log_failures(connection.id):
                self._statistics.mark_waiting(connection.tenant, connection.id, names)

    def downlink_done(self, tenant: str, connection_id: str, name: str) -> None:
        """Stop counting a downlink as waiting, even if its connection was deleted."""
        with _log_failures(connection_id):
            self._statistics.clear_waiting(tenant, connection_id, name)


@contextmanager
def _log_lost_event(type_: EventType) -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        metrics.add(Metric.EVENTS_LOST)
        log.exception("event not stored", extra={"type": type_, "reason": str(error)})


@contextmanager
def _log_failures(connection_id: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Catch every exception: even a programming error in the counters must not stop a message.
        log.exception(
            "statistics not stored",
            extra={"connection": connection_id, "reason": str(error) if isinstance(error, Unavailable) else ""},
        )
