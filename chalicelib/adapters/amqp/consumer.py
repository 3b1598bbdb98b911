"""Consumer of the downlinks of many brokers on one I/O loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from chalicelib.adapters.amqp.feed import Feed, FeedEvents, Opening
from chalicelib.adapters.amqp.loop import Loop
from chalicelib.adapters.amqp.topology import Binding
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.errors import BrokerFault
from chalicelib.monitoring import log
from chalicelib.monitoring.request_ids import InheritingThreads
from chalicelib.ports.consuming import OnBatch, ReceivedDownlink, Verdict

THREADS = 16
"""Batches that are handled at the same time, each in a thread that may block on SQS."""
TICK = 0.2
"""Seconds between two calls of ``tick``."""
RESET = 1.0
"""Time limit in seconds for the loop to notice the resets at the end."""


class AmqpDownlinkConsumer:
    """Consumes many connections in one run. Implements ``ports.DownlinkConsumer``.

    Only the thread that calls ``run`` changes state; the other public methods queue a callback on its loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.allowed_private_networks
        self._loop = Loop()
        self._feeds: dict[str, Feed] = {}
        self._next: dict[str, Opening] = {}
        self._deleted: set[str] = set()
        self._after_close: dict[str, Callable[[], object]] = {}
        self._pool = InheritingThreads(THREADS, thread_name_prefix="downlinks")
        self._on_batch: OnBatch = _requeue_all
        self._on_opened: Callable[[str], None] = _ignore
        self._on_fault: Callable[[str, BrokerFault], None] = _ignore
        self._finishing = False
        self._under_way = 0

    def open(self, connection: Connection, secrets: ConnectionSecrets, old_bindings: Sequence[Binding] = ()) -> None:
        opening = Opening(connection, secrets, list(old_bindings))
        self._loop.add_callback_threadsafe(lambda: self._open(opening))

    def close(self, connection_id: str, then: Callable[[], object] | None = None) -> None:
        self._loop.add_callback_threadsafe(lambda: self._close(connection_id, then))

    def delete_queue(self, connection_id: str) -> None:
        self._loop.add_callback_threadsafe(lambda: self._delete_queue(connection_id))

    def finish(self) -> None:
        self._loop.add_callback_threadsafe(self._finish)

    def run(
        self,
        close_at: float,
        end: float,
        on_batch: OnBatch,
        on_opened: Callable[[str], None],
        on_fault: Callable[[str, BrokerFault], None],
        tick: Callable[[], None],
    ) -> None:
        self._on_batch, self._on_opened, self._on_fault = on_batch, on_opened, on_fault
        self._tick(tick)
        try:
            self._loop.run_until(lambda: self._finishing, close_at)
            self._finish()
            self._loop.run_until(self._all_done, end)
        finally:
            for feed in list(self._feeds.values()):
                feed.abort()
            self._loop.run_until(self._all_done, time.monotonic() + RESET)
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._loop.deactivate_poller()
            self._loop.close()

    def _all_done(self) -> bool:
        return not self._feeds and not self._under_way

    def _tick(self, tick: Callable[[], None]) -> None:
        self._loop.call_later(TICK, lambda: self._tick(tick))
        if not self._finishing:
            tick()

    def _open(self, opening: Opening) -> None:
        connection = opening.connection
        if self._finishing or connection.id in self._deleted:
            return
        if connection.id in self._feeds:
            self._next[connection.id] = opening
            return
        events = FeedEvents(
            dispatch=self._dispatch,
            on_opened=lambda: self._loop.add_callback_threadsafe(lambda: self._opened(connection.id)),
            on_closed=self._closed,
        )
        with self._isolated(connection.id):
            feed = Feed(self._loop, opening, self._allowed, events)
            self._feeds[connection.id] = feed
            feed.start()

    def _opened(self, connection_id: str) -> None:
        with self._isolated(connection_id):
            self._on_opened(connection_id)

    def _close(self, connection_id: str, then: Callable[[], object] | None) -> None:
        self._next.pop(connection_id, None)
        feed = self._feeds.get(connection_id)
        if feed is not None:
            if then is not None:
                self._after_close[connection_id] = then
            feed.end()
        elif then is not None:
            then()

    def _delete_queue(self, connection_id: str) -> None:
        self._deleted.add(connection_id)
        self._next.pop(connection_id, None)
        feed = self._feeds.get(connection_id)
        if feed is not None:
            feed.end(delete_queue=True)

    def _finish(self) -> None:
        self._finishing = True
        self._next.clear()
        for feed in list(self._feeds.values()):
            feed.end()

    def _closed(self, feed: Feed, fault: BrokerFault | None) -> None:
        del self._feeds[feed.id]
        then = self._after_close.pop(feed.id, None)
        if then is not None:
            with self._isolated(feed.id):
                then()
        following = self._next.pop(feed.id, None)
        if following is not None:
            self._open(replace(following, old_bindings=[*following.old_bindings, feed.binding]))
        elif fault is not None:
            with self._isolated(feed.id):
                self._on_fault(feed.id, fault)

    def _dispatch(self, feed: Feed, messages: Sequence[ReceivedDownlink]) -> None:
        """Handle a batch in a thread. An exception requeues the messages and closes this feed only."""
        self._under_way += 1

        def judge() -> None:
            verdicts = _requeue_all(feed.id, messages)
            try:
                verdicts = self._on_batch(feed.id, messages)
            except Exception:  # noqa: BLE001  # the feeds of other connections go on
                log.exception("downlinks not handled", extra={"connection": feed.id})
            self._loop.add_callback_threadsafe(lambda: self._on_verdicts(feed, messages, verdicts))

        self._pool.submit(judge)

    def _on_verdicts(self, feed: Feed, messages: Sequence[ReceivedDownlink], verdicts: Sequence[Verdict]) -> None:
        self._under_way -= 1
        with self._isolated(feed.id):
            feed.on_verdicts(messages, verdicts)

    @contextmanager
    def _isolated(self, connection_id: str) -> Iterator[None]:
        """Confine an exception to one connection: log it and reset that connection's feed."""
        try:
            yield
        except Exception:  # noqa: BLE001  # the feeds of other connections go on
            log.exception("downlink connection failed", extra={"connection": connection_id})
            feed = self._feeds.get(connection_id)
            if feed is not None:
                feed.abort()


def _requeue_all(_connection_id: str, messages: Sequence[ReceivedDownlink]) -> Sequence[Verdict]:
    return [Verdict.LATER] * len(messages)


def _ignore(*_event: object) -> None:
    """Drop an event: ``run`` has not set the callbacks yet."""
