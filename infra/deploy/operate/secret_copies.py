"""Copies of secrets for a backup, and their restoration under the versions that the records name."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.adapters.aws.secrets import label_of
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import Stage

_MISSING = "ResourceNotFoundException"
_DELETED = "InvalidRequestException"
_AS_KEYS = "as-keys"
_TRIES = 12
_PAUSE = 5.0


class SecretCopies:
    """Reads and restores the secrets of one stage. Names are relative to the stage's SECRET_PREFIX."""

    def __init__(self, stage: Stage, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = stage.services.secretsmanager
        self._store = stage.services.secret_store
        self._prefix = stage.settings.secret_prefix
        self._sleep = sleep

    def read(self, name: str, version: str) -> str | None:
        """Return a version's text, None when the version or the secret is gone."""
        with translated("Secrets Manager"):
            try:
                return self._client.get_secret_value(SecretId=self._full(name), VersionId=version)["SecretString"]
            except ClientError as error:
                if error_code(error) in {_MISSING, _DELETED}:
                    return None
                raise

    def current(self, name: str) -> tuple[str, str] | None:
        """Return the newest version of a secret and its text, None when the secret is gone."""
        with translated("Secrets Manager"):
            try:
                answer = self._client.get_secret_value(SecretId=self._full(name))
            except ClientError as error:
                if error_code(error) in {_MISSING, _DELETED}:
                    return None
                raise
        return answer["VersionId"], answer["SecretString"]

    def as_keys(self, tenant: str, connection_id: str) -> list[str]:
        """Return the AS keys that the connection's downlinks brought."""
        name = f"{tenant}/{connection_id}/{_AS_KEYS}"
        return [key for version in self._versions(name) if (key := self.read(name, version)) is not None]

    def relative(self, secret_id: str) -> str:
        """Return the name of a secret without the prefix. Raises OperateFailed when it has another."""
        if not secret_id.startswith(f"{self._prefix}/"):
            raise OperateFailed(f"The secret {secret_id} does not begin with {self._prefix}/. Check SECRET_PREFIX.")
        return secret_id.removeprefix(f"{self._prefix}/")

    def _versions(self, name: str) -> Iterator[str]:
        if not self._exists(name):
            return
        # AS keys without a label are readable, and queued downlinks may name them.
        parameters: dict[str, Any] = {"SecretId": self._full(name), "IncludeDeprecated": True}
        while True:
            with translated("Secrets Manager"):
                answer = self._client.list_secret_version_ids(**parameters)
            yield from (version["VersionId"] for version in answer["Versions"])
            if not answer.get("NextToken"):
                return
            parameters["NextToken"] = answer["NextToken"]

    def _exists(self, name: str) -> bool:
        with translated("Secrets Manager"):
            try:
                return "DeletedDate" not in self._client.describe_secret(SecretId=self._full(name))
            except ClientError as error:
                if error_code(error) == _MISSING:
                    return False
                raise

    def restore(self, name: str, version: str, text: str, *, labelled: bool) -> bool:
        """Make a version exist with its text; return whether it was missing.

        ``labelled``: give it the label that keeps a connection's version. Other secrets have one version only.
        """
        stages = [label_of(version), "AWSCURRENT"] if labelled else ["AWSCURRENT"]
        if self.read(name, version) is not None:
            self._label(name, version, stages[0])
            return False
        for attempt in range(_TRIES):
            with translated("Secrets Manager"):
                try:
                    self._create(name)
                    self._client.put_secret_value(
                        SecretId=self._full(name), ClientRequestToken=version, SecretString=text, VersionStages=stages
                    )
                except ClientError as error:
                    # A secret that was just deleted blocks its name for some seconds.
                    if error_code(error) not in {_MISSING, _DELETED} or attempt == _TRIES - 1:
                        raise
                else:
                    return True
            self._sleep(_PAUSE)
        raise AssertionError

    def restore_as_keys(self, tenant: str, connection_id: str, keys: list[str]) -> None:
        """Store AS keys under the names that queued downlinks have; a stored one stays."""
        for key in keys:
            self._store.put_as_key(tenant, connection_id, key)

    def _create(self, name: str) -> None:
        try:
            self._client.create_secret(Name=self._full(name))
        except ClientError as error:
            if error_code(error) == "ResourceExistsException":
                return
            if error_code(error) != _DELETED:
                raise
            # An operator deleted it with a recovery window.
            self._client.restore_secret(SecretId=self._full(name))

    def _label(self, name: str, version: str, label: str) -> None:
        """Give a version its label again if a change has taken it; else Secrets Manager may delete the version."""
        with translated("Secrets Manager"):
            stages = self._client.describe_secret(SecretId=self._full(name)).get("VersionIdsToStages", {})
            if label not in stages.get(version, []):
                self._client.update_secret_version_stage(
                    SecretId=self._full(name), VersionStage=label, MoveToVersionId=version
                )

    def _full(self, name: str) -> str:
        return f"{self._prefix}/{name}"
