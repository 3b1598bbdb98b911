"""Notifications and their settings in DynamoDB (``ports.notifications``).

The table has the keys ``tenant`` and ``id``, and two kinds of items by their ``id``:

- ``#settings``: the settings of the tenant.
- a ULID: a notification, kept for 30 days.

The index ``due`` contains all settings (``shard`` is ``settings``) and the notifications that wait for an attempt
(``shard`` is ``due``) with the time of that attempt, ``dueAt``.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import Update, from_item, is_condition_failure, page, query, to_item
from chalicelib.adapters.aws.readable import readable
from chalicelib.domain.notifications.notification import Notification
from chalicelib.domain.notifications.settings import NotificationRequest, NotificationSettings
from chalicelib.errors import PreconditionFailed
from chalicelib.kernel.ids import is_id
from chalicelib.kernel.stored_documents import read_stored
from chalicelib.ports.clock import Clock
from chalicelib.vocabulary import DeliveryStatus

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SETTINGS = "#settings"
"""The sort key of a tenant's settings."""
_DUE = "due"
_OF_SETTINGS = "settings"
SCHEMA = 1
"""The number of the items' format. A release that changes the meaning of an attribute increments it."""
_KEPT = 30 * 86400
"""Seconds after which a notification expires."""
_MOST_OF_TENANT = 100
"""Notifications of one tenant that a run of the reconciler returns; the next run returns others."""
_PAGE_BYTES = 2_000_000
_NAMES = {
    "kind": "kind",
    "time": "time",
    "connection_id": "connectionId",
    "body": "body",
    "due_at": "dueAt",
    "attempts": "attempts",
    "first_attempt": "firstAttempt",
    "last_attempt": "lastAttempt",
    "http_status": "httpStatus",
    "detail": "detail",
    "milliseconds": "milliseconds",
}
"""The fields of a notification that are attributes of the same value, with the attributes' names."""
_RECORD = {"schema", "wanted", "activeSince", "version", "createdAt", "updatedAt", "secretId"}
_WANTED = {field.alias or name for name, field in NotificationRequest.model_fields.items()}
"""The fields of stored settings that this release knows."""


