"""Connections in DynamoDB (``ports.ConnectionStore``).

The table has the keys ``tenant`` and ``id``, and four kinds of items by their ``id``:

- a ULID: a connection. Its attributes ``wakeAt``, ``probeAt`` and ``activeSince`` exist only while they apply, which
  keeps the indexes sparse.
- ``#tenant``: the tenant's ``generation`` and number of ``connections``. Both change in the same transaction as the
  connection, so a strongly consistent read of the generation reveals every change.
- ``#pending#<ULID>``: a connection whose secret or queue may exist without a record, after a killed create or delete.
- ``#replay#<ULID>``: an unfinished replay; see ``adapters.aws.replays``.
"""

from collections.abc import Iterator
from typing import Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.connection_errors import changed_since, limit_reached, not_found
from chalicelib.adapters.aws.connection_items import (
    BREAKER,
    CHANGEABLE,
    DOWNLINKS,
    GENERATION,
    OUTAGES,
    next_generation,
    pending_id,
    record_of,
)
from chalicelib.adapters.aws.connection_table import ConnectionTable
from chalicelib.adapters.aws.dynamodb import (
    TRIES,
    Update,
    query,
    to_item,
)
from chalicelib.domain.connection import Connection
from chalicelib.errors import Conflict, Unavailable
from chalicelib.kernel.ids import is_id
from chalicelib.kernel.times import iso_time

_PENDING_SHARD = "pending"
_UNREADABLE_VERSION = "attribute_exists(id) AND (attribute_not_exists(#version) OR #version <> :expected)"


