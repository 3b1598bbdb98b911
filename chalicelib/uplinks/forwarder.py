"""Forwarder: one drain for each connection that a batch of wakes names, all in parallel."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, wait

from ulid import ULID

from chalicelib.domain.work_items import Wake, read_wake
from chalicelib.errors import Unavailable, Unreadable
from chalicelib.monitoring import log
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.queues import QueueRecord
from chalicelib.uplinks.drain import Drain
from chalicelib.uplinks.drain_context import CLOCK_SKEW, DrainContext
from chalicelib.vocabulary import Metric

WATCH = 0.25
"""Seconds between two looks at the waits of running drains."""


class Forwarder:
    """Handles batches of wakes: groups them by connection and drains the connections in parallel.

    It deletes a wake only if its drain let it go: the wake's report is settled, or a pending wake-up was written.
    """

    def __init__(self, context: DrainContext, executor: Executor) -> None:
        self._context = context
        self._executor = executor

    def handle(self, records: Sequence[QueueRecord], deadline: float) -> None:
        """Drain until shortly before ``deadline``, the time.monotonic() at which Lambda ends the function.

        Return if every wake may be deleted. Otherwise delete those that may and raise Unavailable: SQS delivers the
        others again after their visibility timeout. A broker fault does not raise: it must not delay the wakes of
        other connections.
        """
        self._extend(records)
        self._context.pool.tidy()
        stop_at = deadline - self._context.timing.spare
        drains: dict[tuple[str, str], list[tuple[str, Wake]]] = defaultdict(list)
        done: list[str] = []
        kept = 0
        for record in records:
            wake = read_wake(record.body, record.report)
            if wake is None:
                # It names no connection, so no pending wake-up can be written for it: SQS keeps it.
                metrics.add(Metric.UNREADABLE)
                log.error("unreadable wake kept", extra={"messageId": record.message_id})
                kept += 1
                continue
            drains[wake.tenant, wake.connection_id].append((record.receipt, wake))
        running: dict[Future[bool], tuple[Drain, list[str]]] = {}
        for (tenant, connection_id), pairs in drains.items():
            drain = Drain(self._context, tenant, connection_id, [wake for _, wake in pairs])
            running[self._executor.submit(self._drain, drain, stop_at)] = drain, [receipt for receipt, _ in pairs]
        self._watch({future: drain for future, (drain, _) in running.items()})
        for future, (_, receipts) in running.items():
            if future.result():
                done += receipts
            else:
                kept += len(receipts)
        if kept:
            self._context.wakes.delete(done)
            raise Unavailable(f"{kept} wake(s) are unreadable, or have unsettled reports; SQS delivers them again")

    def _extend(self, records: Sequence[QueueRecord]) -> None:
        """Give wakes that waited for this function their full visibility timeout again, which few need.

        A wake should stay hidden longer than the reports that this function receives, so that it finds them if the
        function is killed. Only the first receive of a message has a known time.
        """
        timing = self._context.timing
        latest = self._context.clock() - (timing.wake_visibility - timing.report_visibility - CLOCK_SKEW)
        waited = [record.receipt for record in records if record.attempts > 1 or record.received_at < latest]
        if waited:
            self._context.wakes.extend(waited)

    def _watch(self, running: Mapping[Future[bool], Drain]) -> None:
        """Wait for the drains; in the fast lane, demote connections whose brokers are slow meanwhile."""
        waiting = set(running)
        while waiting:
            began = self._context.monotonic()
            _, waiting = wait(waiting, timeout=None if self._context.slow_wakes is None else WATCH)
            stalled = self._context.monotonic() - began - WATCH
            for future in waiting:
                running[future].lane.watch(stalled)

    def _drain(self, drain: Drain, stop_at: float) -> bool:
        tenant, connection_id = drain.tenant, drain.id
        began = self._context.monotonic()
        try:
            if not self._run_admitted(drain, stop_at):
                # The reports can be received now; the drains that run may well take them.
                return self._wake_later(tenant, connection_id, self._context.timing.recheck)
        except Unreadable as error:
            log.error("not drained", extra={"tenant": tenant, "connection": connection_id, "reason": str(error)})
            self._context.pool.close(connection_id)
            return self._wake_later(tenant, connection_id, self._context.timing.report_visibility)
        except Exception:  # noqa: BLE001
            # One connection's error must not stop the others of the batch, nor slow the shared queue by raising.
            log.exception("drain failed", extra={"tenant": tenant, "connection": connection_id})
            return self._wake_later(tenant, connection_id, self._context.timing.report_visibility)
        seconds = round(self._context.monotonic() - began, 3)
        log.debug("drained", extra={"tenant": tenant, "connection": connection_id, "seconds": seconds})
        return True

    def _run_admitted(self, drain: Drain, stop_at: float) -> bool:
        """Run the drain; return False if the slow lane has too many drains of its connection or tenant."""
        admission = self._context.admission
        if admission is None:
            drain.run(stop_at)
            return True
        name = admission.enter(drain.tenant, drain.id)
        if name is None:
            metrics.add(Metric.DRAINS_HELD)
            log.info("drain not admitted", extra={"tenant": drain.tenant, "connection": drain.id})
            return False
        try:
            drain.run(stop_at)
        finally:
            admission.leave(drain.tenant, name)
        return True

    def _wake_later(self, tenant: str, connection_id: str, seconds: float) -> bool:
        """Write a pending wake-up for the reports of a drain that did not end; return whether it was written."""
        due = self._context.clock() + seconds
        try:
            self._context.connections.set_pending_wake(tenant, connection_id, due, str(ULID()))
        except Exception:  # noqa: BLE001
            # The caller keeps the wakes, so that SQS delivers them again.
            log.exception("wakes kept", extra={"tenant": tenant, "connection": connection_id})
            return False
        return True
