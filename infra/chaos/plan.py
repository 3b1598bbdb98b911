"""The plan of chaos faults: kind, time and target. A pure function of a run's size and seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    BROKER_KILL = "broker killed"
    BROKER_FREEZE = "broker frozen"
    MEMORY_ALARM = "memory alarm"
    LOGIN_REFUSED = "login refused"
    EXCHANGE_GONE = "exchange deleted"
    QUEUE_FULL = "queue full"
    CUT = "TCP half open"
    UPDATED = "connection updated"
    DEACTIVATED = "connection deactivated"
    WORKER_KILL = "worker killed"
    NETWORK_SERVER_KILL = "network server killed"
    CODEC_KILL = "codec killed"


@dataclass(frozen=True)
class Size:
    """Numbers of messages and chaos faults. ``rate`` is the maximum of reports per second."""

    reports: int = 4000
    devices: int = 200
    connections: int = 5
    nodes: int = 2
    broker_kills: int = 6
    worker_kills: int = 12
    downlinks: int = 2000
    consumer_kills: int = 5
    network_server_kills: int = 2
    seed: int = 1
    rate: float = 40.0
    flows: bool = False
    """True if three flows choose the reports of the connections 0 and 1, and one of them decodes."""
    codec_kills: int = 0

    @property
    def places(self) -> Sequence["PlaceOf"]:
        """The node of each connection. Every second one is proxied, every third one uses TLS."""
        proxied, tls = range(0, self.connections, 2), range(1, self.connections, 3)
        return [PlaceOf(n, n % self.nodes, n in proxied, n in tls) for n in range(self.connections)]


WITH_FLOWS = Size(reports=2000, connections=2, downlinks=500, flows=True, codec_kills=4)
"""The usual size of a run with flows."""
TENANT = "demo"
"""The tenant of the local stack's first token."""


@dataclass(frozen=True)
class PlaceOf:
    index: int
    node: int
    proxied: bool
    """True if it connects through a proxy that can be cut."""
    tls: bool
    tenant: str = TENANT


@dataclass(frozen=True)
class Fault:
    """A planned chaos fault.

    ``at`` is a time of the plan in seconds, which advances with the posts. ``seconds`` is the duration. ``target`` is
    the number of a node or connection, a function's name, or empty. Faults of one ``lane`` run one after the other.
    """

    at: float
    lane: str
    kind: Kind
    target: int | str
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    faults: Sequence[Fault]
    seconds: float
    """Duration of the posts on a machine that is fast enough."""


_NODE_EXTRAS = (Kind.BROKER_FREEZE, Kind.QUEUE_FULL, Kind.LOGIN_REFUSED, Kind.EXCHANGE_GONE, Kind.MEMORY_ALARM)
_CONNECTION_EXTRAS = (Kind.CUT, Kind.UPDATED, Kind.DEACTIVATED)
_RESTART = 7.0
"""Assumed start time of a broker in seconds. The run itself waits until the broker is up."""
_LEAST_SECONDS = 25.0
_FIRST = 3.0


def make_plan(size: Size) -> Plan:
    """The plan, always the same for the same size and seed."""
    chance = random.Random(size.seed)  # noqa: S311  # must be repeatable
    faults = [*_node_faults(size, chance), *_connection_faults(size, chance)]
    busy = max([fault.at + fault.seconds + _RESTART for fault in faults], default=0.0)
    seconds = max(_LEAST_SECONDS, busy, size.reports / size.rate)
    # Spread the faults over the whole run if the posts take longer.
    stretch = seconds / busy if busy else 1.0
    faults = [replace(fault, at=fault.at * stretch) for fault in faults]
    faults += _worker_faults(size, chance, seconds)
    faults += _network_server_faults(size, chance, seconds)
    faults += _codec_faults(size, chance, seconds)
    return Plan(sorted(faults, key=lambda fault: (fault.at, fault.lane)), seconds)


def _node_faults(size: Size, chance: random.Random) -> Iterator[Fault]:
    kinds = [Kind.BROKER_KILL] * size.broker_kills
    kinds += [_NODE_EXTRAS[number % len(_NODE_EXTRAS)] for number in range(size.broker_kills)]
    chance.shuffle(kinds)
    clocks = [_FIRST] * size.nodes
    for number, kind in enumerate(kinds):
        node = number % size.nodes
        clocks[node] += chance.uniform(1, 3)
        here = [place.index for place in size.places if place.node == node]
        seconds = chance.uniform(0.5, 6) if kind is Kind.BROKER_KILL else chance.uniform(3, 8)
        on_node = kind in (Kind.BROKER_KILL, Kind.BROKER_FREEZE, Kind.MEMORY_ALARM) or not here
        target = node if on_node else chance.choice(here)
        yield Fault(clocks[node], f"node {node}", kind, target, seconds)
        clocks[node] += seconds + (_RESTART if kind is Kind.BROKER_KILL else 3.0)


def _connection_faults(size: Size, chance: random.Random) -> Iterator[Fault]:
    clock = _FIRST
    proxied = [place.index for place in size.places if place.proxied]
    for number in range(3 * max(1, size.broker_kills // 2) if size.broker_kills else 0):
        kind = _CONNECTION_EXTRAS[number % len(_CONNECTION_EXTRAS)]
        candidates = proxied if kind is Kind.CUT else range(size.connections)
        if not candidates:
            continue
        clock += chance.uniform(1, 5)
        seconds = 0.0 if kind is Kind.UPDATED else chance.uniform(3, 7)
        yield Fault(clock, "connections", kind, chance.choice(candidates), seconds)
        clock += seconds


def _worker_faults(size: Size, chance: random.Random, seconds: float) -> Iterator[Fault]:
    uplink = [chance.choice(("forward", "forward", "forward_slow", "reconcile")) for _ in range(size.worker_kills)]
    downlink = [("consume", "send_downlinks")[number % 2] for number in range(size.consumer_kills)]
    for name in (*uplink, *downlink):
        yield Fault(chance.uniform(_FIRST, seconds), f"{name} workers", Kind.WORKER_KILL, name)


def _network_server_faults(size: Size, chance: random.Random, seconds: float) -> Iterator[Fault]:
    for _ in range(size.network_server_kills):
        at, lasts = chance.uniform(_FIRST, seconds), chance.uniform(3, 8)
        yield Fault(at, "network server", Kind.NETWORK_SERVER_KILL, "", lasts)


def _codec_faults(size: Size, chance: random.Random, seconds: float) -> Iterator[Fault]:
    for _ in range(size.codec_kills):
        yield Fault(chance.uniform(_FIRST, seconds), "codec", Kind.CODEC_KILL, "", chance.uniform(2, 5))
