"""The webhooks' secrets in Secrets Manager (``ports.notifications.WebhookSecrets``)."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.domain.notifications.signature import new_secret
from chalicelib.errors import NotFound
from chalicelib.kernel.ids import new_id
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

_MISSING = {"ResourceNotFoundException", "InvalidRequestException"}
"""Errors for a secret that does not exist, or that is being deleted."""


class SecretsManagerWebhookSecrets:
    """One secret for each tenant with a webhook: ``<prefix>/<tenant>/notifications/<ULID>``.

    Its text is ``{"secrets": [{"secret", "until"}]}``, the newest first; ``until`` (Unix seconds) is null for the
    newest. A name is never reused, so that a deletion without recovery cannot meet a creation. ``make`` returns a new
    secret.
    """

    def __init__(
        self, client: "SecretsManagerClient", prefix: str, clock: Clock, make: Callable[[], str] = new_secret
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._make = make

    def create(self, tenant: str) -> tuple[str, str]:
        name, secret = f"{self._prefix}/{tenant}/notifications/{new_id(self._clock())}", self._make()
        with translated("Secrets Manager"):
            self._client.create_secret(Name=name, SecretString=_text([{"secret": secret, "until": None}]))
        return name, secret

    def rotate(self, name: str, until: float) -> str:
        now, secret = self._clock(), self._make()
        kept = [
            {"secret": each["secret"], "until": until if each["until"] is None else min(each["until"], until)}
            for each in self._read(name)
            if each["until"] is None or each["until"] > now
        ]
        with translated("Secrets Manager"):
            # Two secrets at once are enough for a rotation; a repeated one ends the first.
            text = _text([{"secret": secret, "until": None}, *kept[:1]])
            self._client.put_secret_value(SecretId=name, SecretString=text)
        return secret

    def keys(self, name: str, now: float) -> list[str]:
        return [each["secret"] for each in self._read(name) if each["until"] is None or each["until"] > now]

    def delete(self, name: str) -> None:
        with translated("Secrets Manager"):
            try:
                self._client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
            except ClientError as error:
                if error_code(error) not in _MISSING:
                    raise

    def _read(self, name: str) -> list[dict[str, Any]]:
        with translated("Secrets Manager"):
            try:
                text = self._client.get_secret_value(SecretId=name)["SecretString"]
            except ClientError as error:
                if error_code(error) in _MISSING:
                    raise NotFound("the secret of the webhook is gone") from error
                raise
        secrets: list[dict[str, Any]] = json.loads(text)["secrets"]
        return secrets


def _text(secrets: list[dict[str, Any]]) -> str:
    return json.dumps({"secrets": secrets})
