"""Drivers in DynamoDB (``ports.drivers.DriverStore``).

The table has the keys ``tenant`` and ``id``. A driver's item has no code. Its code, compressed, is in items of the
partition ``<tenant>#code`` with the ids ``<driver>#<hash>#<n>``, because an item has at most 400 KB. A list of drivers
therefore reads none of it. Both are written in one transaction.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from chalicelib.adapters.aws.connection_items import GENERATION
from chalicelib.adapters.aws.dynamodb import Update, partition, query, to_item, transact
from chalicelib.domain.drivers.driver import Driver, code_hash
from chalicelib.errors import Conflict, NotFound, PreconditionFailed
from chalicelib.monitoring import log

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SCHEMA = 1
"""The number of the item's format. A release that changes the meaning of an attribute increments it."""
_CHUNK = 350_000
"""Bytes of compressed code in one item."""
_CHANGEABLE = (
    *("name", "description", "signature", "models", "codeHash", "codeSize", "codeItems", "version", "updatedAt"),
)


class DynamoDbDrivers:
    """The drivers of all tenants. Reads are strongly consistent."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        connections_table: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._connections_table = connections_table
        self._sleep = sleep

    def create(self, driver: Driver, code: str, limit: int) -> None:
        chunks = _chunks(code)
        put = {"Item": to_item(_record_of(driver, len(chunks))), "ConditionExpression": "attribute_not_exists(id)"}
        failed = self._transact([{"Put": put}, self._count(driver.tenant, 1, limit), *_puts(driver, chunks)])
        if failed[0]:
            raise Conflict(f"The driver {driver.id} exists already. Replace it with PUT /drivers/{{id}}.")
        if failed[1]:
            raise Conflict(f"The limit of {limit} drivers is reached. Delete a driver or request a higher limit.")

    def find(self, tenant: str, driver_id: str) -> Driver:
        return _driver_of(self._item(tenant, driver_id))

    def exists(self, tenant: str, driver_id: str) -> bool:
        """Return whether the tenant has the driver (``ports.flows.DriverCatalogue``)."""
        try:
            self._item(tenant, driver_id)
        except NotFound:
            return False
        return True

    def of_tenant(self, tenant: str) -> Iterator[Driver]:
        for item in self._query(tenant, "tenant = :tenant", {}):
            try:
                yield _driver_of(item)
            except NotFound:
                continue

    def code(self, driver: Driver) -> str:
        begin = f"{driver.id}#{driver.code_hash}#"
        found = self._query(_code(driver.tenant), "tenant = :tenant AND begins_with(id, :begin)", {":begin": begin})
        compressed = b"".join(item["code"] for item in found)
        try:
            code = zlib.decompress(compressed).decode("utf-8")
        except zlib.error:
            code = ""
        if code_hash(code) != driver.code_hash:
            raise NotFound(f"The code of the driver {driver.id} was replaced. Read the driver again.")
        return code

    def replace(self, driver: Driver, code: str, stored: Driver) -> None:
        chunks = _chunks(code)
        record = _record_of(driver, len(chunks))
        update = Update({name: record[name] for name in _CHANGEABLE})
        condition = update.arguments("#version = :expected", {":expected": stored.version})
        before = self._item(stored.tenant, stored.id)
        # A transaction has one action for each item, so an unchanged code is not deleted.
        removed = [] if stored.code_hash == driver.code_hash else _deletes(stored, int(before.get("codeItems", 0)))
        failed = self._transact([{"Update": {"Key": _key(driver), **condition}}, *_puts(driver, chunks), *removed])
        if failed[0]:
            raise _changed_since(stored.version)

    def delete(self, driver: Driver, generation: int) -> bool:
        items = int(self._item(driver.tenant, driver.id).get("codeItems", 0))
        condition = {
            "ConditionExpression": "#version = :version",
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": to_item({":version": driver.version}),
        }
        delete = {"Delete": {"Key": _key(driver), **condition}}
        count = self._count(driver.tenant, -1)
        count["Update"]["ConditionExpression"] = "generation = :generation"
        if generation == 0:
            count["Update"]["ConditionExpression"] += " OR attribute_not_exists(generation)"
        count["Update"]["ExpressionAttributeValues"] |= to_item({":generation": generation})
        failed = self._transact([delete, count, *_deletes(driver, items)])
        if failed[0]:
            raise _changed_since(driver.version)
        return not failed[1]

    def _count(self, tenant: str, difference: int, limit: int | None = None) -> dict[str, Any]:
        """Return the action that adds to the tenant's number of drivers, up to a limit."""
        action: dict[str, Any] = {
            "TableName": self._connections_table,
            "Key": to_item({"tenant": tenant, "id": GENERATION}),
            "UpdateExpression": "ADD #drivers :difference",
            "ExpressionAttributeNames": {"#drivers": "drivers"},
            "ExpressionAttributeValues": to_item({":difference": difference}),
        }
        if limit is not None:
            action["ConditionExpression"] = "attribute_not_exists(#drivers) OR #drivers < :limit"
            action["ExpressionAttributeValues"] |= to_item({":limit": limit})
        return {"Update": action}

    def _item(self, tenant: str, driver_id: str) -> dict[str, Any]:
        if driver_id:
            # A query needs no permission besides that of a list.
            for item in self._query(tenant, "tenant = :tenant AND id = :id", {":id": driver_id[:255]}):
                return item
        raise NotFound(f"The driver {driver_id[:200]} does not exist. Check the id.")

    def _query(self, tenant: str, condition: str, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        return query(
            self._client,
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=to_item({":tenant": tenant} | values),
            ConsistentRead=True,
        )

    def _transact(self, actions: Sequence[Mapping[str, Any]]) -> list[bool]:
        return transact(self._client, self._table, actions, self._sleep)


def _code(tenant: str) -> str:
    return partition(tenant, "code")


def _key(driver: Driver) -> dict[str, Any]:
    return to_item({"tenant": driver.tenant, "id": driver.id})


def _chunks(code: str) -> list[bytes]:
    compressed = zlib.compress(code.encode("utf-8"))
    return [compressed[at : at + _CHUNK] for at in range(0, len(compressed), _CHUNK)]


def _code_id(driver: Driver, number: int) -> str:
    return f"{driver.id}#{driver.code_hash}#{number}"


def _puts(driver: Driver, chunks: Sequence[bytes]) -> list[dict[str, Any]]:
    return [
        {"Put": {"Item": to_item({"tenant": _code(driver.tenant), "id": _code_id(driver, number), "code": chunk})}}
        for number, chunk in enumerate(chunks)
    ]


def _deletes(driver: Driver, items: int) -> list[dict[str, Any]]:
    return [
        {"Delete": {"Key": to_item({"tenant": _code(driver.tenant), "id": _code_id(driver, number)})}}
        for number in range(items)
    ]


def _record_of(driver: Driver, items: int) -> dict[str, Any]:
    return {
        "tenant": driver.tenant,
        "id": driver.id,
        "schema": SCHEMA,
        "name": driver.name,
        "description": driver.description,
        "signature": driver.signature.value,
        "models": [model.to_json() for model in driver.models],
        "codeHash": driver.code_hash,
        "codeSize": driver.code_size,
        "codeItems": items,
        "version": driver.version,
        "createdAt": driver.created_at,
        "updatedAt": driver.updated_at,
    }


def _driver_of(item: Mapping[str, Any]) -> Driver:
    """Return the driver of an item. Raises NotFound for one that this release cannot read, which is logged."""
    try:
        return Driver(
            tenant=item["tenant"],
            id=item["id"],
            name=item["name"],
            description=item.get("description"),
            signature=item["signature"],
            models=item.get("models", []),
            code_hash=item["codeHash"],
            code_size=item["codeSize"],
            version=item["version"],
            created_at=item.get("createdAt", ""),
            updated_at=item.get("updatedAt", ""),
        )
    except (KeyError, ValidationError) as error:
        log.error(
            "unreadable driver", extra={"tenant": item["tenant"], "driver": item["id"], "reason": type(error).__name__}
        )
        raise NotFound(f"The driver {item['id']} was stored by another release and cannot be read.") from error


def _changed_since(version: int) -> PreconditionFailed:
    return PreconditionFailed(f"The driver has changed since version {version}. Read it and try again.")
