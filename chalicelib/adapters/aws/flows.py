"""Flows in DynamoDB (``ports.flows.FlowStore``).

The table has the keys ``tenant`` and ``id``, a ULID. The tenant's generation and its number of ``flows`` are
attributes of the item ``#tenant`` in the table of connections. A write checks that the connections and the driver of
the flow exist and increments the generation, all in one transaction.

``matchers`` is compressed JSON, because 10,000 keys as a list of strings have 240 KB and an item at most 400 KB.
"""

import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from chalicelib.adapters.aws.connection_items import GENERATION
from chalicelib.adapters.aws.dynamodb import Update, query, to_item, transact
from chalicelib.domain.drivers.driver import is_automatic
from chalicelib.domain.flows.flow import Flow, FlowConnector, Matcher
from chalicelib.errors import Conflict, NotFound, PreconditionFailed, TooLarge
from chalicelib.kernel.ids import is_id
from chalicelib.monitoring import log

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SCHEMA = 1
"""The number of the item's format. A release that changes the meaning of an attribute increments it."""
_MAX_MATCHERS_BYTES = 350_000
"""Maximum stored size of the matchers, so that the item has less than 400 KB."""
_PAGE = 50
_CHANGEABLE = ("name", "description", "active", "matchers", "driver", "connectors", "version", "updatedAt")


class DynamoDbFlows:
    """The flows of all tenants. Reads are strongly consistent."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        connections_table: str,
        drivers_table: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._connections_table = connections_table
        self._drivers_table = drivers_table
        self._sleep = sleep

    def create(self, flow: Flow, limit: int) -> Sequence[str]:
        put = {"Item": to_item(_record_of(flow)), "ConditionExpression": "attribute_not_exists(id)"}
        failed = self._transact([{"Put": put}, self._next_generation(flow.tenant, 1, limit), *self._existing(flow)])
        if failed[1]:
            raise Conflict(f"The limit of {limit} flows is reached. Delete a flow or request a higher limit.")
        if failed[0]:
            raise Conflict(f"The flow {flow.id} exists already. Read the list of flows.")
        return _missing(flow, failed[2:])

    def find(self, tenant: str, flow_id: str) -> Flow:
        # A query needs no permission besides that of a list.
        found = self._query(tenant, "tenant = :tenant AND id = :id", {":id": flow_id}) if is_id(flow_id) else ()
        for flow in found:
            return flow
        raise _not_found(flow_id)

    def replace(self, flow: Flow, expected_version: int, *, check: bool = True) -> Sequence[str]:
        record = _record_of(flow)
        update = Update({name: record[name] for name in _CHANGEABLE})
        key = to_item({"tenant": flow.tenant, "id": flow.id})
        change = {"Key": key, **update.arguments("#version = :expected", {":expected": expected_version})}
        checks = self._existing(flow) if check else []
        failed = self._transact([{"Update": change}, self._next_generation(flow.tenant), *checks])
        if failed[0]:
            self.find(flow.tenant, flow.id)
            raise _changed_since(expected_version)
        return _missing(flow, failed[2:])

    def delete(self, tenant: str, flow_id: str, version: int | None = None) -> None:
        if not is_id(flow_id):
            raise _not_found(flow_id)
        condition: dict[str, Any] = {"ConditionExpression": "attribute_exists(id)"}
        if version is not None:
            condition = {
                "ConditionExpression": "#version = :version",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": to_item({":version": version}),
            }
        key = to_item({"tenant": tenant, "id": flow_id})
        failed = self._transact([{"Delete": {"Key": key, **condition}}, self._next_generation(tenant, -1)])
        if failed[0] and version is not None:
            self.find(tenant, flow_id)
            raise _changed_since(version)
        if failed[0]:
            raise _not_found(flow_id)

    def of_tenant(self, tenant: str) -> Iterator[Flow]:
        return self._query(tenant, "tenant = :tenant", {}, ScanIndexForward=True)

    def newest_first(self, tenant: str, before: str | None = None) -> Iterator[Flow]:
        condition = "tenant = :tenant AND id < :before"
        return self._query(tenant, condition, {":before": before or "~"}, ScanIndexForward=False, Limit=_PAGE)

    def _query(self, tenant: str, condition: str, values: dict[str, Any], **parameters: Any) -> Iterator[Flow]:
        return map(
            _flow_of,
            query(
                self._client,
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=to_item({":tenant": tenant} | values),
                ConsistentRead=True,
                **parameters,
            ),
        )

    def _next_generation(self, tenant: str, difference: int = 0, limit: int | None = None) -> dict[str, Any]:
        """Return the action that increments the tenant's generation and adds to its number of flows, up to a limit."""
        action: dict[str, Any] = {
            "TableName": self._connections_table,
            "Key": to_item({"tenant": tenant, "id": GENERATION}),
            "UpdateExpression": "ADD generation :one, #flows :difference",
            "ExpressionAttributeNames": {"#flows": "flows"},
            "ExpressionAttributeValues": to_item({":one": 1, ":difference": difference}),
        }
        if limit is not None:
            action["ConditionExpression"] = "attribute_not_exists(#flows) OR #flows < :limit"
            action["ExpressionAttributeValues"] |= to_item({":limit": limit})
        return {"Update": action}

    def _existing(self, flow: Flow) -> list[dict[str, Any]]:
        """Return the actions that fail for references that do not exist, in the order of ``_references``.

        A delete of a connection forgets it in the flows that were written before; a later write fails here.
        """
        tables = [self._connections_table] * len(flow.connectors) + [self._drivers_table]
        return [
            {
                "ConditionCheck": {
                    "TableName": table,
                    "Key": to_item({"tenant": flow.tenant, "id": name}),
                    "ConditionExpression": "attribute_exists(id)",
                }
            }
            for table, name in zip(tables, _references(flow), strict=False)
        ]

    def _transact(self, actions: Sequence[dict[str, Any]]) -> list[bool]:
        return transact(self._client, self._table, actions, self._sleep)


