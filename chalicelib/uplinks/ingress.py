"""Ingress: check reports and store them for every active connection of the tenant before answering.

A 200 is safe because every queue has the report, and the shared queue has a wake that names it for each.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from chalicelib.config import Settings
from chalicelib.domain.connection import Connection
from chalicelib.domain.report import Report
from chalicelib.domain.work_items import Wake
from chalicelib.errors import NotFound, Unauthorized, Unavailable
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.monitoring import log
from chalicelib.network_servers.formats import DEFAULT
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ActiveConnections
from chalicelib.ports.queues import UplinkQueues, WakeQueue
from chalicelib.ports.secrets import ApplicationServerStore
from chalicelib.uplinks.outgoing import message_id

_CACHED_TENANTS = 1000


@dataclass(frozen=True)
class IngressContext:
    """Dependencies of ``Ingress``. ``clock``: Unix seconds."""

    connections: ActiveConnections
    application_servers: ApplicationServerStore
    queues: UplinkQueues
    wakes: WakeQueue
    executor: Executor
    clock: Clock
    settings: Settings


class Ingress:
    """Accepts reports.

    A report is answered only after the queue of every matching connection has it and a wake for each was sent.
    """

    def __init__(self, context: IngressContext) -> None:
        self._context = context
        self._active: BoundedCache[str, tuple[int, list[Connection]]] = BoundedCache(_CACHED_TENANTS)

    def accept_from_lrc(self, query: Sequence[tuple[str, str]], body: bytes) -> None:
        """A report with the LRC's query parameters. Raises Unauthorized, InvalidRequest or Unavailable."""
        parameters = dict(query)
        # This check precedes the body, so that a caller without credentials learns nothing about it.
        if not parameters.get("Token") or not parameters.get("AS_ID"):
            raise Unauthorized("send the LRC's AS_ID, Time and Token, or a bearer token with the scope uplinks:write")
        report = DEFAULT.parse(body)
        self.store(self._authenticate(query, report), report)

    def accept(self, tenant: str, body: bytes) -> None:
        """A report of a tenant whose bearer token was verified."""
        self.store(tenant, DEFAULT.parse(body))

    def _authenticate(self, query: Sequence[tuple[str, str]], report: Report) -> str:
        DEFAULT.check_time(query, self._context.clock(), self._context.settings.uplink_max_time_deviation)
        for tenant, as_key in self._context.application_servers.keys(dict(query)["AS_ID"]):
            if DEFAULT.is_signed(query, report, as_key):
                return tenant
        raise Unauthorized("the Token does not fit the report and the key of this AS_ID")

    def store(self, tenant: str, report: Report, only: Sequence[Connection] | None = None) -> None:
        """Stores a report for each active connection, or for those in ``only``.

        Raises Unavailable when not every queue and the wakes have it: the network server then repeats it, and the
        deduplication id keeps what is stored already from being stored twice.
        """
        connections = self._active_connections(tenant) if only is None else only
        sending = [(c, self._context.executor.submit(self._send, c, report)) for c in connections]
        wakes: list[Wake] = []
        failure: Unavailable | None = None
        for connection, future in sending:
            try:
                name = future.result()
            except Unavailable as error:
                failure = error
                continue
            if name:
                wakes.append(Wake(tenant=tenant, connection_id=connection.id, message_id=name))
        if wakes:
            self._context.wakes.send(wakes)
        if failure:
            raise failure

    def _send(self, connection: Connection, report: Report) -> str | None:
        """The report's AMQP message id; None when the connection was deleted meanwhile."""
        name = message_id(connection.id, report)
        try:
            self._context.queues.send(
                connection.id,
                body=report.text,
                report_format=report.format,
                group=report.group,
                message_id=name,
                deduplication_id=hashlib.sha256(f"report {name}".encode()).hexdigest(),
            )
        except NotFound as error:
            # A queue is made before its connection and removed after it: either the connection is gone, or SQS
            # does not know the new queue everywhere yet, and the report must be sent again.
            try:
                self._context.connections.get(connection.tenant, connection.id)
            except NotFound:
                log.info("report not stored for a deleted connection", extra={"connection": connection.id})
                return None
            raise Unavailable("the connection's queue is not ready yet") from error
        return name

    def _active_connections(self, tenant: str) -> list[Connection]:
        generation = self._context.connections.generation(tenant)
        cached = self._active.get(tenant)
        if cached is None or cached[0] != generation:
            cached = (generation, [c for c in self._context.connections.of_tenant(tenant) if c.active])
            self._active.put(tenant, cached)
        return cached[1]