class DynamoDbNotifications:
    """The settings of notifications and the notifications of all tenants."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    # Settings

    def find(self, tenant: str) -> NotificationSettings | None:
        item = self._item(tenant, SETTINGS)
        return next(readable([item], _settings_of, "tenant", "id"), None) if item else None

    def all(self) -> list[NotificationSettings]:
        items = self._index(_OF_SETTINGS, 0)
        return list(readable(items, _settings_of, "tenant", "id"))

    def put(self, settings: NotificationSettings, expected_version: int) -> None:
        stored = self._item(settings.tenant, SETTINGS) if expected_version else {}
        record = stored | {
            "tenant": settings.tenant,
            "id": SETTINGS,
            "shard": _OF_SETTINGS,
            "dueAt": 0,
            "settings": _record_of(settings, stored.get("settings", {})),
        }
        with _same(expected_version):
            self._client.put_item(TableName=self._table, Item=to_item(record), **_version(expected_version))

    def delete(self, tenant: str, version: int) -> None:
        with _same(version):
            key = to_item({"tenant": tenant, "id": SETTINGS})
            self._client.delete_item(TableName=self._table, Key=key, **_version(version))

    # Notifications

    def add(self, notification: Notification) -> bool:
        item = _item_of(notification) | {"expires": int(self._clock()) + _KEPT}
        with translated("DynamoDB"):
            try:
                self._client.put_item(
                    TableName=self._table, Item=to_item(item), ConditionExpression="attribute_not_exists(id)"
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                return False
        return True

    def due(self, now: float) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for item in self._index(_DUE, now):
            if len(found[item["tenant"]]) < _MOST_OF_TENANT:
                found[item["tenant"]].append(item["id"])
        return found

    def take(self, tenant: str, notification_id: str, now: float, until: float) -> Notification | None:
        if not is_id(notification_id):
            return None
        update = Update({"dueAt": until, "shard": _DUE, "lastAttempt": now})
        update.set_once("firstAttempt", now)
        update.add("attempts", 1)
        update.names["#status"] = "status"
        # A test has no time: only the request that made it sends it.
        condition = "#status = :pending AND (attribute_not_exists(#dueAt) OR #dueAt <= :now)"
        values = {":pending": DeliveryStatus.PENDING.value, ":now": now}
        with translated("DynamoDB"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"tenant": tenant, "id": notification_id}),
                    ReturnValues="ALL_NEW",
                    **update.arguments(condition, values),
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                return None
        return next(readable([from_item(answer["Attributes"])], _notification_of, "tenant", "id"), None)

    def finish(self, notification: Notification) -> None:
        update = Update(
            {
                "status": notification.status.value,
                "shard": None if notification.due_at is None else _DUE,
                "dueAt": notification.due_at,
                "httpStatus": notification.http_status,
                "detail": notification.detail,
                "milliseconds": notification.milliseconds,
            }
        )
        update.names["#attempts"] = "attempts"
        arguments = update.arguments("#attempts = :attempts", {":attempts": notification.attempts})
        key = to_item({"tenant": notification.tenant, "id": notification.id})
        with translated("DynamoDB"):
            try:
                self._client.update_item(TableName=self._table, Key=key, **arguments)
            except ClientError as error:
                if not is_condition_failure(error):
                    raise

    def find_one(self, tenant: str, notification_id: str) -> Notification | None:
        item = self._item(tenant, notification_id)
        return next(readable([item], _notification_of, "tenant", "id"), None) if item else None

    def newest(self, tenant: str, limit: int) -> list[Notification]:
        found = page(
            self._client,
            limit,
            _PAGE_BYTES,
            TableName=self._table,
            KeyConditionExpression="tenant = :tenant AND id > :settings",
            # "$" is the character after "#", with which the id of the settings begins.
            ExpressionAttributeValues=to_item({":tenant": tenant, ":settings": "$"}),
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=limit,
        )
        return list(readable(found.items, _notification_of, "tenant", "id"))

    def _item(self, tenant: str, item_id: str) -> dict[str, Any]:
        with translated("DynamoDB"):
            key = to_item({"tenant": tenant, "id": item_id})
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return from_item(answer.get("Item", {}))

    def _index(self, shard: str, until: float) -> Iterator[dict[str, Any]]:
        return query(
            self._client,
            TableName=self._table,
            IndexName="due",
            KeyConditionExpression="#shard = :shard AND dueAt <= :until",
            ExpressionAttributeNames={"#shard": "shard"},
            ExpressionAttributeValues=to_item({":shard": shard, ":until": until}),
        )


@contextmanager
def _same(version: int) -> Iterator[None]:
    """Run a conditional write of settings. Raises PreconditionFailed if they were changed, Unavailable."""
    with translated("DynamoDB"):
        try:
            yield
        except ClientError as error:
            if not is_condition_failure(error):
                raise
            raise PreconditionFailed(
                f"The notifications have changed since version {version}. Read them and try again."
            ) from error


def _version(expected: int) -> dict[str, Any]:
    """Return the arguments of a write that requires the stored version, 0 if there are no settings."""
    if not expected:
        return {"ConditionExpression": "attribute_not_exists(id)"}
    return {
        "ConditionExpression": "#settings.#version = :expected",
        "ExpressionAttributeNames": {"#settings": "settings", "#version": "version"},
        "ExpressionAttributeValues": to_item({":expected": expected}),
    }


def _record_of(settings: NotificationSettings, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of settings, with the fields of ``stored`` that only another release knows."""
    wanted = settings.wanted.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        **{name: value for name, value in stored.items() if name not in _RECORD},
        "schema": SCHEMA,
        "wanted": {name: value for name, value in stored.get("wanted", {}).items() if name not in _WANTED} | wanted,
        "activeSince": settings.active_since,
        "version": settings.version,
        "createdAt": settings.created_at,
        "updatedAt": settings.updated_at,
        **({} if settings.secret_id is None else {"secretId": settings.secret_id}),
    }


def _settings_of(item: Mapping[str, Any]) -> NotificationSettings:
    record = item["settings"]
    return NotificationSettings(
        tenant=item["tenant"],
        wanted=read_stored(NotificationRequest, record["wanted"]),
        secret_id=record.get("secretId"),
        active_since=record["activeSince"],
        version=record["version"],
        created_at=record["createdAt"],
        updated_at=record["updatedAt"],
    )


def _item_of(notification: Notification) -> dict[str, Any]:
    return {
        "tenant": notification.tenant,
        "id": notification.id,
        "schema": SCHEMA,
        "status": notification.status.value,
        "shard": None if notification.due_at is None else _DUE,
        **{attribute: getattr(notification, name) for name, attribute in _NAMES.items()},
    }


def _notification_of(item: Mapping[str, Any]) -> Notification:
    fields = {name: item[attribute] for name, attribute in _NAMES.items() if attribute in item}
    notification = Notification(tenant=item["tenant"], id=item["id"], status=item["status"], **fields)
    # Read here, so that a body without it is an unreadable record and not a fault of the list.
    if not notification.message:
        raise ValueError("the body has no message")
    return notification