def _missing(flow: Flow, failed: Sequence[bool]) -> list[str]:
    return [name for name, is_missing in zip(_references(flow), failed, strict=False) if is_missing]


def _references(flow: Flow) -> list[str]:
    """Return the ids of the connections and of the driver, which an automatic id does not name."""
    driver = [] if flow.driver is None or is_automatic(flow.driver) else [flow.driver]
    return [connector.connection_id for connector in flow.connectors] + driver


def _record_of(flow: Flow) -> dict[str, Any]:
    matchers = json.dumps([_plain(matcher) for matcher in flow.matchers], separators=(",", ":")).encode()
    compressed = zlib.compress(matchers)
    if len(compressed) > _MAX_MATCHERS_BYTES:
        raise TooLarge("The matchers of the flow are too large to be stored. Use fewer or shorter tags, or two flows.")
    return {
        "tenant": flow.tenant,
        "id": flow.id,
        "schema": SCHEMA,
        "name": flow.name,
        "description": flow.description,
        "active": flow.active,
        "matchers": compressed,
        "driver": flow.driver,
        "connectors": [_plain(connector) for connector in flow.connectors],
        "version": flow.version,
        "createdAt": flow.created_at,
        "updatedAt": flow.updated_at,
    }


def _plain(document: Matcher | FlowConnector) -> dict[str, Any]:
    return document.model_dump(mode="json", by_alias=True, exclude_none=True)


def _flow_of(item: Mapping[str, Any]) -> Flow:
    """Return the flow of an item.

    One that this release cannot read is logged. It reads as inactive and without matchers: its connections must not
    receive every report because of a matcher that only a later release knows.
    """
    values = {
        "tenant": item["tenant"],
        "id": item["id"],
        "name": item.get("name", item["id"]),
        "description": item.get("description"),
        "active": item.get("active", False),
        "driver": item.get("driver"),
        "version": item.get("version", 0),
        "created_at": item.get("createdAt", ""),
        "updated_at": item.get("updatedAt", ""),
    }
    connectors = item.get("connectors", [])
    try:
        matchers = [Matcher.model_validate(each) for each in json.loads(zlib.decompress(item["matchers"]))]
        readable = [FlowConnector.model_validate(each) for each in connectors]
        return Flow(**values, matchers=matchers, connectors=readable)
    except (KeyError, TypeError, ValueError, zlib.error, ValidationError) as error:
        log.error(
            "unreadable flow", extra={"tenant": item["tenant"], "flow": item["id"], "reason": type(error).__name__}
        )
        named = [FlowConnector.model_construct(connection_id=str(each.get("connectionId"))) for each in connectors]
        return Flow.model_construct(**values | {"active": False, "matchers": [], "connectors": named})


def _not_found(flow_id: str) -> NotFound:
    return NotFound(f"The flow {flow_id[:40]} does not exist. Check the id.")


def _changed_since(version: int) -> PreconditionFailed:
    return PreconditionFailed(f"The flow has changed since version {version}. Read it and try again.")
