"""``migrate-queues``: the attributes of existing connections' queues as this release creates them."""

import argparse
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.adapters.aws.sqs import uplink_queue_attributes
from infra.deploy.operate import output
from infra.deploy.operate.queue_copies import uplinks_of
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import connections

_FIXED = "FifoQueue"
"""SQS accepts this attribute only at the creation of a queue."""
_COLUMNS = ("connection", "action", "attributes")
_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}


def migrate_queues(stage: Stage, arguments: argparse.Namespace) -> int:
    """Set the attributes that differ. Return 1 when a queue is missing."""
    wanted = uplink_queue_attributes(stage.settings)
    if "KmsMasterKeyId" not in wanted:
        # SQS's own encryption begins once no key is named.
        wanted["KmsMasterKeyId"] = ""
    del wanted[_FIXED]
    rows = [_row(stage, each.tenant, each.id, wanted) for each in connections(stage, arguments.tenant)]
    changes = [row for row in rows if row["action"] == "change"]
    if changes and not arguments.dry_run:
        output.confirm(f"Change {len(changes)} queues of the stage {stage.name}?", arguments.yes)
        for row in changes:
            _set(stage, row)
    if arguments.json:
        output.show_json(rows)
    else:
        shown = [row | {"attributes": [f"{name}={value}" for name, value in row["attributes"].items()]} for row in rows]
        output.show_table(_COLUMNS, shown)
    return 1 if any(row["action"] == "missing" for row in rows) else 0


def _row(stage: Stage, tenant: str, connection_id: str, wanted: Mapping[str, str]) -> dict[str, Any]:
    row = {"connection": f"{tenant}/{connection_id}", "action": "same", "attributes": {}}
    with translated("SQS"):
        try:
            has: dict[Any, str] = stage.services.sqs.get_queue_attributes(
                QueueUrl=_url(stage, connection_id), AttributeNames=["All"]
            )["Attributes"]
        except ClientError as error:
            if error_code(error) in _MISSING:
                return row | {"action": "missing"}
            raise
    different = {name: value for name, value in wanted.items() if has.get(name, "") != value}
    return row | ({"action": "change", "attributes": different} if different else {})


def _set(stage: Stage, row: dict[str, Any]) -> None:
    url = _url(stage, row["connection"].split("/")[1])
    with translated("SQS"):
        stage.services.sqs.set_queue_attributes(QueueUrl=url, Attributes=row["attributes"])
    row["action"] = "changed"


def _url(stage: Stage, connection_id: str) -> str:
    return f"{stage.services.wake_queue.url.rsplit('/', 1)[0]}/{stage.settings.queue(uplinks_of(connection_id))}"
