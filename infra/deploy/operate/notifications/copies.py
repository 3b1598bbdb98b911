"""Settings of notifications with their secrets, and the log of notifications, in a backup and restored.

Settings are restored before connections, so that the changes of a restored connection are reported.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import is_condition_failure, to_item
from chalicelib.adapters.aws.notifications.store import SETTINGS
from infra.deploy.operate.backup_files import SECRETS, BackupFiles, to_document
from infra.deploy.operate.backup_files import to_item as item_of
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.flows.copies import VERSION_STEP
from infra.deploy.operate.secret_copies import SecretCopies
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import scan

TABLE = "notifications"
NOTIFICATIONS, DELIVERIES = "notifications", "deliveries"
"""The files of the settings, and of the notifications with their attempts."""
_TRIES = 3


@dataclass(frozen=True)
class CopiedNotifications:
    """The numbers of a backup. ``missing`` has the names of secrets that settings name and that are gone."""

    counts: dict[str, int]
    secrets: int
    missing: list[str]


def back_up_notifications(stage: Stage, files: BackupFiles) -> CopiedNotifications:
    """Write the settings with their secrets, and the notifications that have not expired, of all tenants."""
    copies, missing, secrets = SecretCopies(stage), [], 0
    numbers = dict.fromkeys((NOTIFICATIONS, DELIVERIES), 0)
    with (
        files.appending(NOTIFICATIONS) as settings,
        files.appending(DELIVERIES) as deliveries,
        files.appending(SECRETS) as lines,
    ):
        for scanned in scan(stage, TABLE):
            if not _is_settings(scanned):
                deliveries.add(to_document(scanned))
                numbers[DELIVERIES] += 1
                continue
            item, secret = _with_secret(stage, copies, scanned)
            if not item:
                continue
            settings.add(to_document(item))
            numbers[NOTIFICATIONS] += 1
            if (name := secret_id_of(item)) is None:
                continue
            if secret is None:
                missing.append(copies.relative(name))
                continue
            version, text = secret
            lines.add({"name": copies.relative(name), "version": version, "text": text, "labelled": False})
            secrets += 1
    return CopiedNotifications(numbers, secrets, missing)


def _with_secret(
    stage: Stage, copies: SecretCopies, item: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """Return the settings, empty if they were deleted after the scan, and the version and text of their secret."""
    for _ in range(_TRIES):
        name = secret_id_of(item) if item else None
        secret = None if name is None else copies.current(copies.relative(name))
        if name is None or secret is not None:
            return item, secret
        # A change of the target after the scan deletes the secret: the settings name another one by now.
        item = _stored(stage, item)
    return item, None


@dataclass
class NotificationRestore:
    """The restoration of notifications. Each item is written by itself, so it may be killed and repeated.

    ``tenant``: only this tenant's; ``texts``: the secrets of the backup by name; ``prefix``: that of the backup.
    """

    stage: Stage
    files: BackupFiles
    tenant: str | None
    overwrite: bool
    texts: Mapping[str, Mapping[str, Any]]
    prefix: str

    def __post_init__(self) -> None:
        self._secrets = SecretCopies(self.stage)
        self.missing: list[str] = []
        """Names of secrets that the restored settings need, and that neither the backup nor the stage has."""

    def settings(self, *, write: bool) -> int:
        """Restore missing settings, or all, and missing secrets; return the number of settings.

        A stored secret stays, because a rotation after the backup made it. ``write``: False only counts.
        """
        number = 0
        for item in self._items(NOTIFICATIONS):
            stored = _stored(self.stage, item)
            name = secret_id_of(item)
            relative = None if name is None else name.removeprefix(f"{self.prefix}/")
            if stored and not self.overwrite:
                if relative is not None and secret_id_of(stored) == self._full(relative):
                    self._secret(relative, write=write)
                continue
            number += 1
            if relative is not None:
                self._secret(relative, write=write)
            if write:
                self._put(item, stored, relative)
        return number

    def deliveries(self, *, write: bool) -> int:
        """Restore notifications that are not stored and have not expired, and return their number."""
        number, now = 0, self.stage.services.clock()
        for item in self._items(DELIVERIES):
            if float(item["expires"]["N"]) <= now:
                continue
            if write:
                number += self._write(item, {"ConditionExpression": "attribute_not_exists(id)"})
            elif not _stored(self.stage, item):
                number += 1
        return number

    def _items(self, kind: str) -> Iterator[dict[str, Any]]:
        items = map(item_of, self.files.read(kind))
        return (item for item in items if self.tenant in (None, item["tenant"]["S"]))

    def _secret(self, name: str, *, write: bool) -> None:
        if self._secrets.current(name) is not None:
            return
        saved = self.texts.get(name)
        if saved is None:
            self.missing.append(name)
        elif write:
            self._secrets.restore(name, saved["version"], saved["text"], labelled=False)

    def _put(self, item: dict[str, Any], stored: Mapping[str, Any], secret: str | None) -> None:
        record = item["settings"]["M"]
        versions = [int(each["settings"]["M"]["version"]["N"]) for each in (item, stored) if each]
        record = record | to_item({"version": max(versions) + VERSION_STEP})
        if secret is not None:
            record["secretId"] = {"S": self._full(secret)}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if stored:
            condition = {
                "ConditionExpression": "settings.version = :version",
                "ExpressionAttributeValues": {":version": stored["settings"]["M"]["version"]},
            }
        if not self._write(item | {"settings": {"M": record}}, condition):
            tenant = item["tenant"]["S"]
            raise OperateFailed(f"The notifications of {tenant} were changed meanwhile. Run the restore again.")

    def _write(self, item: dict[str, Any], condition: dict[str, Any]) -> int:
        client = self.stage.services.dynamodb
        with translated("DynamoDB"):
            try:
                client.put_item(TableName=self.stage.settings.table(TABLE), Item=item, **condition)
            except client.exceptions.ClientError as error:
                if not is_condition_failure(error):
                    raise
                return 0
        return 1

    def _full(self, name: str) -> str:
        return f"{self.stage.settings.secret_prefix}/{name}"


def secret_id_of(item: Mapping[str, Any]) -> str | None:
    """Return the name of the secret that an item of settings names, None for a topic."""
    name: str | None = item["settings"]["M"].get("secretId", {}).get("S")
    return name


def secret_names(items: Iterator[dict[str, Any]]) -> set[str]:
    """Return the names of the secrets that the settings among the items of a table name."""
    return {name for item in items if _is_settings(item) and (name := secret_id_of(item)) is not None}


def _is_settings(item: Mapping[str, Any]) -> bool:
    return bool(item["id"]["S"] == SETTINGS)


def _stored(stage: Stage, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as it is now, empty if it is gone."""
    key = {name: item[name] for name in ("tenant", "id")}
    with translated("DynamoDB"):
        answer = stage.services.dynamodb.get_item(TableName=stage.settings.table(TABLE), Key=key, ConsistentRead=True)
    return dict(answer.get("Item", {}))
