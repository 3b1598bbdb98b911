"""``repair``, and the end of a restore: what a record needs around it before its connection works.

A record names a queue and a version of a secret. Ingress reads a tenant's connections only when the tenant's generation
changes, and a forwarder connects once the breaker is reset and a wake came.
"""

import argparse
from typing import Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.connection_items import GENERATION
from chalicelib.adapters.aws.dynamodb import from_item, is_condition_failure, to_item
from chalicelib.domain.connection import Connection
from chalicelib.errors import Error, NotFound
from infra.deploy.operate import output
from infra.deploy.operate.queue_copies import QueueCopies, uplinks_of
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import connections

_COLUMNS = ("connection", "name", "queue", "secrets", "restarted")
_TRIES = 5


def repair(stage: Stage, arguments: argparse.Namespace) -> int:
    """Create missing queues, find missing secrets, and connect anew, after tables were restored by AWS's own means.

    Return 1 when a secret is missing or a connection was not restarted.
    """
    found = list(connections(stage, arguments.tenant))
    rows = [_plan(stage, each) for each in found]
    if not arguments.dry_run:
        output.confirm(f"Restart {len(found)} connections of the stage {stage.name}?", arguments.yes)
        copies = QueueCopies(stage)
        for connection, row in zip(found, rows, strict=True):
            if row["queue"] == "missing":
                copies.create(connection.id)
                row["queue"] = "created"
        for tenant in sorted({each.tenant for each in found}):
            renew_generation(stage, tenant)
        for connection, row in zip(found, rows, strict=True):
            row["restarted"] = connect_anew(stage, connection.tenant, connection.id)
    if arguments.json:
        output.show_json(rows)
    else:
        output.show_table(_COLUMNS, rows)
    failed = [row for row in rows if row["secrets"] == "missing" or row["restarted"] == "failed"]
    return 1 if failed else 0


def _plan(stage: Stage, connection: Connection) -> dict[str, Any]:
    exists = QueueCopies(stage).depth(uplinks_of(connection.id)) is not None
    return {
        "connection": f"{connection.tenant}/{connection.id}",
        "name": connection.name,
        "queue": "present" if exists else "missing",
        "secrets": secret_state(stage, connection),
        "restarted": "no",
    }


def secret_state(stage: Stage, connection: Connection) -> str:
    """Return ``none`` for a connection without secrets, else ``present`` or ``missing``."""
    if connection.secret_version is None:
        return "none"
    try:
        stage.services.secret_store.of(connection)
    except NotFound:
        return "missing"
    return "present"


def renew_generation(stage: Stage, tenant: str) -> None:
    """Set a tenant's generation to a number that it never had, so that every process reads the connections again.

    A counter that began anew could reach the number that a running process remembers. Changes increase it by one each,
    so the time in seconds is greater than all of them.
    """
    services, table = stage.services, stage.settings.table("connections")
    key = to_item({"tenant": tenant, "id": GENERATION})
    for attempt in range(_TRIES):
        with translated("DynamoDB"):
            item = services.dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
            known = int(from_item(item).get("generation", 0))
            try:
                services.dynamodb.update_item(
                    TableName=table,
                    Key=key,
                    UpdateExpression="SET generation = :new",
                    ConditionExpression="attribute_not_exists(generation) OR generation = :known",
                    ExpressionAttributeValues=to_item({":new": max(known, int(services.clock())) + 1, ":known": known}),
                )
            except services.dynamodb.exceptions.ClientError as error:
                if not is_condition_failure(error) or attempt == _TRIES - 1:
                    raise
            else:
                return


def connect_anew(stage: Stage, tenant: str, connection_id: str) -> str:
    """Reset the breaker of a connection, and send a probe and a poll.

    Return ``yes``, ``inactive`` or ``failed``.
    """
    try:
        connection = stage.services.connections.get(tenant, connection_id)
        if not connection.active and not connection.fault:
            return "inactive"
        stage.services.connections.restart(tenant, connection_id)
    except Error as error:
        output.note(f"{tenant}/{connection_id} was not restarted: {error}")
        return "failed"
    return "yes"
