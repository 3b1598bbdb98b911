"""``restore``: connections with their secrets and queues, flows, drivers, notifications, application servers and failed
messages.

What exists stays, unless ``--overwrite`` is given. A connection's record is written last, because ingress must never
see a connection without a queue; the restore can therefore be killed anywhere and repeated.
"""

import argparse
from dataclasses import dataclass, field
from typing import Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.connection_items import (
    BREAKER,
    DOWNLINKS,
    GENERATION,
    connection_of,
    pending_id,
    record_of,
)
from chalicelib.adapters.aws.dynamodb import from_item, is_condition_failure, to_item, transact
from chalicelib.domain.connection_changes import fresh
from chalicelib.errors import Unavailable
from chalicelib.kernel.batches import batched
from infra.deploy.operate import backup_files, output
from infra.deploy.operate.backup import DOWNLINK_QUEUE
from infra.deploy.operate.backup_files import (
    APPLICATION_SERVERS,
    CONNECTIONS,
    FAILED_MESSAGES,
    QUEUES,
    SECRETS,
    BackupFiles,
)
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.flows.copies import DRIVERS, FLOWS, FlowRestore
from infra.deploy.operate.notifications.copies import DELIVERIES, NOTIFICATIONS, NotificationRestore
from infra.deploy.operate.queue_copies import QueueCopies, uplinks_of
from infra.deploy.operate.revive import connect_anew, renew_generation
from infra.deploy.operate.secret_copies import SecretCopies
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import is_connection, owners

VERSION_STEP = 1000
"""Added to a restored version, so that it is greater than every version that a running function may hold."""
_COLUMNS = ("connection", "name", "record", "secrets", "queue", "messages", "restarted")
_BATCH = 25
_TRIES = 6


def restore(stage: Stage, arguments: argparse.Namespace) -> int:
    """Restore a backup. Return 1 when a connection lacks its secret or was not restarted."""
    files = BackupFiles.existing(arguments.directory)
    manifest = files.manifest()
    _check_target(stage, manifest)
    work = _Restore(stage, files, arguments.tenant, overwrite=arguments.overwrite)
    rows = work.plan()
    if not arguments.dry_run:
        output.confirm(
            f"Restore {sum(row['record'] != 'kept' for row in rows)} connections of the backup of {manifest['time']} "
            f"into the stage {stage.name}?",
            arguments.yes,
        )
        work.run(rows)
    else:
        work.restore_flows(rows, write=False)
        work.restore_notifications(write=False)
    for row in rows:
        row.pop("item", None)
    summary = {"connections": rows, **work.counts}
    if arguments.json:
        output.show_json(summary)
    else:
        output.show_table(_COLUMNS, rows)
        print()
        output.show_fields(work.counts)
    return 1 if work.unsigned or any(row["secrets"] == "missing" or row["restarted"] == "failed" for row in rows) else 0


def _check_target(stage: Stage, manifest: dict[str, Any]) -> None:
    same_stage = manifest["prefix"] == stage.settings.resource_prefix
    if not same_stage and manifest["secretPrefix"] == stage.settings.secret_prefix:
        raise OperateFailed(
            f"The backup is of {manifest['prefix']}, and the stage {stage.name} has the same SECRET_PREFIX "
            f"({stage.settings.secret_prefix}): both stages would own the same secrets. Give this stage another one."
        )


