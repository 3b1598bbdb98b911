"""Consuming the downlinks of many brokers at once, on one I/O loop."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from chalicelib.amqp_feed import Feed
from chalicelib.amqp_loop import Loop
from chalicelib.config import Settings
from chalicelib.errors import BrokerFault
from chalicelib.ports import DownlinkHandler, ReceivedDownlink, Subscription, Verdict

THREADS = 16
"""Batches on their way to SQS at a time."""
TICK = 1.0
RESET = 1.0
"""The longest that the resets at the end may take to be seen."""


class AmqpDownlinkConsumer:
    """A ``ports.DownlinkConsumer``. For one run."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.allowed_private_networks
        self._loop = Loop()
        self._feeds: dict[str, Feed] = {}
        self._next: dict[str, Subscription] = {}
        self._deleted: set[str] = set()
        self._batches = ThreadPoolExecutor(THREADS, thread_name_prefix="downlinks")
        self._news = ThreadPoolExecutor(1, thread_name_prefix="downlink-news")
        self._handler: DownlinkHandler | None = None
        self._ticking = False
        self._finishing = False
        self._under_way = 0
        self._error: BaseException | None = None

    def open(self, subscription: Subscription) -> None:
        self._loop.add_callback_threadsafe(lambda: self._open(subscription))

    def close(self, connection_id: str) -> None:
        self._loop.add_callback_threadsafe(lambda: self._close(connection_id))

    def delete_queue(self, connection_id: str) -> None:
        self._loop.add_callback_threadsafe(lambda: self._delete_queue(connection_id))

    def finish(self) -> None:
        self._loop.add_callback_threadsafe(self._finish)

    def run(self, handler: DownlinkHandler, until: float, close_by: float) -> None:
        self._handler = handler
        self._loop.call_later(TICK, self._tick)
        try:
            self._loop.run_until(lambda: self._finishing, until)
            self._finish()
            self._loop.run_until(lambda: not self._feeds and not self._under_way, close_by)
            for feed in list(self._feeds.values()):
                feed.abort()
            self._loop.run_until(lambda: not self._feeds and not self._under_way, time.monotonic() + RESET)
        finally:
            self._batches.shutdown(wait=False, cancel_futures=True)
            self._news.shutdown(wait=False, cancel_futures=True)
            self._loop.deactivate_poller()
            self._loop.close()
        if self._error is not None:
            raise self._error

    def _open(self, subscription: Subscription) -> None:
        connection_id = subscription.connection.id
        if self._finishing or connection_id in self._deleted:
            return
        if connection_id in self._feeds:
            self._next[connection_id] = subscription
            return
        feed = Feed(
            self._loop, subscription, self._allowed, self._hand_out,
            on_opened=lambda: self._tell(lambda handler: handler.on_opened(connection_id)),
            on_closed=lambda fault: self._closed(connection_id, fault),
        )  # fmt: skip
        self._feeds[connection_id] = feed
        feed.start()

    def _close(self, connection_id: str) -> None:
        self._next.pop(connection_id, None)
        feed = self._feeds.get(connection_id)
        if feed is not None:
            feed.end()

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

    def _closed(self, connection_id: str, fault: BrokerFault | None) -> None:
        del self._feeds[connection_id]
        self._tell(lambda handler: handler.on_closed(connection_id, fault))
        subscription = self._next.pop(connection_id, None)
        if subscription is not None:
            self._open(subscription)

    def _hand_out(self, feed: Feed, messages: Sequence[ReceivedDownlink]) -> None:
        def judge() -> None:
            verdicts: Sequence[Verdict] = [Verdict.REQUEUE] * len(messages)
            if self._handler is not None:
                verdicts = self._handler.on_batch(messages)
            self._loop.add_callback_threadsafe(lambda: feed.judged(messages, verdicts))

        def failed() -> None:
            feed.judged(messages, [Verdict.REQUEUE] * len(messages))

        self._in_pool(self._batches, judge, failed)

    def _tell(self, news: Callable[[DownlinkHandler], None]) -> None:
        handler = self._handler
        if handler is not None:
            self._in_pool(self._news, lambda: news(handler))

    def _tick(self) -> None:
        self._loop.call_later(TICK, self._tick)
        if self._ticking:
            return  # the last one still waits for something
        self._ticking = True

        def tick(handler: DownlinkHandler) -> None:
            handler.on_tick()
            self._ticking = False

        self._tell(tick)

    def _in_pool(
        self, pool: ThreadPoolExecutor, job: Callable[[], None], failed: Callable[[], None] | None = None
    ) -> None:
        """Runs a job in a pool's thread. What it raises ends the run, and is raised there."""
        self._under_way += 1

        def call() -> None:
            try:
                job()
            except Exception as error:  # noqa: BLE001  # raised again at the end of the run
                raised = error
                self._loop.add_callback_threadsafe(lambda: self._broken(raised, failed))
            finally:
                self._loop.add_callback_threadsafe(self._done)

        pool.submit(call)

    def _broken(self, error: BaseException, failed: Callable[[], None] | None) -> None:
        self._error = self._error or error
        if failed is not None:
            failed()
        self._finish()

    def _done(self) -> None:
        self._under_way -= 1
