"""Flows and drivers of a tenant in an export, and their import."""

from collections.abc import Mapping
from typing import Any

from chalicelib.domain.flows.flow import Flow
from chalicelib.errors import NotFound
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import Stage

_READ_ONLY = {"codeSize", "createdAt", "updatedAt", "version"}
_DRIVER = ("name", "description", "signature", "models", "code")
_FLOW = ("name", "description", "active", "matchers", "driver", "connectors")


def exported_drivers(stage: Stage, tenant: str) -> list[dict[str, Any]]:
    """Return the documents of a tenant's drivers with their code."""
    store = stage.services.driver_store
    return [_document(each.to_json() | {"code": store.code(each)}) for each in store.of_tenant(tenant)]


def exported_flows(stage: Stage, tenant: str) -> list[dict[str, Any]]:
    """Return the documents of a tenant's flows in the order of their creation, in which the first match decides."""
    return [_document(each.to_json()) for each in stage.services.flow_store.of_tenant(tenant)]


def _document(whole: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name not in _READ_ONLY}


class FlowImport:
    """An import of flows and drivers into one tenant.

    A driver is the one with the same id; a flow the one with the same id, else the only one with the same name.
    ``ids``: the ids that the connections of the export have in the tenant; those to create are added when they are.
    """

    def __init__(self, stage: Stage, tenant: str) -> None:
        self._services = stage.services
        self._tenant = tenant
        self._stored = list(stage.services.flow_store.of_tenant(tenant))
        self.ids: dict[str, str] = {}

    def planned_driver(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the row of a driver: its action and the changed fields."""
        row = {"kind": "driver", "name": document["id"], "id": document["id"], "document": document}
        try:
            driver, code = self._services.driver_service.get(self._tenant, document["id"])
        except NotFound:
            return row | {"action": "create", "fields": [], "missing_secrets": []}
        return row | _changes(_DRIVER, driver.to_json() | {"code": code}, document)

    def planned_flow(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the row of a flow likewise."""
        stored = self._counterpart(document)
        row = {"kind": "flow", "name": document["name"], "id": stored.id if stored else None, "document": document}
        if stored is None:
            return row | {"action": "create", "fields": [], "missing_secrets": []}
        return row | _changes(_FLOW, stored.to_json(), self._with_ids(document))

    def save(self, row: dict[str, Any]) -> str:
        """Create or replace the driver or flow of a row; return its id. Raises ``chalicelib.errors.Error``."""
        create, document = row["action"] == "create", row["document"]
        if row["kind"] == "driver":
            drivers = self._services.driver_service
            if create:
                return drivers.create(self._tenant, document)[0].id
            return drivers.replace(self._tenant, row["id"], document, None)[0].id
        document = {name: value for name, value in self._with_ids(document).items() if name != "id"}
        if create:
            return self._services.flow_service.create(self._tenant, document).id
        return self._services.flow_service.replace(self._tenant, row["id"], document, None).id

    def _counterpart(self, document: Mapping[str, Any]) -> Flow | None:
        for stored in self._stored:
            if stored.id == document.get("id"):
                return stored
        named = [stored for stored in self._stored if stored.name == document["name"]]
        if len(named) > 1:
            raise OperateFailed(f"The tenant {self._tenant} has {len(named)} flows named {document['name']}.")
        return named[0] if named else None

    def _with_ids(self, document: dict[str, Any]) -> dict[str, Any]:
        connectors = [
            each | {"connectionId": self.ids.get(each["connectionId"], each["connectionId"])}
            for each in document.get("connectors", [])
        ]
        return document | {"connectors": connectors}


def _changes(names: tuple[str, ...], had: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    fields = [name for name in names if had.get(name) != wanted.get(name)]
    return {"action": "change" if fields else "same", "fields": fields, "missing_secrets": []}
