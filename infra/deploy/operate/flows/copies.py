"""Flows and drivers in a backup, and their restoration.

Drivers are restored before the flows that name them, and flows before connections: a connection receives every report
as long as no flow names it.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.connection_items import GENERATION
from chalicelib.adapters.aws.dynamodb import partition, to_item, transact
from infra.deploy.operate.backup_files import BackupFiles, to_document
from infra.deploy.operate.backup_files import to_item as item_of
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import scan

FLOWS, DRIVERS = "flows", "drivers"
VERSION_STEP = 1000
"""Added to a restored version, so that an If-Match of before fails."""
_CODE = "#code"
_TRIES = 3


def back_up_flows(stage: Stage, files: BackupFiles) -> int:
    """Write the flows of all tenants, and return their number."""
    return files.write(FLOWS, map(to_document, scan(stage, FLOWS)))


def back_up_drivers(stage: Stage, files: BackupFiles) -> tuple[int, list[str]]:
    """Write the drivers of all tenants, each with its code; return their number and the names of those without code."""
    reader, missing, number = _Drivers(stage), [], 0
    with files.appending(DRIVERS) as lines:
        for item in scan(stage, DRIVERS):
            if item["tenant"]["S"].endswith(_CODE):
                continue
            copied = reader.copy(item)
            if copied is None:
                missing.append(_name(item))
                continue
            lines.add(to_document(copied))
            number += 1
    return number, missing


class _Drivers:
    """Reads drivers with their code."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def copy(self, item: dict[str, Any]) -> dict[str, Any] | None:
        """Return ``{"item": ..., "code": [...]}``, None if the code is gone."""
        for _ in range(_TRIES):
            code = self.code(item)
            if len(code) == int(item.get("codeItems", {"N": "0"})["N"]) > 0:
                return {"item": item, "code": code}
            # The driver was replaced after the scan: its record names another code by now.
            item = _stored(self._stage, DRIVERS, item) or item
        return None

    def code(self, item: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the items of a driver's code."""
        begin = f"{item['id']['S']}#{item['codeHash']['S']}#"
        values = {":tenant": partition(item["tenant"]["S"], "code"), ":begin": begin}
        with translated("DynamoDB"):
            answer = self._stage.services.dynamodb.query(
                TableName=self._stage.settings.table(DRIVERS),
                KeyConditionExpression="tenant = :tenant AND begins_with(id, :begin)",
                ExpressionAttributeValues=to_item(values),
                ConsistentRead=True,
            )
        return list(answer["Items"])


@dataclass
class FlowRestore:
    """The restoration of flows and drivers. Each is written in one transaction, so it may be killed and repeated.

    ``tenant``: only this tenant's; ``known``: the (tenant, id) of all connections of the backup and the stage.
    """

    stage: Stage
    files: BackupFiles
    tenant: str | None
    overwrite: bool
    known: set[tuple[str, str]]

    def __post_init__(self) -> None:
        self._reader = _Drivers(self.stage)

    @property
    def tenants(self) -> set[str]:
        """The tenants whose flows the backup has."""
        return {item["tenant"]["S"] for item in self._flows()}

    def drivers(self, *, write: bool) -> int:
        """Restore missing drivers, or all; return their number. ``write``: False only counts."""
        number = 0
        for document in map(item_of, self.files.read(DRIVERS)):
            item, code = document["item"], document["code"]
            stored = _stored(self.stage, DRIVERS, item)
            if not self._wanted(item) or (stored and not self.overwrite):
                continue
            number += 1
            if write:
                names = {each["id"]["S"] for each in code}
                old = [each for each in self._reader.code(stored) if each["id"]["S"] not in names] if stored else []
                keys = [{"Delete": {"Key": {name: each[name] for name in ("tenant", "id")}}} for each in old]
                self._write(DRIVERS, item, stored, [*({"Put": {"Item": each}} for each in code), *keys])
        return number

    def flows(self, *, write: bool) -> int:
        """Restore the flows likewise, without connections that do not exist any more."""
        number = 0
        for item in self._flows():
            stored = _stored(self.stage, FLOWS, item)
            if stored and not self.overwrite:
                continue
            number += 1
            if write:
                self._write(FLOWS, self._with_known_connections(item), stored, [])
        return number

    def _flows(self) -> Iterator[dict[str, Any]]:
        return (item for item in map(item_of, self.files.read(FLOWS)) if self._wanted(item))

    def _with_known_connections(self, item: dict[str, Any]) -> dict[str, Any]:
        connectors = [
            each
            for each in item.get("connectors", {}).get("L", [])
            if (item["tenant"]["S"], each["M"]["connectionId"]["S"]) in self.known
        ]
        return item | {"connectors": {"L": connectors}}

    def _write(self, kind: str, item: dict[str, Any], stored: Mapping[str, Any], more: list[dict[str, Any]]) -> None:
        """Write an item with a new version, and count it among the tenant's if it is new."""
        version = max(int(each["version"]["N"]) for each in (item, stored) if each) + VERSION_STEP
        put: dict[str, Any] = {
            "Item": item | to_item({"version": version}),
            "ConditionExpression": "attribute_not_exists(id)",
        }
        if stored:
            put["ConditionExpression"] = "#version = :version"
            put["ExpressionAttributeNames"] = {"#version": "version"}
            put["ExpressionAttributeValues"] = {":version": stored["version"]}
        count = {
            "TableName": self.stage.settings.table("connections"),
            "Key": to_item({"tenant": item["tenant"]["S"], "id": GENERATION}),
            "UpdateExpression": "ADD generation :one, #kind :more",
            "ExpressionAttributeNames": {"#kind": kind},
            "ExpressionAttributeValues": to_item({":one": 1, ":more": 0 if stored else 1}),
        }
        client, table = self.stage.services.dynamodb, self.stage.settings.table(kind)
        if transact(client, table, [{"Put": put}, {"Update": count}, *more], time.sleep)[0]:
            raise OperateFailed(f"{kind}: {_name(item)} was changed meanwhile. Run the restore again.")

    def _wanted(self, item: Mapping[str, Any]) -> bool:
        return self.tenant in (None, item["tenant"]["S"])


def _stored(stage: Stage, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow or driver as it is now, empty if it is gone."""
    key = {name: item[name] for name in ("tenant", "id")}
    with translated("DynamoDB"):
        answer = stage.services.dynamodb.get_item(TableName=stage.settings.table(kind), Key=key, ConsistentRead=True)
    return dict(answer.get("Item", {}))


def _name(item: Mapping[str, Any]) -> str:
    return f"{item['tenant']['S']}/{item['id']['S']}"
