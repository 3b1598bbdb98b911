"""Dependencies of the management of connections."""

from dataclasses import dataclass

from chalicelib.config import Settings
from chalicelib.connections.events import ConnectionEvents
from chalicelib.connections.flows.references import FlowReferences
from chalicelib.connections.parked_downlinks import ParkedDownlinks
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ManagedConnections
from chalicelib.ports.consuming import DownlinkQueueRemover
from chalicelib.ports.history import FailedMessages
from chalicelib.ports.queues import PollQueue, UplinkQueues, WakeQueue
from chalicelib.ports.secrets import SecretStore


@dataclass(frozen=True)
class ManagementContext:
    """Dependencies of ``ConnectionService``."""

    store: ManagedConnections
    secrets: SecretStore
    queues: UplinkQueues
    wakes: WakeQueue
    polls: PollQueue
    failed: FailedMessages
    remover: DownlinkQueueRemover
    parked: ParkedDownlinks
    flows: FlowReferences
    events: ConnectionEvents
    clock: Clock
    settings: Settings
