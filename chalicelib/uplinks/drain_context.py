"""Dependencies and progress of a drain."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from chalicelib.config import Timing
from chalicelib.monitoring import Monitoring
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import BreakerStore
from chalicelib.ports.history import FailedMessages
from chalicelib.ports.queues import UplinkQueues, WakeQueue
from chalicelib.uplinks.publisher_pool import PublisherPool


@dataclass(frozen=True)
class DrainContext:
    """Dependencies of a drain."""

    connections: BreakerStore
    queues: UplinkQueues
    wakes: WakeQueue
    pool: PublisherPool
    failed: FailedMessages
    monitoring: Monitoring
    clock: Clock
    random: Callable[[], float]
    timing: Timing
    monotonic: Clock = time.monotonic
    """Measures deadlines; a simulation has its own."""


@dataclass
class DrainState:
    """Progress of a drain."""

    settled: set[str] = field(default_factory=set)
    """Message ids."""
    counts: Counter[str] = field(default_factory=Counter)
    devices: set[str] = field(default_factory=set)
    """Devices with a confirmed uplink."""
    reconnected: bool = False
    helped: bool = False
    """A helper was asked for, or none is to be."""
    mark_at: float | None = None
    """When a mark is due because of something that was left; None when nothing was."""