@dataclass
class _Restore:
    stage: Stage
    files: BackupFiles
    tenant: str | None
    overwrite: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    unsigned: bool = False
    """Whether notifications lack their secret."""

    def __post_init__(self) -> None:
        self._secrets = SecretCopies(self.stage)
        self._queues = QueueCopies(self.stage)
        self._prefix = self.stage.settings.resource_prefix
        self._progress = self.files.progress(self._prefix)
        self._texts: dict[str, dict[str, Any]] = {}
        self._as_keys: dict[tuple[str, str], list[str]] = {}
        for each in self.files.read(SECRETS):
            if "asKeys" in each:
                self._as_keys[each["tenant"], each["connection"]] = each["asKeys"]
            else:
                self._texts[each["name"]] = each

    def plan(self) -> list[dict[str, Any]]:
        """Return a row for each connection of the backup with what a run will do."""
        items = map(backup_files.to_item, self.files.read(CONNECTIONS))
        return [self._row(item) for item in items if is_connection(item) and self._wanted(item["tenant"]["S"])]

    def _row(self, item: dict[str, Any]) -> dict[str, Any]:
        tenant, connection_id = item["tenant"]["S"], item["id"]["S"]
        name, queue = f"{tenant}/{connection_id}", uplinks_of(connection_id)
        stored = self._stored(item)
        exists = self._queues.depth(queue) is not None
        record = "restored" if not stored else "overwritten" if self.overwrite else "kept"
        return {
            "connection": name,
            "name": item.get("name", {}).get("S"),
            "record": record,
            "secrets": self._secret_state(name, item if record != "kept" else stored),
            "queue": "created" if not exists or queue in self._progress else "kept",
            "messages": 0,
            "restarted": "no",
            "item": item,
        }

    def _secret_state(self, name: str, item: dict[str, Any]) -> str:
        version = item.get("secretVersion", {}).get("S")
        if version is None:
            return "none"
        if self._secrets.read(name, version) is not None:
            return "present"
        saved = self._texts.get(name)
        return "restored" if saved and saved["version"] == version else "missing"

    def run(self, rows: list[dict[str, Any]]) -> None:
        """Restore everything, the records last, then connect."""
        self.counts[APPLICATION_SERVERS] = self._application_servers()
        new = {row["connection"] for row in rows if row["record"] != "kept"}
        self.counts[FAILED_MESSAGES] = self._failed_messages(new)
        flows = self.restore_flows(rows, write=True)
        self.restore_notifications(write=True)
        for row in rows:
            self._connection(row)
        self._downlinks()
        self._replays(new)
        for tenant in sorted({row["connection"].split("/")[0] for row in rows} | flows.tenants):
            renew_generation(self.stage, tenant)
        for row in rows:
            if row["record"] != "kept" or row["queue"] == "created" or row["secrets"] == "restored":
                row["restarted"] = connect_anew(self.stage, *row["connection"].split("/"))
        self.files.forget_progress(self._prefix)

    def restore_flows(self, rows: list[dict[str, Any]], *, write: bool) -> FlowRestore:
        """Restore the drivers and flows, and count them. ``write``: False only counts."""
        known = owners(self.stage, self.stage.settings.table(CONNECTIONS))
        known |= {(row["item"]["tenant"]["S"], row["item"]["id"]["S"]) for row in rows}
        flows = FlowRestore(self.stage, self.files, self.tenant, self.overwrite, known)
        self.counts[DRIVERS] = flows.drivers(write=write)
        self.counts[FLOWS] = flows.flows(write=write)
        return flows

    def restore_notifications(self, *, write: bool) -> None:
        """Restore the settings of notifications, then the log, and count them. ``write``: False only counts."""
        prefix = self.files.manifest()["secretPrefix"]
        work = NotificationRestore(self.stage, self.files, self.tenant, self.overwrite, self._texts, prefix)
        self.counts[NOTIFICATIONS] = work.settings(write=write)
        self.counts[DELIVERIES] = work.deliveries(write=write)
        self.unsigned = bool(work.missing)
        for name in work.missing:
            output.note(
                f"The secret {name} is gone, so notifications cannot be signed. Delete them with DELETE /notifications "
                "and set them up again."
            )

    def _connection(self, row: dict[str, Any]) -> None:
        item = row["item"]
        tenant, connection_id = item["tenant"]["S"], item["id"]["S"]
        if row["secrets"] in {"restored", "present"} and (saved := self._texts.get(row["connection"])):
            self._secrets.restore(saved["name"], saved["version"], saved["text"], labelled=True)
        self._secrets.restore_as_keys(tenant, connection_id, self._as_keys.get((tenant, connection_id), []))
        if row["queue"] == "created":
            # Noted first: messages are sent into queues only that a restore created.
            self._progress.setdefault(uplinks_of(connection_id), 0)
            self.files.note_progress(self._prefix, self._progress)
            self._queues.create(connection_id)
            row["messages"] = self._messages(uplinks_of(connection_id))
        if row["record"] != "kept":
            self._record(item)

    def _messages(self, queue: str) -> int:
        """Send the copied messages of a queue that this restore created, from where an earlier run was killed."""
        sent = self._progress.get(queue, 0)
        documents = list(self.files.read(f"{QUEUES}/{queue}"))
        for number in self._queues.send(queue, iter(documents[sent:])):
            self._progress[queue] = sent + number
            self.files.note_progress(self._prefix, self._progress)
        return len(documents)

    def _record(self, item: dict[str, Any]) -> None:
        """Write a record that connects anew, with a greater version and epoch than any function may remember."""
        stored = self._stored(item)
        both = [from_item(each) for each in (item, stored) if each]
        numbers = {name: max(int(each.get(name) or 0) for each in both) for name in ("version", "epoch")}
        written = self._fresh(item) | to_item(
            {"version": numbers["version"] + VERSION_STEP, "epoch": numbers["epoch"] + 1}
        )
        tenant, connection_id = item["tenant"]["S"], item["id"]["S"]
        condition, values = "attribute_not_exists(id)", None
        if stored:
            condition, values = "epoch = :epoch", {":epoch": stored["epoch"]}
        put: dict[str, Any] = {"Item": written, "ConditionExpression": condition}
        if values:
            put["ExpressionAttributeValues"] = values
        failed = transact(
            self.stage.services.dynamodb,
            self.stage.settings.table(CONNECTIONS),
            [
                {"Put": put},
                {
                    "Update": {
                        "Key": to_item({"tenant": tenant, "id": GENERATION}),
                        "UpdateExpression": "ADD generation :one, connections :more",
                        "ExpressionAttributeValues": to_item({":one": 1, ":more": 0 if stored else 1}),
                    }
                },
                {"Delete": {"Key": to_item({"tenant": tenant, "id": pending_id(connection_id)})}},
            ],
            self._queues.sleep,
        )
        if failed[0]:
            raise OperateFailed(
                f"The connection {tenant}/{connection_id} was changed meanwhile. Run the restore again."
            )

    def _fresh(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the item with the state of a new connection, whose probe is due now."""
        connection = connection_of(from_item(item))
        if connection.fault:
            return item
        state = fresh(self.stage.services.clock(), active=connection.active) | {"fast_since": None}
        record = record_of(connection.model_copy(update=state))
        names = (*BREAKER, *DOWNLINKS)
        kept = {name: value for name, value in item.items() if name not in names}
        return kept | to_item({name: record[name] for name in names})

    def _stored(self, item: dict[str, Any]) -> dict[str, Any]:
        with translated("DynamoDB"):
            answer = self.stage.services.dynamodb.get_item(
                TableName=self.stage.settings.table(CONNECTIONS),
                Key={name: item[name] for name in ("tenant", "id")},
                ConsistentRead=True,
            )
        return dict(answer.get("Item", {}))

    def _application_servers(self) -> int:
        number = 0
        for item in map(backup_files.to_item, self.files.read(APPLICATION_SERVERS)):
            saved = self._texts.get(self._name_in_backup(item["secretId"]["S"]))
            if not self._wanted(item["tenant"]["S"]) or saved is None:
                continue
            full = f"{self.stage.settings.secret_prefix}/{saved['name']}"
            self._secrets.restore(saved["name"], saved["version"], saved["text"], labelled=False)
            number += self._put_new(APPLICATION_SERVERS, item | {"secretId": {"S": full}}, "asId")
        return number

    def _name_in_backup(self, secret_id: str) -> str:
        return secret_id.removeprefix(f"{self.files.manifest()['secretPrefix']}/")

    def _replays(self, new: set[str]) -> None:
        for item in map(backup_files.to_item, self.files.read(CONNECTIONS)):
            if not is_connection(item):
                name = f"{item['tenant']['S']}/{item['id']['S'].rsplit('#', 1)[1]}"
                if name in new:
                    self._put_new(CONNECTIONS, item, "id")

    def _put_new(self, table: str, item: dict[str, Any], key: str) -> int:
        """Write an item unless it exists; return the number of written items."""
        client = self.stage.services.dynamodb
        with translated("DynamoDB"):
            try:
                client.put_item(
                    TableName=self.stage.settings.table(table),
                    Item=item,
                    ConditionExpression=f"attribute_not_exists({key})",
                )
            except client.exceptions.ClientError as error:
                if not is_condition_failure(error):
                    raise
                return 0
        return 1

    def _failed_messages(self, new: set[str]) -> int:
        """Write the failed messages of restored connections; those of others may have been replayed or purged."""
        now, number = self.stage.services.clock(), 0
        table = self.stage.settings.table(FAILED_MESSAGES)
        wanted = (
            item
            for item in map(backup_files.to_item, self.files.read(FAILED_MESSAGES))
            if item["connection"]["S"].replace("#", "/") in new and float(item["expires"]["N"]) > now
        )
        for part in batched(wanted, _BATCH):
            pending: list[Any] = [{"PutRequest": {"Item": item}} for item in part]
            number += len(part)
            for attempt in range(_TRIES):
                with translated("DynamoDB"):
                    answer = self.stage.services.dynamodb.batch_write_item(RequestItems={table: pending})
                pending = list(answer.get("UnprocessedItems", {}).get(table, []))
                if not pending:
                    break
                self._queues.sleep(0.1 * 2**attempt)
            else:
                raise Unavailable("DynamoDB is throttling")
        return number

    def _downlinks(self) -> None:
        """Send taken downlinks. Their queue is not created here, so a repeat goes on where it was killed."""
        if self.tenant is None and any(True for _ in self.files.read(f"{QUEUES}/{DOWNLINK_QUEUE}")):
            self.counts["downlinks"] = self._messages(DOWNLINK_QUEUE)

    def _wanted(self, tenant: str) -> bool:
        return self.tenant in (None, tenant)