class DynamoDbConnections(ConnectionTable):
    """The connections of all tenants.

    Every write is conditional. Reads of the table are strongly consistent; reads of the indexes lag behind it.
    """

    # Changes by the API

    def reserve(self, tenant: str, connection_id: str, limit: int) -> None:
        """Record that a secret and a queue will be created.

        Raises Conflict when the tenant has ``limit`` connections.
        """
        failed = self._transact(
            [
                {"Put": {"Item": self._pending(tenant, connection_id)}},
                {
                    "ConditionCheck": {
                        "Key": to_item({"tenant": tenant, "id": GENERATION}),
                        "ConditionExpression": "attribute_not_exists(connections) OR connections < :limit",
                        "ExpressionAttributeValues": to_item({":limit": limit}),
                    }
                },
            ]
        )
        if failed[1]:
            raise limit_reached(limit)

    def create(self, connection: Connection, limit: int) -> None:
        """Store a new connection and remove its pending item. Raises Conflict at the limit or when it exists."""
        failed = self._transact(
            [
                {
                    "Put": {
                        "Item": to_item(record_of(connection) | {"changedAt": self._clock()}),
                        "ConditionExpression": "attribute_not_exists(id)",
                    }
                },
                {
                    "Update": {
                        "Key": to_item({"tenant": connection.tenant, "id": GENERATION}),
                        "UpdateExpression": "ADD generation :one, connections :one",
                        "ConditionExpression": "attribute_not_exists(connections) OR connections < :limit",
                        "ExpressionAttributeValues": to_item({":one": 1, ":limit": limit}),
                    }
                },
                {"Delete": {"Key": to_item({"tenant": connection.tenant, "id": pending_id(connection.id)})}},
            ]
        )
        if failed[1]:
            raise limit_reached(limit)
        if failed[0]:
            raise Conflict(f"The connection {connection.id} exists already. Read the list of connections.")

    def replace(
        self, connection: Connection, expected_version: int, *, reset: bool = False, whole: bool = False
    ) -> None:
        """Write the fields that the API changes. The pending wake-up always stays.

        ``reset``: also write the state of both directions, and increment the epoch. The new epoch rejects breaker
        updates of drains that began with the old configuration. ``whole``: write every attribute, because the stored
        record is unreadable; ``expected_version`` is 0 if its version is.

        Raises PreconditionFailed when the stored version differs, NotFound when the connection is gone.
        """
        record = record_of(connection)
        changes = {name: record[name] for name in CHANGEABLE} | {"changedAt": self._clock()}
        if whole:
            changes |= {name: record[name] for name in (*BREAKER, *OUTAGES, *DOWNLINKS, "shard", "createdAt")}
            changes["epoch"] = connection.epoch + 1
        elif reset:
            changes |= {name: record[name] for name in (*BREAKER, *DOWNLINKS)}
        if not connection.active:
            changes |= {"activeSince": None, "faultySince": None}
        update = Update(changes)
        update.set_once("schema", record["schema"])  # a later release's number stays, like its attributes
        if connection.active:
            # An active connection keeps its position in the index.
            update.set_once("activeSince", record["activeSince"])
        if reset and not whole:
            update.add("epoch", 1)
        condition = "#version = :expected" if expected_version else _UNREADABLE_VERSION
        failed = self._transact(
            [
                {
                    "Update": {
                        "Key": self._key(connection.tenant, connection.id),
                        **update.arguments(condition, {":expected": expected_version}),
                    }
                },
                next_generation(connection.tenant, 0),
            ]
        )
        if failed[0]:
            self.find(connection.tenant, connection.id)
            raise changed_since(expected_version)

    def delete(self, tenant: str, connection_id: str, version: int | None = None) -> None:
        """Delete the record; ``version`` restricts this to one version.

        The connection stays pending until ``forget_pending``, because its secret and queue still exist.
        Raises NotFound, PreconditionFailed.
        """
        condition: dict[str, Any] = {"ConditionExpression": "attribute_exists(id)"}
        if version is not None:
            names, values = {"#version": "version"}, to_item({":version": version})
            condition = {"ConditionExpression": "#version = :version"}
            condition |= {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
        failed = self._transact(
            [
                {"Delete": {"Key": self._key(tenant, connection_id), **condition}},
                next_generation(tenant, -1),
                {"Put": {"Item": self._pending(tenant, connection_id)}},
            ]
        )
        if failed[0] and version is not None:
            self.find(tenant, connection_id)
            raise changed_since(version)
        if failed[0]:
            raise not_found(connection_id)

    def is_pending(self, tenant: str, connection_id: str) -> bool:
        """Return whether a create or delete of this connection is unfinished."""
        return is_id(connection_id) and bool(self._read(tenant, pending_id(connection_id)))

    def forget_pending(self, tenant: str, connection_id: str) -> None:
        """Record that the secret and the queue of a connection without a record are deleted."""
        with translated("DynamoDB"):
            self._client.delete_item(
                TableName=self._table, Key=to_item({"tenant": tenant, "id": pending_id(connection_id)})
            )

    def unfinished(self, before: float) -> Iterator[tuple[str, str]]:
        """Yield (tenant, connection id) of unfinished creates and deletes begun before ``before`` (Unix seconds)."""
        for item in query(
            self._client,
            TableName=self._table,
            IndexName="active",
            KeyConditionExpression="#shard = :shard AND activeSince < :before",
            ExpressionAttributeNames={"#shard": "shard"},
            ExpressionAttributeValues=to_item({":shard": _PENDING_SHARD, ":before": iso_time(before)}),
        ):
            yield item["tenant"], item["id"].rsplit("#", 1)[1]

    # Changes by the forwarder and the reconciler

    def update_breaker(self, connection: Connection, expected_epoch: int, *, restart: bool = False) -> bool:
        """Write the breaker's fields and, if present, the pending wake-up. ``restart``: also the downlinks' state.

        Return False when the stored epoch differs. A pending wake-up of another writer stays, because only
        ``clear_pending_wake`` removes it.
        """
        record = record_of(connection)
        changes = {name: record[name] for name in (*BREAKER, *OUTAGES, "epoch", *(DOWNLINKS if restart else ()))}
        changes["changedAt"] = self._clock()
        if connection.wake_at is not None:
            changes |= {"wakeAt": connection.wake_at, "wakeToken": connection.wake_token}
        update = Update(changes)
        return self._update(
            connection.tenant, connection.id, update, "#epoch = :expected", {":expected": expected_epoch}
        )

    def update_downlinks(self, connection: Connection, expected_failures: int) -> bool:
        """Write the downlinks' state. Return False when the stored version or number of failures differs."""
        record = record_of(connection)
        update = Update({name: record[name] for name in DOWNLINKS} | {"changedAt": self._clock()})
        update.names["#version"] = "version"
        same = "#downlinkFailures = :expected" if expected_failures else "attribute_not_exists(#downlinkFailures)"
        condition, values = f"#version = :version AND {same}", {":version": connection.version}
        if expected_failures:
            values[":expected"] = expected_failures
        return self._update(connection.tenant, connection.id, update, condition, values)

    def set_pending_wake(self, tenant: str, connection_id: str, wake_at: float, token: str) -> None:
        """Store a pending wake-up. A stored one that is due earlier keeps its time and gets the new token."""
        none_or_earlier = "attribute_exists(id) AND (attribute_not_exists(#wakeAt) OR #wakeAt <= :at)"
        later = "attribute_exists(id) AND #wakeAt > :at"
        kept = Update({"wakeToken": token})
        kept.set_once("wakeAt", wake_at)
        both = Update({"wakeAt": wake_at, "wakeToken": token})
        for _ in range(TRIES):
            if self._update(tenant, connection_id, kept, none_or_earlier, {":at": wake_at}):
                return
            if self._update(tenant, connection_id, both, later, {":at": wake_at}):
                return
            if not self._read(tenant, connection_id):
                return
        raise Unavailable("too many concurrent writers changed the pending wake-up")

    def clear_pending_wake(self, tenant: str, connection_id: str, token: str) -> None:
        update = Update({"wakeAt": None, "wakeToken": None})
        self._update(tenant, connection_id, update, "#wakeToken = :token", {":token": token})

    def mark_fast(self, connection: Connection, now: float) -> None:
        update = Update({"fastSince": now})
        update.names["#epoch"] = "epoch"
        condition = "#epoch = :epoch AND attribute_not_exists(#fastSince)"
        self._update(connection.tenant, connection.id, update, condition, {":epoch": connection.epoch})

    def mark_slow(self, tenant: str, connection_id: str) -> None:
        self._update(tenant, connection_id, Update({"fastSince": None}), "attribute_exists(#fastSince)", {})

    def postpone_probe(self, connection: Connection, probe_at: float) -> None:
        """Move the next probe unless the epoch has changed or no probe is scheduled."""
        update = Update({"probeAt": probe_at})
        update.names["#epoch"] = "epoch"
        expected = {":epoch": connection.epoch}
        self._update(
            connection.tenant, connection.id, update, "#epoch = :epoch AND attribute_exists(#probeAt)", expected
        )

    def forget_old_bindings(self, connection: Connection) -> None:
        """Remove the list of old bindings unless the version has changed."""
        update = Update({"oldBindings": None})
        condition, values = "#version = :version", {":version": connection.version}
        update.names["#version"] = "version"
        self._update(connection.tenant, connection.id, update, condition, values)

    def _pending(self, tenant: str, connection_id: str) -> dict[str, Any]:
        since = iso_time(self._clock())
        item = {"tenant": tenant, "id": pending_id(connection_id), "shard": _PENDING_SHARD, "activeSince": since}
        return to_item(item)
