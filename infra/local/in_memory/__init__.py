"""In-memory implementations of the ports, with the rules of the real ones, for tests and benchmarks."""

from infra.local.in_memory.connections import MemoryConnectionStore
from infra.local.in_memory.drivers import MemoryDrivers
from infra.local.in_memory.flows import MemoryFlowStore
from infra.local.in_memory.leases import MemoryLeases
from infra.local.in_memory.notifications import (
    MemoryNotifications,
    MemoryOutbox,
    MemorySettings,
    MemoryWebhookSecrets,
)
from infra.local.in_memory.queues import MemoryDownlinkQueue, MemoryPollQueue, MemoryUplinkQueues, MemoryWakeQueue
from infra.local.in_memory.slots import MemorySlots
from infra.local.in_memory.stores import (
    MemoryApplicationServerStore,
    MemoryDownlinkLedger,
    MemoryEventLog,
    MemoryFailedMessages,
    MemoryParkedReceipts,
    MemorySecretStore,
    MemoryStatistics,
)

__all__ = [
    "MemoryApplicationServerStore",
    "MemoryConnectionStore",
    "MemoryDownlinkLedger",
    "MemoryDownlinkQueue",
    "MemoryDrivers",
    "MemoryEventLog",
    "MemoryFailedMessages",
    "MemoryFlowStore",
    "MemoryLeases",
    "MemoryNotifications",
    "MemoryOutbox",
    "MemoryParkedReceipts",
    "MemoryPollQueue",
    "MemorySecretStore",
    "MemorySettings",
    "MemorySlots",
    "MemoryStatistics",
    "MemoryUplinkQueues",
    "MemoryWakeQueue",
    "MemoryWebhookSecrets",
]
