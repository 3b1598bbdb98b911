"""What every drain needs of the outside."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.config import Timing
from chalicelib.monitoring import Monitoring
from chalicelib.ports import Clock, ConnectionStore, FailedMessages, UplinkQueues
from chalicelib.publishers import PublisherPool


@dataclass(frozen=True)
class DrainParts:
    connections: ConnectionStore
    queues: UplinkQueues
    pool: PublisherPool
    failed: FailedMessages
    monitoring: Monitoring
    clock: Clock
    random: Callable[[], float]
    timing: Timing
    monotonic: Clock = time.monotonic
    """What deadlines are measured with; a simulation has its own."""
