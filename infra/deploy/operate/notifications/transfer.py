"""The notifications of a tenant in an export, and their import."""

from dataclasses import replace
from typing import Any

from chalicelib.adapters.aws.notifications.secrets import SecretsManagerWebhookSecrets
from chalicelib.connections.notifications.service import OVERLAP, NotificationService
from chalicelib.domain.notifications.settings import NotificationRequest, NotificationSettings
from chalicelib.domain.notifications.signature import is_secret
from chalicelib.errors import InvalidRequest, NotFound, Violation
from infra.deploy.operate import output
from infra.deploy.operate.stage import Stage

KIND = "notifications"
MASK = "*****"
_SECRET = "secret"  # noqa: S105  # the name of a field


def exported_notifications(stage: Stage, tenant: str, *, with_secrets: bool) -> tuple[dict[str, Any] | None, bool]:
    """Return the document of a tenant's notifications, None without any, and whether it is complete.

    With secrets, it has the newest one of the webhook.
    """
    settings = stage.services.notification_store.find(tenant)
    if settings is None:
        return None, True
    document = _document(settings.wanted)
    if settings.secret_id is None:
        return document, True
    secret = _newest(stage, settings) if with_secrets else None
    if with_secrets and secret is None:
        output.note(f"The secret of the notifications of {tenant} is gone.")
    return document | {_SECRET: secret or MASK}, secret is not None or not with_secrets


class NotificationImport:
    """An import of notifications into one tenant."""

    def __init__(self, stage: Stage, tenant: str) -> None:
        self._stage = stage
        self._tenant = tenant

    def planned(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the row of the notifications: its action, the changed fields and a missing secret."""
        row: dict[str, Any] = {"kind": KIND, "name": self._tenant, "id": None, "document": document}
        stored = self._stage.services.notification_store.find(self._tenant)
        known = None if stored is None or stored.secret_id is None else _newest(self._stage, stored)
        if document.get("url") and document.get(_SECRET, MASK) == MASK and known is None:
            return row | {"action": "missing secrets", "fields": [], "missing_secrets": [_SECRET]}
        row |= {"missing_secrets": []}
        if stored is None:
            return row | {"action": "create", "fields": []}
        had, wanted = _document(stored.wanted) | {_SECRET: known}, dict(document)
        if wanted.get(_SECRET, MASK) == MASK:
            wanted[_SECRET] = known if document.get("url") else None
        fields = sorted(name for name in {*had, *wanted} if had.get(name) != wanted.get(name))
        return row | {"action": "change" if fields else "same", "fields": fields}

    def save(self, row: dict[str, Any]) -> None:
        """Create or replace the notifications of a row. Raises ``chalicelib.errors.Error``.

        A changed secret signs beside the previous one for a day, as after a rotation over the API.
        """
        services = self._stage.services
        secret = row["document"].get(_SECRET, MASK)
        document = {name: value for name, value in row["document"].items() if name != _SECRET}
        if secret != MASK and not is_secret(secret):
            detail = "This is no secret of Standard Webhooks: whsec_ and 24 to 64 bytes in base64."
            raise InvalidRequest([Violation(f"/{_SECRET}", detail)])
        stored = services.notification_store.find(self._tenant)
        given = SecretsManagerWebhookSecrets(
            services.secretsmanager, services.settings.secret_prefix, services.clock, make=lambda: str(secret)
        )
        context = services.notification_context
        service = NotificationService(context if secret == MASK else replace(context, secrets=given))
        saved, made = service.replace(self._tenant, document, None)
        changed = _SECRET in row["fields"] and stored is not None and made is None
        if changed and saved.secret_id is not None:
            given.rotate(saved.secret_id, services.clock() + OVERLAP)


def _document(wanted: NotificationRequest) -> dict[str, Any]:
    return {name: value for name, value in wanted.to_json().items() if value is not None}


def _newest(stage: Stage, settings: NotificationSettings) -> str | None:
    try:
        return stage.services.webhook_secrets.keys(settings.secret_id or "", stage.services.clock())[0]
    except NotFound:
        return None
