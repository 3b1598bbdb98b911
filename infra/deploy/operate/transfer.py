"""``export`` and ``import``: a tenant's connections, application servers, drivers, flows and notifications as JSON.

An export serves a review or another stage. It has no ids of queues and no state: an import creates new connections.
``backup`` copies a stage as it is.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from chalicelib.domain.connection import Connection
from chalicelib.errors import Error, NotFound
from infra.deploy.operate import output
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.flows.transfer import FlowImport, exported_drivers, exported_flows
from infra.deploy.operate.notifications.transfer import NotificationImport, exported_notifications
from infra.deploy.operate.stage import Stage

FORMAT = 1
MASK = "*****"
_READ_ONLY = {
    "state", "stateReason", "downlinkState", "downlinkStateReason", "startupTime", "createdAt", "updatedAt", "version",
    "nextAttempt",
}  # fmt: skip
_COLUMNS = ("kind", "name", "id", "action", "fields", "missing_secrets")


def export_tenant(stage: Stage, arguments: argparse.Namespace) -> int:
    """Write a tenant's configuration to a file, with its secrets only if they are wanted.

    Return 1 when a secret is gone or a record is unreadable.
    """
    tenant, complete = arguments.tenant, True
    exported = []
    for connection in stage.services.connection_store.newest_first(tenant):
        document = {name: value for name, value in connection.to_json().items() if name not in _READ_ONLY}
        if connection.fault:
            output.note(f"{tenant}/{connection.id} is left out: its field {connection.fault} is unreadable.")
            complete = False
            continue
        if arguments.with_secrets:
            secrets = _secrets(stage, connection)
            document["configuration"] |= secrets
            complete = complete and MASK not in document["configuration"].values()
        exported.append(document)
    servers: list[dict[str, str]] = []
    for server in stage.services.application_server_store.of_tenant(tenant):
        keys = dict(stage.services.application_server_store.keys(server.as_id)) if arguments.with_secrets else {}
        servers.append({"asId": server.as_id, "asKey": keys.get(tenant, MASK)})
    notifications, whole = exported_notifications(stage, tenant, with_secrets=arguments.with_secrets)
    complete = complete and whole
    lists = {
        "connections": exported,
        "applicationServers": servers,
        "drivers": exported_drivers(stage, tenant),
        "flows": exported_flows(stage, tenant),
        "notifications": [] if notifications is None else [notifications],
    }
    _write(arguments.file, {"format": FORMAT, "tenant": tenant, **lists})
    fields = {"file": str(arguments.file)} | {name: len(documents) for name, documents in lists.items()}
    if arguments.json:
        output.show_json(fields)
    else:
        output.show_fields(fields)
    return 0 if complete else 1


def _secrets(stage: Stage, connection: Connection) -> dict[str, str]:
    try:
        secrets = stage.services.secret_store.of(connection)
    except NotFound:
        output.note(f"The secret of {connection.tenant}/{connection.id} is gone.")
        return {}
    return secrets.model_dump(by_alias=True, exclude_none=True)


def _write(file: Path, document: dict[str, Any]) -> None:
    """Write a file that only the owner may read. Raises OperateFailed when it exists."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise OperateFailed(f"The file {file} exists. Remove it, or give another name.") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        json.dump(document, opened, indent=2, ensure_ascii=False)
        opened.write("\n")


def import_tenant(stage: Stage, arguments: argparse.Namespace) -> int:
    """Create or change what a file has: drivers, connections, application servers, flows, then notifications.

    Nothing is deleted.

    Return 1 when one was refused or lacks a secret.
    """
    document = _read(arguments.file)
    tenant = arguments.tenant or document["tenant"]
    work = _Import(stage, tenant, document.get("flows", []), dry_run=arguments.dry_run)
    plan = [work.flows.planned_driver(each) for each in document.get("drivers", [])]
    plan += [work.planned(each) for each in document["connections"]]
    plan += [work.planned_server(each) for each in document.get("applicationServers", [])]
    plan += [work.flows.planned_flow(each) for each in document.get("flows", [])]
    plan += [work.notifications.planned(each) for each in document.get("notifications", [])]
    if not arguments.dry_run:
        changes = sum(row["action"] in {"create", "change"} for row in plan)
        if changes:
            output.confirm(f"Create or change {changes} objects of the tenant {tenant} in {stage.name}?", arguments.yes)
        for row in plan:
            work.apply(row)
        work.activate(plan)
    for row in plan:
        for name in ("document", "exported"):
            row.pop(name, None)
    if arguments.json:
        output.show_json(plan)
    else:
        output.show_table(_COLUMNS, plan)
    return 1 if any(row["action"] in {"missing secrets", "refused"} for row in plan) else 0


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OperateFailed(f"The file {file} cannot be read as JSON ({type(error).__name__}).") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise OperateFailed(f"The file {file} is no export of this release: its format is not {FORMAT}.")
    return document


