"""``find``: the connections in whose stored data a device occurs."""

import argparse
import re
from typing import Any

from chalicelib.adapters.aws.devices import minutes
from chalicelib.adapters.aws.dynamodb import from_item, partition, query, to_item
from chalicelib.adapters.aws.message_log.items import further, minute_of
from chalicelib.domain.connection import Connection
from chalicelib.kernel.theta_sketch import Sketch, device_hash
from chalicelib.kernel.times import iso_time
from infra.deploy.operate import output
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.queue_copies import QueueCopies, uplinks_of
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import connections, scan

_COLUMNS = ("connection", "name", "state", "last_delivered", "failed", "last_failed", "reason", "backlog")
_DEV_EUI = re.compile(r"[0-9A-F]{16}")
_UNKNOWN = (
    "Not known: messages that wait in a queue (SQS cannot be searched; backlog is the number of all devices' reports), "
    "failed messages more than 30 days ago, deliveries more than 60 days ago, and, in minutes of more than 64 devices, "
    "those of the others more than 8 days ago."
)
_SAMPLED = "no, or not in the sample"


def find_device(stage: Stage, arguments: argparse.Namespace) -> int:
    """Show the connections that delivered an uplink of a device in the last 60 days, or have a failed message of it.

    Devices beyond the 64 of a minute's counters are in the sketches of the last 8 days only. Return 1 when there is no
    connection.
    """
    device = re.sub(r"[-: ]", "", arguments.deveui).upper()
    if not _DEV_EUI.fullmatch(device):
        raise OperateFailed(f"{arguments.deveui!r} is no DevEUI: it has 16 hexadecimal digits.")
    failures = _failures(stage, device)
    rows = []
    for connection in connections(stage, arguments.tenant):
        delivered = _last_delivered(stage, connection, device)
        failed = failures.get((connection.tenant, connection.id))
        if delivered is not None or failed:
            rows.append(_row(stage, connection, delivered, failed or []))
    if arguments.json:
        output.show_json({"devEUI": device, "connections": rows, "notKnown": _UNKNOWN})
    else:
        output.show_table(_COLUMNS, rows)
        output.note(_UNKNOWN)
    return 0 if rows else 1


def _row(stage: Stage, connection: Connection, delivered: str | None, failed: list[dict[str, Any]]) -> dict[str, Any]:
    newest = max(failed, key=lambda each: str(each["id"]), default={})
    return {
        "connection": f"{connection.tenant}/{connection.id}",
        "name": connection.name,
        "state": connection.state.value,
        "last_delivered": delivered,
        "failed": len(failed),
        "last_failed": newest.get("time"),
        "reason": newest.get("reason"),
        "backlog": QueueCopies(stage).depth(uplinks_of(connection.id)),
    }


def _failures(stage: Stage, device: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for item in scan(
        stage,
        "failed-messages",
        FilterExpression="devEUI = :device",
        ExpressionAttributeValues=to_item({":device": device}),
        ProjectionExpression="#connection, id, #time, reason",
        ExpressionAttributeNames={"#connection": "connection", "#time": "time"},
    ):
        values = from_item(item)
        tenant, connection_id = values["connection"].rsplit("#", 1)
        found.setdefault((tenant, connection_id), []).append(values)
    return found


def _last_delivered(stage: Stage, connection: Connection, device: str) -> str | None:
    """Return the minute of the device's last delivered uplink, from the sets of minutes and the sketches of hours.

    A sketch of many devices is a sample: then the answer for a device outside of it is that this is not known.
    """
    in_set = _last_in_sets(stage, connection, device)
    in_sketch, sampled = _last_in_sketches(stage, connection, device)
    minute = max((each for each in (in_set, in_sketch) if each is not None), default=None)
    if minute is not None:
        return iso_time(minute * 60)
    return _SAMPLED if sampled else None


def _last_in_sets(stage: Stage, connection: Connection, device: str) -> int | None:
    own = partition(connection.tenant, connection.id)
    first, more = _last_sort(stage, own, device), _last_sort(stage, further(own), device)
    found = (first, None if more is None else minute_of(more))
    return max((minute for minute in found if minute is not None), default=None)


def _last_sort(stage: Stage, key: str, device: str) -> int | None:
    found = query(
        stage.services.dynamodb,
        TableName=stage.settings.table("statistics"),
        KeyConditionExpression="#connection = :connection",
        FilterExpression="contains(#devices, :device)",
        ExpressionAttributeNames={"#connection": "connection", "#devices": minutes.ATTRIBUTE},
        ExpressionAttributeValues=to_item({":connection": key, ":device": minutes.hash_of(device)}),
        ScanIndexForward=False,
    )
    return next((int(item["sort"]) for item in found), None)


def _last_in_sketches(stage: Stage, connection: Connection, device: str) -> tuple[int | None, bool]:
    """Return the last minute (Unix time / 60), and whether a sketch is a sample that does not have the device."""
    hash_, sampled = device_hash(device), False
    for item in query(
        stage.services.dynamodb,
        TableName=stage.settings.table("statistics"),
        KeyConditionExpression="#connection = :connection",
        ExpressionAttributeNames={"#connection": "connection"},
        ExpressionAttributeValues=to_item({":connection": partition(connection.tenant, connection.id, "devices")}),
        ScanIndexForward=False,
    ):
        sketch = Sketch.from_bytes(item["sketch"])
        minute = sketch.minute_of(hash_)
        if minute is not None:
            return item["sort"] + minute, sampled
        sampled = sampled or not sketch.covers(hash_)
    return None, sampled
