"""``list`` and ``show``: the connections of all tenants with their state and their backlog."""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.connection import Connection
from chalicelib.errors import NotFound, QueueMissing
from chalicelib.kernel.batches import batched
from chalicelib.kernel.times import iso_time
from infra.deploy.operate import output
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import connections

_COLUMNS = ("connection", "name", "state", "downlinks", "backlog", "in_flight", "oldest", "down", "reason")
_THREADS = 16
_METRICS_PER_CALL = 500
_EVENTS = 5
_LONGEST_REASON = 60
_MISSING = "no queue"


def list_connections(stage: Stage, arguments: argparse.Namespace) -> int:
    """List connections, the worst first."""
    found = [
        each
        for each in connections(stage, arguments.tenant)
        if arguments.state is None or each.state.value == arguments.state
    ]
    rows = _rows(stage, found)
    rows.sort(key=lambda row: (row["rank"], -(row["backlog"] or 0), row["connection"]))
    for row in rows:
        del row["rank"]
    if arguments.json:
        output.show_json(rows)
        return 0
    shown = [
        row
        | {"oldest": output.age(row["oldest"]), "down": output.age(row["down"])}
        | {"reason": (row["reason"] or "")[:_LONGEST_REASON]}
        | ({} if row["queue"] else {"backlog": _MISSING})
        for row in rows
    ]
    output.show_table(_COLUMNS, shown)
    return 0


def show_connection(stage: Stage, arguments: argparse.Namespace) -> int:
    """Show one connection: its record without secrets, its queue, its failed messages and its last events."""
    tenant, connection_id = arguments.connection
    services = stage.services
    connection = services.connections.get(tenant, connection_id)
    [row] = _rows(stage, [connection])
    events, _ = services.event_log.page(
        tenant, connection_id, since=None, until=None, level=None, limit=_EVENTS, cursor=None
    )
    failed = sum(1 for _ in islice(services.failed_messages.oldest_first(tenant, connection_id, "~"), 1001))
    document: dict[str, Any] = {
        "connection": connection.to_json(),
        "queue": {
            "exists": row["queue"],
            "backlog": row["backlog"],
            "inFlight": row["in_flight"],
            "oldest": row["oldest"],
        },
        "secret": _secret_state(stage, connection),
        "breaker": {
            "open": connection.breaker_open,
            "failures": connection.failures,
            "epoch": connection.epoch,
            "nextProbe": None if connection.probe_at is None else iso_time(connection.probe_at),
            "pendingWake": None if connection.wake_at is None else iso_time(connection.wake_at),
            "lane": "fast" if connection.is_fast else "slow",
        },
        "waitingDownlinks": services.statistics.waiting_downlinks(tenant, connection_id),
        "failedMessages": failed,
        "events": [event.to_json() for event in events],
    }
    if arguments.json:
        output.show_json(document)
        return 0
    fields = {name: value for name, value in document["connection"].items() if not isinstance(value, dict | list)}
    fields |= {f"configuration.{name}": value for name, value in document["connection"]["configuration"].items()}
    for part in ("queue", "breaker"):
        fields |= {f"{part}.{name}": value for name, value in document[part].items()}
    fields |= {"secret": document["secret"], "waitingDownlinks": document["waitingDownlinks"]}
    fields["failedMessages"] = failed if failed <= 1000 else "more than 1000"  # noqa: PLR2004  # the limit above
    output.show_fields(fields)
    print()
    output.show_table(("time", "level", "type", "message"), document["events"])
    return 0


def _secret_state(stage: Stage, connection: Connection) -> str:
    if connection.secret_version is None:
        return "none"
    try:
        stage.services.secret_store.of(connection)
    except NotFound:
        return "missing: restore it from a backup, or change the connection's secrets"
    return "present"


def _rows(stage: Stage, found: Sequence[Connection]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(_THREADS) as executor:
        depths = list(executor.map(lambda each: _depth(stage, each.id), found))
    waiting = [each.id for each, depth in zip(found, depths, strict=True) if depth is not None and any(depth)]
    ages = _oldest(stage, waiting)
    return [_row(stage, each, depth, ages.get(each.id)) for each, depth in zip(found, depths, strict=True)]


def _depth(stage: Stage, connection_id: str) -> tuple[int, int] | None:
    try:
        return stage.services.uplink_queues.depth(connection_id)
    except QueueMissing:
        return None


def _row(stage: Stage, connection: Connection, depth: tuple[int, int] | None, oldest: float | None) -> dict[str, Any]:
    document = connection.to_json()
    now = stage.services.clock()
    return {
        "connection": f"{connection.tenant}/{connection.id}",
        "name": connection.name,
        "state": connection.state.value,
        "downlinks": document["downlinkState"],
        "queue": depth is not None,
        "backlog": None if depth is None else depth[0],
        "in_flight": None if depth is None else depth[1],
        "oldest": oldest,
        "down": None if connection.outage_since is None else now - connection.outage_since,
        "reason": document["stateReason"],
        "rank": _rank(connection, depth),
    }


def _rank(connection: Connection, depth: tuple[int, int] | None) -> int:
    """Return 0 for what needs an operator, up to 5 for what needs no action."""
    if connection.fault or depth is None:
        return 0
    if not connection.active:
        return 5
    if connection.breaker_open:
        return 1
    if connection.downlink_since is not None:
        return 2
    return 3 if depth[0] else 4


def _oldest(stage: Stage, ids: Sequence[str]) -> dict[str, float]:
    """Return the age of the oldest queued message in seconds, as CloudWatch last measured it.

    SQS cannot be asked for it, and CloudWatch has it minutes late or, for a new queue, not yet.
    """
    found: dict[str, float] = {}
    end = datetime.now(UTC)
    for part in batched(list(ids), _METRICS_PER_CALL):
        queries = [
            {
                "Id": f"q{index}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/SQS",
                        "MetricName": "ApproximateAgeOfOldestMessage",
                        "Dimensions": [
                            {"Name": "QueueName", "Value": stage.settings.queue(f"uplinks-{connection_id}.fifo")}
                        ],
                    },
                    "Period": 60,
                    "Stat": "Maximum",
                },
            }
            for index, connection_id in enumerate(part)
        ]
        try:
            answer = stage.client("cloudwatch").get_metric_data(
                MetricDataQueries=queries,
                StartTime=end - timedelta(minutes=15),
                EndTime=end,
                ScanBy="TimestampDescending",
            )
        except (ClientError, BotoCoreError) as error:
            output.note(f"CloudWatch does not give the age of the oldest messages ({type(error).__name__}).")
            return found
        for result in answer["MetricDataResults"]:
            if result["Values"]:
                found[part[int(result["Id"][1:])]] = float(result["Values"][0])
    return found