class _Import:
    """An import into one tenant. A connection is the one with the same id, else the only one with the same name.

    A new connection that a flow of the export names is inactive until its flows exist, since it would receive every
    report.
    """

    def __init__(self, stage: Stage, tenant: str, flows: list[dict[str, Any]], *, dry_run: bool) -> None:
        self._services = stage.services
        self._tenant = tenant
        self._dry_run = dry_run
        self.flows = FlowImport(stage, tenant)
        self.notifications = NotificationImport(stage, tenant)
        self._named = {each["connectionId"] for flow in flows for each in flow.get("connectors", [])}
        self._held: list[str] = []
        self._stored = stage.services.connection_store.of_tenant(tenant)

    def planned(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the row of a connection: its action, the changed fields, and the secrets that are missing."""
        wanted = {name: value for name, value in document.items() if name not in _READ_ONLY}
        stored = self._counterpart(wanted)
        exported = wanted.pop("id", None)
        if stored and exported:
            self.flows.ids[exported] = stored.id
        configuration = wanted["configuration"]
        masked = sorted(name for name, value in configuration.items() if value == MASK)
        row = {"kind": "connection", "name": wanted["name"], "id": stored.id if stored else None, "document": wanted}
        row["exported"] = exported
        if stored is None:
            action = "missing secrets" if masked else "create"
            return row | {"action": action, "fields": [], "missing_secrets": masked}
        had = self._known(stored)
        missing = [name for name in masked if name not in had["configuration"]]
        fields = _differences(had, wanted)
        action = "missing secrets" if missing else "change" if fields else "same"
        return row | {"action": action, "fields": fields, "missing_secrets": missing}

    def _counterpart(self, document: dict[str, Any]) -> Connection | None:
        for stored in self._stored:
            if stored.id == document.get("id"):
                return stored
        named = [stored for stored in self._stored if stored.name == document["name"]]
        if len(named) > 1:
            raise OperateFailed(f"The tenant {self._tenant} has {len(named)} connections named {document['name']}.")
        return named[0] if named else None

    def _known(self, stored: Connection) -> dict[str, Any]:
        """Return the stored document with its secrets, to compare them; it is never shown."""
        document = stored.to_json()
        secrets = self._services.secret_store.of(stored).model_dump(by_alias=True, exclude_none=True)
        return document | {"configuration": document["configuration"] | secrets}

    def planned_server(self, document: dict[str, str]) -> dict[str, Any]:
        """Return the row of an application server."""
        as_id, as_key = document["asId"], document["asKey"]
        row: dict[str, Any] = {"kind": "application server", "name": as_id, "id": None, "document": document}
        row |= {"fields": [], "missing_secrets": []}
        known = dict(self._services.application_server_store.keys(as_id)).get(self._tenant)
        if as_key == MASK:
            missing = {"action": "missing secrets", "missing_secrets": ["asKey"]}
            return row | ({"action": "same"} if known is not None else missing)
        if known is None:
            return row | {"action": "create"}
        return row | ({"action": "same"} if known == as_key else {"action": "change", "fields": ["asKey"]})

    def apply(self, row: dict[str, Any]) -> None:
        """Carry out a row, and enter what became of it."""
        done = {"create": "created", "change": "changed"}
        if row["action"] not in done:
            return
        try:
            match row["kind"]:
                case "connection":
                    row["id"] = self._save(row)
                case "application server":
                    self._save_server(row)
                case "notifications":
                    self.notifications.save(row)
                case _:
                    row["id"] = self.flows.save(row)
        except Error as error:
            output.note(f"{row['name']} is refused: {error}")
            row["action"] = "refused"
        else:
            row["action"] = done[row["action"]]

    def _save(self, row: dict[str, Any]) -> str:
        if row["action"] == "create":
            held = row["exported"] in self._named and row["document"].get("active", True)
            document = row["document"] | ({"active": False} if held else {})
            created = self._services.connections.create(self._tenant, document).id
            self.flows.ids[row["exported"]] = created
            self._held += [created] if held else []
            return created
        return self._services.connections.replace(self._tenant, row["id"], row["document"], None).id

    def activate(self, rows: list[dict[str, Any]]) -> None:
        """Activate the new connections that waited for their flows, unless one of these flows was refused."""
        refused = {
            self.flows.ids.get(each["connectionId"]): row["name"]
            for row in rows
            if (row["kind"], row["action"]) == ("flow", "refused")
            for each in row["document"].get("connectors", [])
        }
        for connection_id in self._held:
            if connection_id in refused:
                flow = refused[connection_id]
                output.note(f"The connection {connection_id} stays inactive, because the flow {flow} was refused.")
                continue
            self._services.connections.patch(self._tenant, connection_id, {"active": True}, None)

    def _save_server(self, row: dict[str, Any]) -> None:
        store, document = self._services.application_server_store, row["document"]
        if row["action"] == "change":
            # As over the API: a key is changed by a delete and a new registration.
            store.delete(self._tenant, document["asId"])
        store.put(self._tenant, document["asId"], document["asKey"])


def _differences(had: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the names of the fields that an import changes. A masked secret stays as it is."""
    outer = [name for name in ("name", "active", "alarms", "connectorId") if had.get(name) != wanted.get(name)]
    was, new = had["configuration"], wanted["configuration"]
    inner = sorted(name for name in {*was, *new} if new.get(name) != MASK and was.get(name) != new.get(name))
    return outer + [f"configuration.{name}" for name in inner]
