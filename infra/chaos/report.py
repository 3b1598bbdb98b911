"""The report of a run in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.chaos.checker import ConnectionResult, DownlinkResult
from infra.chaos.flows import flows_of
from infra.chaos.plan import Kind, Size
from infra.chaos.records import Disturbance

DOWNLINKS_IN_FLIGHT = 10
"""Maximum of downlinks that one worker sends concurrently."""
_KILLS = (Kind.WORKER_KILL, Kind.BROKER_KILL, Kind.NETWORK_SERVER_KILL)


@dataclass(frozen=True)
class Outcome:
    """A finished run. ``retries`` counts repeated posts; ``seconds`` is the time from the first post to the end."""

    size: Size
    results: Sequence[ConnectionResult]
    downlinks: DownlinkResult
    disturbances: Sequence[Disturbance]
    retries: int
    seconds: float

    @property
    def kills(self) -> int:
        return sum(fault.kind in _KILLS for fault in self.disturbances)

    def faults(self) -> list[str]:
        """Descriptions of all broken guarantees."""
        found = [f"connection {r.connection}: {text}" for r in self.results for text in r.faults(self.disturbances)]
        return found + self.downlinks.faults(self.kills, DOWNLINKS_IN_FLIGHT)


def markdown(outcome: Outcome) -> str:
    """The report."""
    broken = outcome.faults()
    parts = [
        f"# Chaos, seed {outcome.size.seed}: {'FAILED' if broken else 'passed'}\n",
        _what(outcome) + "\n",
        "".join(f"- **{text}**\n" for text in broken),
        _table(
            "connection, acknowledged, delivered, lost, duplicated, unexplained, handed out twice, other id, "
            "out of order, unexpected, given up, stuck",
            [_row(result) for result in outcome.results],
        ),
        _flows(outcome),
        _LEGEND,
        _table(
            "downlinks, called, lost, unexpected, out of order, calls repeated, most of one, stuck", [_down(outcome)]
        ),
        _table("fault, at (s), lasted (s), duplicates, at most, note", _fault_rows(outcome)),
        "![backlog](backlog.svg)\n",
    ]
    return "\n".join(part for part in parts if part)


_LEGEND = """\
- *Acknowledged*: reports that the API acknowledged while the connection was active.
- *Delivered*: distinct reports.
- *Duplicated*: reports published twice with the same message_id. *Unexplained*: those without a chaos fault near them,
  such as after the connector's time-out for a confirm.
- *Handed out twice*: marked as redelivered after a broker was killed. The broker lost the collector's acknowledgement,
  or it had the message twice; it marks both cases alike.
- *At most*: the limit for all connections together; the check uses the limit of each connection. After a kill, the
  limit is the number of messages in flight in SQS (one chunk for a worker). After another fault, it is one chunk for
  each forwarder.
"""

_FLOWS_LEGEND = """
- *By flow*: delivered reports by the flow that must choose them. *Not chosen*: acknowledged reports that no flow sends
  to the connection.
- *Decoded*: the posted report, byte for byte, with the payload that the checker computes from its bytes, or with the
  error for one that is too short.
"""


def _what(outcome: Outcome) -> str:
    size = outcome.size
    through = " through 3 flows" if size.flows else ""
    return (
        f"{size.reports} reports of {size.devices} devices{through} to {size.connections} connections at "
        f"{size.nodes} brokers, {size.downlinks} downlinks, {len(outcome.disturbances)} faults, "
        f"{outcome.seconds:.0f} s. {outcome.retries} posts were repeated."
    )


def _flows(outcome: Outcome) -> str:
    """The reports of each connection by the flow that chose them, empty without flows."""
    if not outcome.size.flows:
        return ""
    names = [flow.name for flow in flows_of(outcome.size)]
    rows = [
        (result.connection, *(result.by_flow[name] for name in names), result.decoded, len(result.wrongly_decoded),
         result.not_chosen)
        for result in outcome.results
    ]  # fmt: skip
    heads = ["connection", *(f"by flow {name}" for name in names), "decoded", "wrongly decoded", "not chosen"]
    return _table(", ".join(heads), rows) + _FLOWS_LEGEND


def _table(heads: str, rows: Sequence[Sequence[object]]) -> str:
    lines = [heads.split(", "), ["---"] * len(heads.split(", ")), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def _down(outcome: Outcome) -> Sequence[object]:
    down = outcome.downlinks
    return (
        down.confirmed, down.called, len(down.lost), len(down.unexpected), len(down.out_of_order),
        down.repeated, down.most_repeated, down.stuck,
    )  # fmt: skip


def _row(result: ConnectionResult) -> Sequence[object]:
    return (
        result.connection, result.acknowledged, result.delivered, len(result.lost), result.duplicated,
        len(result.unexplained), result.handed_out_twice, len(result.other_id), len(result.out_of_order),
        len(result.unexpected), result.failed, result.stuck,
    )  # fmt: skip


def _fault_rows(outcome: Outcome) -> Sequence[Sequence[object]]:
    start = min((fault.began for fault in outcome.disturbances), default=0.0)
    return [
        (
            f"{fault.kind} ({fault.target})" if fault.target else fault.kind,
            f"{fault.began - start:.1f}",
            f"{fault.ended - fault.began:.1f}",
            sum(result.by_fault[number] for result in outcome.results),
            sum(fault.limits),
            fault.note,
        )
        for number, fault in enumerate(outcome.disturbances)
    ]
