"""The connections' secrets in Secrets Manager (``ports.SecretStore``)."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.errors import InvalidRequest, NotFound, Violation
from chalicelib.kernel.bounded_cache import BoundedCache

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

_MISSING = "ResourceNotFoundException"
_CACHED = 128
_AS_KEYS = "as-keys"
_AS_KEY_LABELS = 16
"""A secret has 20 labels at most. A version that lost its label to another stays readable until there are 100."""
_HASH_ROUNDS = 20_000
_MAX_BYTES = 65536
"""What Secrets Manager takes."""


class SecretsManagerSecrets:
    """Secrets of connections: one secret ``<prefix>/<tenant>/<connection id>`` for each.

    Each version has its own staging label ``v-<version id>``, which keeps it alive until ``drop_version``: a write that
    loses a race overwrites nothing.
    """

    def __init__(self, client: "SecretsManagerClient", prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._cache: BoundedCache[tuple[str, str, str], ConnectionSecrets] = BoundedCache(_CACHED)
        self._as_keys: BoundedCache[str, str] = BoundedCache(_CACHED)
        self._as_key_names: BoundedCache[tuple[str, str, str], str] = BoundedCache(_CACHED)

    def put(self, tenant: str, connection_id: str, secrets: ConnectionSecrets) -> str:
        """Stores a new version and returns its id. Raises InvalidRequest when all together is too large."""
        text = json.dumps(secrets.model_dump(by_alias=True, exclude_none=True), ensure_ascii=False)
        if len(text.encode()) > _MAX_BYTES:
            detail = "The certificates, key and passwords together exceed 64 KB; leave out what is not needed."
            raise InvalidRequest([Violation("/configuration", detail)])
        name, version = self._name(tenant, connection_id), str(uuid.uuid4())
        # AWSCURRENT as well: it cannot be taken from a version, so it must move on for an old one to go away.
        self._put(name, version, text, [_label(version), "AWSCURRENT"])
        self._cache.put((tenant, connection_id, version), secrets)
        return version

    def get(self, tenant: str, connection_id: str, version: str) -> ConnectionSecrets:
        """Raises NotFound when the version or the secret is gone."""
        key = (tenant, connection_id, version)
        if (cached := self._cache.get(key)) is not None:
            return cached
        text = self._read(self._name(tenant, connection_id), version)
        secrets = ConnectionSecrets.model_validate_json(text)
        self._cache.put(key, secrets)
        return secrets

    def of(self, connection: Connection) -> ConnectionSecrets:
        """Return the connection's secrets, empty ones if it has none. Raises NotFound when the version is gone."""
        if connection.secret_version is None:
            return ConnectionSecrets()
        return self.get(connection.tenant, connection.id, connection.secret_version)

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
                    # The version has lost this label, or the secret does not exist.
                    if error_code(error) not in {_MISSING, "InvalidParameterException", "InvalidRequestException"}:
                        raise

    def delete(self, tenant: str, connection_id: str) -> None:
        """Delete all versions and the AS keys of the connection's downlinks, without recovery.

        Ignored when there are none.
        """
        name = self._name(tenant, connection_id)
        for secret in (name, f"{name}/{_AS_KEYS}"):
            with translated("Secrets Manager"):
                try:
                    self._client.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
                except ClientError as error:
                    if error_code(error) != _MISSING:
                        raise

    def put_as_key(self, tenant: str, connection_id: str, as_key: str) -> str:
        """Store the AS key of a downlink and return its name; equal keys have equal names.

        The keys of a connection are versions of one secret, and the key determines the version id: a repeat stores
        nothing, and many keys do not cost many secrets.
        """
        cached = (tenant, connection_id, as_key)
        if (name := self._as_key_names.get(cached)) is not None:
            return name
        # Slow on purpose: the name travels in a queue, and must not be a way to try out short keys.
        salt = f"{tenant}/{connection_id}".encode()
        digest = hashlib.pbkdf2_hmac("sha256", as_key.encode(), salt, _HASH_ROUNDS).hex()
        label = f"key-{int(digest[:4], 16) % _AS_KEY_LABELS}"
        self._put(f"{self._name(tenant, connection_id)}/{_AS_KEYS}", digest, as_key, [label])
        name = f"{tenant}/{connection_id}/{digest}"
        self._as_key_names.put(cached, name)
        self._as_keys.put(name, as_key)
        return name

    def get_as_key(self, name: str) -> str:
        """Raises NotFound when the connection was deleted."""
        if (cached := self._as_keys.get(name)) is not None:
            return cached
        tenant, connection_id, version = name.split("/")
        key = self._read(f"{self._name(tenant, connection_id)}/{_AS_KEYS}", version)
        self._as_keys.put(name, key)
        return key

    def _read(self, name: str, version: str) -> str:
        with translated("Secrets Manager"):
            try:
                return self._client.get_secret_value(SecretId=name, VersionId=version)["SecretString"]
            except ClientError as error:
                if error_code(error) == _MISSING:
                    raise NotFound("the secret is gone") from error
                raise

    def _put(self, name: str, version: str, text: str, labels: Sequence[str]) -> None:
        with translated("Secrets Manager"):
            try:
                self._put_value(name, version, text, labels)
            except ClientError as error:
                if error_code(error) != _MISSING:
                    raise
                self._make(name)
                self._put_value(name, version, text, labels)

    def _put_value(self, name: str, version: str, text: str, labels: Sequence[str]) -> None:
        self._client.put_secret_value(
            SecretId=name, ClientRequestToken=version, SecretString=text, VersionStages=list(labels)
        )

    def _make(self, name: str) -> None:
        try:
            self._client.create_secret(Name=name)
        except ClientError as error:
            if error_code(error) != "ResourceExistsException":
                raise

    def _name(self, tenant: str, connection_id: str) -> str:
        return f"{self._prefix}/{tenant}/{connection_id}"


def _label(version: str) -> str:
    return f"v-{version}"
