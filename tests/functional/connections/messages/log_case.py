"""The uplink flow with the message log, the statistics and the failed messages in DynamoDB, and a clock to move."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chalicelib.adapters.aws.failed_messages import DynamoDbFailedMessages
from chalicelib.adapters.aws.message_log.reader import DynamoDbMessageLog
from chalicelib.adapters.aws.replays import DynamoDbPendingReplays
from chalicelib.adapters.aws.statistics import DynamoDbStatistics
from chalicelib.connections.messages.search import MessageSearch, Wanted
from chalicelib.connections.replay import Replay, ReplayContext
from chalicelib.domain.messages.history import TracedMessage
from chalicelib.entry.services import Services
from chalicelib.upkeep.reconciler import Reconciler
from chalicelib.uplinks.retention import Retention
from tests.unit.flow import TENANT, Flow

DEVICE = f"{1:016X}"
START = 1_790_000_000.0


class NoClaims:
    """Claims that are always free."""

    def claim(self, _key: str, _until: float) -> bool:
        return True

    def held(self, _key: str) -> bool:
        return False


class LogCase:
    """The uplink flow and the search of its message log."""

    def __init__(self, services: Services) -> None:
        table, client = services.settings.table, services.dynamodb
        self.statistics = DynamoDbStatistics(client, table("statistics"), self._clock)
        self.failed = DynamoDbFailedMessages(client, table("failed-messages"), self._clock)
        self.flow = Flow(statistics=self.statistics, failed=self.failed)
        self.flow.now = START
        self.threads = ThreadPoolExecutor(8)
        self.log = DynamoDbMessageLog(client, table("statistics"))
        self.search = MessageSearch(self.log, self.failed, self.threads, self._clock)
        self.replays = Replay(
            ReplayContext(
                connections=self.flow.connections,
                failed=self.failed,
                pending=DynamoDbPendingReplays(client, table("connections"), self._clock),
                queues=self.flow.queues,
                wakes=self.flow.wakes,
                downlinks=services.downlink_queue,
                monitoring=self.flow.monitoring,
                executor=self.threads,
                clock=self._clock,
            )
        )
        self.retention = Retention(self.flow.queues, NoClaims(), self.flow.monitoring, self._clock, services.outbox)

    def _clock(self) -> float:
        # The stores read the clock before the flow exists.
        flow: Flow | None = vars(self).get("flow")
        return flow.now if flow else START

    def post(self, seconds: float = 0.2, device: int = 1, **fields: object) -> str:
        """Accept an uplink, forward it ``seconds`` later, and return its body."""
        body = self.flow.post(device, **fields)
        self.flow.now += seconds
        self.flow.forward()
        return body

    def recover(self) -> None:
        """Let the broker return, and drain after the next probe."""
        self.flow.broker.down = None
        state = self.flow.state()
        self.flow.now = max(self.flow.now, (state.probe_at or 0) + 1)
        Reconciler(self.flow.reconciler_context).run()
        self.flow.forward()

    def messages(self, limit: int = 100, cursor: str | None = None, **filters: Any) -> list[TracedMessage]:
        """Return the messages of the connection, with all pages of ``limit``."""
        found: list[TracedMessage] = []
        wanted = Wanted(**({"connections": ["c1"]} | filters))
        while True:
            page, cursor = self.search.page(TENANT, wanted, limit, cursor)
            assert len(page) <= limit
            found += page
            if cursor is None:
                return found


def steps(message: TracedMessage) -> Sequence[str]:
    return [step.step.value for step in message.steps]
