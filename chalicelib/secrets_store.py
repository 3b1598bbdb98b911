"""The connections' secrets in Secrets Manager (``ports.SecretStore``)."""

import json
import uuid
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from botocore.exceptions import ClientError

from chalicelib.aws import error_code, translated
from chalicelib.errors import Fault, InvalidRequest, NotFound
from chalicelib.models import ConnectionSecrets

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

K = TypeVar("K")
V = TypeVar("V")

_MISSING = "ResourceNotFoundException"
_CACHED = 128
_MAX_BYTES = 65536
"""What Secrets Manager takes."""


class BoundedCache(Generic[K, V]):
    """The values used last, at most ``size`` of them; for what never changes under its key."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        with self._lock:
            self._values.pop(key, None)


class SecretsManagerSecrets:
    """One secret a connection, ``<prefix>/<tenant>/<connection id>``. Each version has a staging label of its own,
    ``v-<version id>``, which keeps it alive until ``drop_version``: a write that loses a race spoils nothing."""

    def __init__(self, client: "SecretsManagerClient", prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._cache: BoundedCache[tuple[str, str, str], ConnectionSecrets] = BoundedCache(_CACHED)

    def put(self, tenant: str, connection_id: str, secrets: ConnectionSecrets) -> str:
        """Stores a new version and returns its id. Raises InvalidRequest when all together is too large."""
        text = json.dumps(secrets.model_dump(by_alias=True, exclude_none=True), ensure_ascii=False)
        if len(text.encode()) > _MAX_BYTES:
            detail = "its certificates, key and passwords together exceed 64 KB; leave out certificates not needed"
            raise InvalidRequest([Fault("/configuration", detail)])
        name, version = self._name(tenant, connection_id), str(uuid.uuid4())
        with translated("Secrets Manager"):
            try:
                self._put(name, version, text)
            except ClientError as error:
                if error_code(error) != _MISSING:
                    raise
                self._make(name)
                self._put(name, version, text)
        self._cache.put((tenant, connection_id, version), secrets)
        return version

    def get(self, tenant: str, connection_id: str, version: str) -> ConnectionSecrets:
        """Raises NotFound when the version or the secret is gone."""
        key = (tenant, connection_id, version)
        if (cached := self._cache.get(key)) is not None:
            return cached
        with translated("Secrets Manager"):
            try:
                answer = self._client.get_secret_value(SecretId=self._name(tenant, connection_id), VersionId=version)
            except ClientError as error:
                if error_code(error) == _MISSING:
                    raise NotFound(f"the secret of connection {connection_id} is gone") from error
                raise
        secrets = ConnectionSecrets.model_validate_json(answer["SecretString"])
        self._cache.put(key, secrets)
        return secrets

    def drop_version(self, tenant: str, connection_id: str, version: str) -> None:
        """Takes a version's labels; Secrets Manager removes it then. No error when it is gone."""
        self._cache.drop((tenant, connection_id, version))
        for label in (_label(version), "AWSPREVIOUS"):
            with translated("Secrets Manager"):
                try:
                    self._client.update_secret_version_stage(
                        SecretId=self._name(tenant, connection_id), VersionStage=label, RemoveFromVersionId=version
                    )
                except ClientError as error:
                    # It does not have this label (any more), or there is no such secret.
                    if error_code(error) not in {_MISSING, "InvalidParameterException", "InvalidRequestException"}:
                        raise

    def delete(self, tenant: str, connection_id: str) -> None:
        with translated("Secrets Manager"):
            try:
                self._client.delete_secret(SecretId=self._name(tenant, connection_id), ForceDeleteWithoutRecovery=True)
            except ClientError as error:
                if error_code(error) != _MISSING:
                    raise

    def _make(self, name: str) -> None:
        try:
            self._client.create_secret(Name=name)
        except ClientError as error:
            if error_code(error) != "ResourceExistsException":
                raise

    def _put(self, name: str, version: str, text: str) -> None:
        # AWSCURRENT as well: it cannot be taken from a version, so it must move on for an old one to go away.
        self._client.put_secret_value(
            SecretId=name, ClientRequestToken=version, SecretString=text, VersionStages=[_label(version), "AWSCURRENT"]
        )

    def _name(self, tenant: str, connection_id: str) -> str:
        return f"{self._prefix}/{tenant}/{connection_id}"


def _label(version: str) -> str:
    return f"v-{version}"
