"""Checks the fate of every report and downlink: lost, duplicated, out of order or unexpected. Pure functions.

The vocabulary is Jepsen's. Device and counter identify a report. A connection must receive all reports that were
acknowledged while it was active.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from infra.chaos.expectation import FlowOf, flow_for, is_decoded_right, is_named
from infra.chaos.records import Arrival, Disturbance, Pause, Post, SentDownlink

Key = tuple[str, int]
REACH = 12.0
"""Seconds. A message that was published at most this long before a chaos fault may have been unconfirmed, or not yet
deleted, when the fault began. Covers a forwarder's time-out and a slow consumer."""


@dataclass
class ConnectionResult:
    """The counts of one connection. The lists contain the affected reports."""

    connection: int
    acknowledged: int = 0
    delivered: int = 0
    lost: list[Key] = field(default_factory=list)
    stuck: int = 0
    failed: int = 0
    """Acknowledged reports that the connector stored as failed."""
    out_of_order: list[Key] = field(default_factory=list)
    unexpected: list[Key] = field(default_factory=list)
    """Messages that were not posted like this, or that the connection must not get."""
    wrongly_decoded: list[Key] = field(default_factory=list)
    by_flow: "Counter[str]" = field(default_factory=Counter)
    """Delivered reports by the name of the flow that chose them."""
    decoded: int = 0
    """Delivered reports to which a driver added what it must."""
    not_chosen: int = 0
    """Acknowledged reports that no flow sends to the connection."""
    duplicated: int = 0
    handed_out_twice: int = 0
    """Redeliveries by the broker to the collector, after the broker lost the collector's acknowledgement."""
    other_id: list[Key] = field(default_factory=list)
    by_fault: "Counter[int]" = field(default_factory=Counter)
    """Duplicates by the index of the chaos fault that explains them."""
    unexplained: list[Key] = field(default_factory=list)
    """Duplicates that no chaos fault explains, such as after the connector's time-out for a confirm."""

    def faults(self, disturbances: Sequence[Disturbance]) -> list[str]:
        """Descriptions of broken guarantees, empty without any."""
        found = [
            f"{len(keys)} {name}, such as {keys[0]}"
            for name, keys in (
                ("lost", self.lost),
                ("out of order", self.out_of_order),
                ("unexpected", self.unexpected),
                ("wrongly decoded", self.wrongly_decoded),
                ("duplicated with another message_id", self.other_id),
            )
            if keys
        ]
        if self.stuck:
            found.append(f"{self.stuck} stuck")
        if self.failed:
            found.append(f"{self.failed} given up")
        for number, count in self.by_fault.items():
            fault = disturbances[number]
            if count > fault.limit(self.connection):
                found.append(f"{count} duplicates after one {fault.kind}, more than were unconfirmed")
        return found


@dataclass(frozen=True)
class Evidence:
    """The records of a run."""

    posts: Sequence[Post]
    arrivals: Sequence[Arrival]
    disturbances: Sequence[Disturbance] = ()
    pauses: Sequence[Pause] = ()
    waiting: Mapping[int, int] = field(default_factory=dict)
    """By connection: messages in its queues at the end of the run."""
    failed: Mapping[int, int] = field(default_factory=dict)
    """By connection: messages that the connector stored as failed."""
    flows: Sequence[FlowOf] = ()


def check(connections: int, evidence: Evidence) -> list[ConnectionResult]:
    """A result for each connection."""
    posted = {(post.device, post.counter): post for post in evidence.posts}
    arrived: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in evidence.arrivals:
        arrived[arrival.connection].append(arrival)
    return [_check_one(index, posted, arrived[index], evidence) for index in range(connections)]


def _check_one(
    index: int, posted: Mapping[Key, Post], arrivals: Sequence[Arrival], evidence: Evidence
) -> ConnectionResult:
    result = ConnectionResult(index, failed=evidence.failed.get(index, 0))
    pauses = [pause for pause in evidence.pauses if pause.connection == index]
    chosen: dict[Key, FlowOf | None] = dict.fromkeys(posted)
    if is_named(evidence.flows, index):
        found = {key: flow_for(evidence.flows, index, post) for key, post in posted.items()}
        chosen = {key: flow for key, flow in found.items() if flow is not None}
    acknowledged = {key for key, post in posted.items() if post.ended is not None}
    must = {key for key in acknowledged & chosen.keys() if not _touches(posted[key], pauses)}
    allowed = {key for key in chosen if not _within(posted[key], pauses)}
    result.not_chosen = len(acknowledged - chosen.keys())
    first: dict[Key, Arrival] = {}
    explaining: list[list[int]] = []
    last_counter: dict[str, int] = {}
    for arrival in arrivals:
        key = (arrival.device, arrival.counter)
        if key in first:
            if explained := _duplicate(result, key, first[key], arrival, evidence.disturbances):
                explaining.append(explained)
            continue
        first[key] = arrival
        if key in allowed:
            _compare(result, key, posted[key], arrival, chosen[key])
        else:
            result.unexpected.append(key)
        if last_counter.get(arrival.device, -1) > arrival.counter:
            result.out_of_order.append(key)
        last_counter[arrival.device] = max(arrival.counter, last_counter.get(arrival.device, -1))
    room = [fault.limit(index) if index in fault.connections else 0 for fault in evidence.disturbances]
    result.by_fault = share_out(explaining, room)
    missing = sorted(must - first.keys(), key=lambda key: posted[key].began)
    result.acknowledged = len(must)
    result.delivered = len(first)
    result.stuck = evidence.waiting.get(index, 0)
    # Waiting and failed messages are counted separately.
    result.lost = missing[max(0, result.stuck + result.failed) :]
    return result


