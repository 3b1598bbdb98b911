"""``backup``: tables, secrets and, if wanted, queued messages of a stage in a directory.

Connections are read first: a flow or a failed message of a later one is left out by a restore.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chalicelib.adapters.aws.dynamodb import from_item
from chalicelib.kernel.times import iso_time
from infra.deploy.operate import output
from infra.deploy.operate.backup_files import (
    APPLICATION_SERVERS,
    CONNECTIONS,
    FAILED_MESSAGES,
    QUEUES,
    SECRETS,
    BackupFiles,
    to_document,
)
from infra.deploy.operate.flows.copies import DRIVERS, FLOWS, back_up_drivers, back_up_flows
from infra.deploy.operate.notifications.copies import back_up_notifications
from infra.deploy.operate.output import confirm
from infra.deploy.operate.queue_copies import Copied, QueueCopies, uplinks_of
from infra.deploy.operate.secret_copies import SecretCopies
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import is_connection, scan

DOWNLINK_QUEUE = "downlinks.fifo"
_THREADS = 16


def back_up(stage: Stage, arguments: argparse.Namespace) -> int:
    """Write a backup. Return 1 when a secret or a code that a record names, or a part of a queue, is not in it."""
    if arguments.take_queues:
        confirm(
            f"Move the queued messages of the stage {stage.name} into {arguments.directory}? They leave the queues.",
            arguments.yes,
        )
    files = BackupFiles.new(arguments.directory)
    backup = _Backup(stage, files)
    items = list(backup.connections())
    counts = {
        CONNECTIONS: files.write(CONNECTIONS, map(to_document, items)),
        APPLICATION_SERVERS: backup.application_servers(),
        FAILED_MESSAGES: files.write(FAILED_MESSAGES, map(to_document, scan(stage, FAILED_MESSAGES))),
        FLOWS: back_up_flows(stage, files),
    }
    counts[DRIVERS], without_code = back_up_drivers(stage, files)
    notifications = back_up_notifications(stage, files)
    counts |= notifications.counts
    backup.secrets += notifications.secrets
    backup.missing += notifications.missing
    queues: dict[str, Any] = {}
    manifest = {
        "stage": stage.name,
        "prefix": stage.settings.resource_prefix,
        "secretPrefix": stage.settings.secret_prefix,
        "time": iso_time(stage.services.clock()),
        "counts": counts | {SECRETS: backup.secrets},
        "missingSecrets": backup.missing,
        "missingDrivers": without_code,
        "queues": queues,
    }
    # Before the queues, too: messages that were taken must be restorable even if this process is killed.
    files.finish(manifest)
    if arguments.with_queues or arguments.take_queues:
        queues |= backup.queues(items, take=arguments.take_queues)
        files.finish(manifest)
    document = {"directory": str(arguments.directory), **counts, SECRETS: backup.secrets}
    document["messages"] = sum(queue["copied"] for queue in queues.values())
    if arguments.json:
        output.show_json(document)
    else:
        output.show_fields(document)
    for name in without_code:
        output.note(f"The code of the driver {name} is gone. The driver is not in the backup.")
    return _complaints(backup.missing, queues, take=arguments.take_queues) or int(bool(without_code))


def _complaints(missing: list[str], queues: dict[str, Any], *, take: bool) -> int:
    for name in missing:
        output.note(f"The secret of {name} is gone. It is not in the backup.")
    short = {name: numbers for name, numbers in queues.items() if numbers["copied"] < numbers["queued"]}
    for name, numbers in short.items():
        reason = "the rest was in flight" if take else "SQS shows at most ten messages of a device"
        output.note(f"{name}: {numbers['copied']} of about {numbers['queued']} messages are in the backup; {reason}.")
    return 1 if missing or short else 0


class _Backup:
    """A backup under way. ``missing`` names the connections and application servers whose secret is gone."""

    def __init__(self, stage: Stage, files: BackupFiles) -> None:
        self._stage = stage
        self._files = files
        self._copies = SecretCopies(stage)
        self.secrets = 0
        self.missing: list[str] = []

    def connections(self) -> Iterator[dict[str, Any]]:
        """Yield the items of connections and of unfinished replays, and write the connections' secrets."""
        with self._files.appending(SECRETS) as lines:
            for item in scan(self._stage, CONNECTIONS):
                if is_connection(item):
                    yield self._with_secret(item, lines)
                elif item["id"]["S"].startswith("#replay#"):
                    yield item

    def _with_secret(self, item: dict[str, Any], lines: Any) -> dict[str, Any]:
        values = from_item(item)
        tenant, connection_id = values["tenant"], values["id"]
        version = values.get("secretVersion")
        text = None if version is None else self._copies.read(f"{tenant}/{connection_id}", version)
        if version is not None and text is None:
            # The secret was changed after the scan: the record names another version by now.
            with_change = self._again(item)
            if with_change.get("secretVersion") != item.get("secretVersion"):
                return self._with_secret(with_change, lines)
            self.missing.append(f"{tenant}/{connection_id}")
        if text is not None:
            lines.add({"name": f"{tenant}/{connection_id}", "version": version, "text": text, "labelled": True})
            self.secrets += 1
        if keys := self._copies.as_keys(tenant, connection_id):
            lines.add({"tenant": tenant, "connection": connection_id, "asKeys": keys})
            self.secrets += 1
        return item

    def _again(self, item: dict[str, Any]) -> dict[str, Any]:
        answer = self._stage.services.dynamodb.get_item(
            TableName=self._stage.settings.table(CONNECTIONS),
            Key={name: item[name] for name in ("tenant", "id")},
            ConsistentRead=True,
        )
        return dict(answer.get("Item", item))

    def application_servers(self) -> int:
        """Write the application servers and their keys, and return their number."""
        items = list(scan(self._stage, APPLICATION_SERVERS))
        with self._files.appending(SECRETS) as lines:
            for values in map(from_item, items):
                name, version = self._copies.relative(values["secretId"]), values["secretVersion"]
                text = self._copies.read(name, version)
                if text is None:
                    self.missing.append(name)
                    continue
                lines.add({"name": name, "version": version, "text": text, "labelled": False})
                self.secrets += 1
        return self._files.write(APPLICATION_SERVERS, map(to_document, items))

    def queues(self, items: list[dict[str, Any]], *, take: bool) -> dict[str, Any]:
        """Copy the connections' queues and return their numbers of messages.

        The downlinks are taken or left: a copy of one that is sent meanwhile would reach its device twice.
        """
        copies = QueueCopies(self._stage)
        names = [uplinks_of(item["id"]["S"]) for item in items if is_connection(item)]
        if take:
            names.append(DOWNLINK_QUEUE)

        def copy(name: str) -> Copied | None:
            with self._files.appending(f"{QUEUES}/{name}") as lines:
                return copies.copy(name, lines, take=take)

        # Side by side, because an empty receive waits for a second.
        with ThreadPoolExecutor(_THREADS) as executor:
            copied = dict(zip(names, executor.map(copy, names), strict=True))
        return {name: {"copied": each.copied, "queued": each.queued} for name, each in copied.items() if each}
