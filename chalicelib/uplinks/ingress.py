"""Ingress: check reports and store them in the queue of every active connection that the tenant's flows choose."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from chalicelib.config import Settings
from chalicelib.domain.connection import Connection
from chalicelib.domain.flows.matching import FlowMatch
from chalicelib.domain.report import Report
from chalicelib.domain.work_items import Wake, WakeReport
from chalicelib.errors import NotFound, Unauthorized, Unavailable
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.monitoring import log
from chalicelib.monitoring.metrics import metrics
from chalicelib.network_servers.formats import DEFAULT, format_named
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ConnectionReader
from chalicelib.ports.queues import UplinkQueues, WakeQueue
from chalicelib.ports.secrets import ApplicationServerStore
from chalicelib.uplinks.outgoing import message_id
from chalicelib.uplinks.routing import RoutingCache
from chalicelib.vocabulary import Metric

_CACHED_TOKENS = 20_000
"""More signed reports than one process accepts within UPLINK_MAX_TIME_DEVIATION: some 4 MB of memory."""


@dataclass(frozen=True)
class IngressContext:
    """Dependencies of ``Ingress``. ``clock``: Unix seconds."""

    connections: ConnectionReader
    routing: RoutingCache
    application_servers: ApplicationServerStore
    queues: UplinkQueues
    wakes: WakeQueue
    executor: Executor
    clock: Clock
    settings: Settings


class Ingress:
    """Accepts reports and stores them durably before they are acknowledged.

    A 200 means that the queue of every active connection that the flows choose has the report, and that the shared
    wake queue has one wake for each of these queues that names the report.
    """

    def __init__(self, context: IngressContext) -> None:
        self._context = context
        self._tokens: BoundedCache[str, bytes] = BoundedCache(_CACHED_TOKENS)

    def accept_from_lrc(self, query: Sequence[tuple[str, str]], read: Callable[[], bytes]) -> None:
        """Store a report that the LRC signed with its query parameters. ``read`` returns the body.

        Raises Unauthorized, InvalidRequest or Unavailable, and what ``read`` raises."""
        parameters = dict(query)
        # Check the credentials before the body: a caller without a token must not learn how its body parses, and costs
        # no decoding.
        if not parameters.get("Token") or not parameters.get("AS_ID"):
            raise Unauthorized("send the LRC's AS_ID, Time and Token, or a bearer token with the scope uplinks:write")
        report = DEFAULT.parse(read())
        self.store(self._authenticate(query, report), report)

    def accept(self, tenant: str, body: bytes) -> None:
        """Store a report of a tenant whose bearer token was verified. Raises InvalidRequest or Unavailable."""
        self.store(tenant, DEFAULT.parse(body))

    def _authenticate(self, query: Sequence[tuple[str, str]], report: Report) -> str:
        DEFAULT.check_time(query, self._context.clock(), self._context.settings.uplink_max_time_deviation)
        servers, as_id = self._context.application_servers, dict(query)["AS_ID"]
        # A key that another process registered in the last seconds is found by the second read.
        for read_keys in (servers.recent_keys, servers.keys):
            for tenant, as_key in read_keys(as_id):
                if DEFAULT.is_signed(query, report, as_key):
                    self._check_first_use(dict(query)["Token"], report)
                    return tenant
        raise Unauthorized("the Token does not match the report and the key of this AS_ID")

    def _check_first_use(self, token: str, report: Report) -> None:
        """Check that the token did not come with another body before. Raises Unauthorized.

        The token does not cover the whole body. A shared record of tokens would cost a write for every report, so only
        the tokens of this process are known; a token is refused by its Time long before it leaves the cache.
        """
        digest = hashlib.sha256(report.text.encode()).digest()
        if self._tokens.put_if_absent(token.strip().lower(), digest) != digest:
            raise Unauthorized("the Token came with another report before; sign each report with its own Time")

    def store(self, tenant: str, report: Report, only: Sequence[Connection] | None = None) -> None:
        """Store a report for each active connection that the flows choose, or for those in ``only``, and send wakes.

        Raises Unavailable if a queue or the wake queue did not accept it. The network server then repeats the report;
        the deduplication id prevents duplicates in the queues that already have it.
        """
        chosen = self._chosen(tenant, report) if only is None else [(connection, None) for connection in only]
        sending = [(c, self._context.executor.submit(self._send, c, report, match)) for c, match in chosen]
        wakes: list[Wake] = []
        failure: Unavailable | None = None
        for connection, future in sending:
            try:
                name = future.result()
            except Unavailable as error:
                failure = error
                continue
            if name:
                if only is None:
                    metrics.add(Metric.UPLINKS_ACCEPTED)
                wakes.append(self._wake(connection, name, report))
        if wakes:
            self._context.wakes.send(wakes)
        if failure:
            raise failure

    def _wake(self, connection: Connection, name: str, report: Report) -> Wake:
        return Wake(
            tenant=connection.tenant,
            connection_id=connection.id,
            message_id=name,
            report=WakeReport(
                device=report.dev_eui,
                frame_counter=report.f_cnt_up,
                type=report.root,
                accepted_at=self._context.clock(),
            ).model_dump_json(by_alias=True, exclude_none=True),
        )

    def _send(self, connection: Connection, report: Report, match: FlowMatch | None) -> str | None:
        """Return the report's AMQP message id, or None if the connection was deleted meanwhile."""
        name = message_id(connection.id, report)
        try:
            self._context.queues.send(
                connection.id,
                body=report.text,
                report_format=report.format,
                summary=format_named(report.format).summary(report),
                group=report.group,
                message_id=name,
                deduplication_id=hashlib.sha256(f"report {name}".encode()).hexdigest(),
                driver=match.driver if match else None,
                validity=match.uplink_time_validity if match else None,
            )
        except NotFound as error:
            # A queue is created before its connection and deleted after it. So either the connection is deleted, or
            # SQS does not know the new queue everywhere yet and the report must be repeated.
            try:
                self._context.connections.get(connection.tenant, connection.id)
            except NotFound:
                log.info("report not stored for a deleted connection", extra={"connection": connection.id})
                return None
            raise Unavailable("the connection's queue is not ready yet; send the report again") from error
        return name

    def _chosen(self, tenant: str, report: Report) -> list[tuple[Connection, FlowMatch | None]]:
        """Return the connections that receive a report, each with the flow that decided."""
        routing = self._context.routing.of(tenant)
        routes = routing.flows.route(report, [connection.id for connection in routing.connections])
        return [(each, routes[each.id]) for each in routing.connections if each.id in routes]