def _compare(result: ConnectionResult, key: Key, post: Post, arrival: Arrival, flow: FlowOf | None) -> None:
    """Compares a message with the report that was posted, and counts it."""
    if flow is not None:
        result.by_flow[flow.name] += 1
    if flow is None or flow.driver is None:
        if post.digest != arrival.digest:
            result.unexpected.append(key)
    elif is_decoded_right(post, arrival):
        result.decoded += 1
    else:
        result.wrongly_decoded.append(key)


def _touches(post: Post, pauses: Sequence[Pause]) -> bool:
    """True when one of its attempts may have found the connection deactivated."""
    ended = post.ended if post.ended is not None else float("inf")
    return any(post.began <= pause.on and ended >= pause.off_asked for pause in pauses)


def _within(post: Post, pauses: Sequence[Pause]) -> bool:
    """True when all of its attempts found the connection deactivated."""
    return post.ended is not None and any(pause.off < post.began and post.ended < pause.on_asked for pause in pauses)


def _duplicate(
    result: ConnectionResult, key: Key, first: Arrival, again: Arrival, disturbances: Sequence[Disturbance]
) -> list[int]:
    """Counts a duplicate and returns the chaos faults that may explain it, latest first."""
    if again.message_id != first.message_id:
        result.other_id.append(key)
        return []
    explaining = [
        number
        for number, fault in enumerate(disturbances)
        if result.connection in fault.connections and _explains(fault, first.at, again.at)
    ]
    if again.redelivered and any(disturbances[number].kind == BROKER_DIED for number in explaining):
        # The broker delivered one message twice; a second publish would have left two messages in the queue.
        result.handed_out_twice += 1
        return []
    result.duplicated += 1
    if not explaining:
        result.unexplained.append(key)
    return sorted(explaining, key=lambda number: disturbances[number].began, reverse=True)


def share_out(explaining: Sequence[Sequence[int]], room: Sequence[int]) -> "Counter[int]":
    """Assigns each duplicate to one of the chaos faults that explain it.

    Keeps each fault within its room if possible: a bipartite matching by augmenting paths.
    """
    given: dict[int, list[int]] = defaultdict(list)

    def place(duplicate: int, tried: set[int]) -> bool:
        for fault in explaining[duplicate]:
            if fault in tried:
                continue
            tried.add(fault)
            if len(given[fault]) >= room[fault]:
                moved = next((other for other in given[fault] if place(other, tried)), None)
                if moved is None:
                    continue
                given[fault].remove(moved)
            given[fault].append(duplicate)
            return True
        return False

    for duplicate, faults in enumerate(explaining):
        if not place(duplicate, set()):
            given[faults[0]].append(duplicate)
    return Counter({fault: len(duplicates) for fault, duplicates in given.items()})


BROKER_DIED = "broker killed"


def _explains(fault: Disturbance, first: float, again: float) -> bool:
    return fault.began - REACH <= first <= fault.ended + REACH and again >= fault.began


@dataclass(frozen=True)
class DownlinkResult:
    confirmed: int
    called: int
    """Downlinks that the network server received at least once."""
    lost: list[str]
    unexpected: list[str]
    repeated: int
    """Calls beyond the first of each downlink."""
    most_repeated: int
    """The maximum of repeated calls for one downlink."""
    stuck: int
    out_of_order: list[str]
    """Downlinks whose first call came after that of a later downlink of the same device."""

    def faults(self, kills: int, limit: int) -> list[str]:
        """Descriptions of broken guarantees.

        ``kills`` counts killed workers, brokers and network servers; ``limit`` is the number of downlinks in
        flight in one worker.
        """
        found = []
        if self.lost:
            found.append(f"{len(self.lost)} downlinks lost, such as {self.lost[0]}")
        if self.unexpected:
            found.append(f"{len(self.unexpected)} downlinks unexpected, such as {self.unexpected[0]}")
        if self.out_of_order:
            found.append(f"{len(self.out_of_order)} downlinks out of order, such as {self.out_of_order[0]}")
        if self.stuck:
            found.append(f"{self.stuck} downlinks stuck")
        if self.most_repeated > kills or self.repeated > kills * limit:
            found.append(f"{self.repeated} calls repeated after {kills} kills, {self.most_repeated} of one downlink")
        return found


def check_downlinks(
    sent: Sequence[SentDownlink], called: Sequence[tuple[str, str]], tried: AbstractSet[str], stuck: int
) -> DownlinkResult:
    """The result of the downlinks. The payloads of a device grow.

    ``called`` has (device, payload) of each call of the network server, in order. ``tried`` has the payloads of all
    publishes, because a downlink may arrive although its confirm was lost.
    """
    calls = Counter(payload for _, payload in called)
    confirmed = {downlink.payload for downlink in sent}
    missing = sorted(confirmed - calls.keys())
    seen: set[str] = set()
    last: dict[str, str] = {}
    swapped: list[str] = []
    for device, payload in called:
        if payload not in seen and payload < last.get(device, ""):
            swapped.append(payload)
        seen.add(payload)
        last[device] = max(payload, last.get(device, ""))
    return DownlinkResult(
        confirmed=len(confirmed),
        called=len(calls),
        lost=missing[stuck:],
        unexpected=sorted(calls.keys() - tried),
        repeated=sum(calls.values()) - len(calls),
        most_repeated=max(calls.values(), default=1) - 1,
        stuck=stuck,
        out_of_order=swapped,
    )
