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
"""Labels for AS keys. A secret has at most 20 labels; up to 100 versions without a label stay readable."""
_HASH_ROUNDS = 20_000
_MAX_BYTES = 65536
"""Maximum size of a secret in Secrets Manager."""


class SecretsManagerSecrets:
    """The secrets of all connections, one secret each: ``<prefix>/<tenant>/<connection id>``.

    Each version has its own staging label ``v-<version id>``, which keeps the version until ``drop_version``. A write
    that loses a race therefore overwrites nothing. Versions never change, so a process caches them.
    """

    def __init__(self, client: "SecretsManagerClient", prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._cache: BoundedCache[tuple[str, str, str], ConnectionSecrets] = BoundedCache(_CACHED)
        self._as_keys: BoundedCache[str, str] = BoundedCache(_CACHED)
        self._as_key_names: BoundedCache[tuple[str, str, str], str] = BoundedCache(_CACHED)

    def put(self, tenant: str, connection_id: str, secrets: ConnectionSecrets) -> str:
        """Store a new version and return its id. Raises InvalidRequest when the secrets exceed 64 KB in total."""
        text = json.dumps(secrets.model_dump(by_alias=True, exclude_none=True), ensure_ascii=False)
        if len(text.encode()) > _MAX_BYTES:
            detail = "The certificates, key and passwords together exceed 64 KB; remove unneeded certificates."
            raise InvalidRequest([Violation("/configuration", detail)])
        name, version = self._name(tenant, connection_id), str(uuid.uuid4())
        # AWSCURRENT can only move to another version. It moves here, so that the old version can be dropped.
        self._put(name, version, text, [label_of(version), "AWSCURRENT"])
        self._cache.put((tenant, connection_id, version), secrets)
        return version

    def get(self, tenant: str, connection_id: str, version: str) -> ConnectionSecrets:
        """Return a version. Raises NotFound when the version or the secret is gone."""
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
        """Remove a version's labels, so that Secrets Manager deletes the version. Ignored when it is gone."""
        self._cache.drop((tenant, connection_id, version))
        for label in (label_of(version), "AWSPREVIOUS"):
            with translated("Secrets Manager"):
                try:
                    self._client.update_secret_version_stage(
                        SecretId=self._name(tenant, connection_id), VersionStage=label, RemoveFromVersionId=version
                    )
                except ClientError as error:
                    # The version does not have this label, or the secret does not exist.
                    if error_code(error) not in {_MISSING, "InvalidParameterException", "InvalidRequestException"}:
                        raise

    def delete(self, tenant: str, connection_id: str) -> None:
        """Delete all versions and the AS keys of downlinks, without recovery. Ignored when none exist."""
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

        The AS keys of a connection are versions of one secret, and the version id is derived from the key. A repeated
        key therefore adds no version, and many keys cost one secret only.
        """
        cached = (tenant, connection_id, as_key)
        if (name := self._as_key_names.get(cached)) is not None:
            return name
        # A slow hash, because the name is sent through a queue and must not let a reader guess short keys.
        salt = f"{tenant}/{connection_id}".encode()
        digest = hashlib.pbkdf2_hmac("sha256", as_key.encode(), salt, _HASH_ROUNDS).hex()
        label = f"key-{int(digest[:4], 16) % _AS_KEY_LABELS}"
        self._put(f"{self._name(tenant, connection_id)}/{_AS_KEYS}", digest, as_key, [label])
        name = f"{tenant}/{connection_id}/{digest}"
        self._as_key_names.put(cached, name)
        self._as_keys.put(name, as_key)
        return name

    def get_as_key(self, name: str) -> str:
        """Return a downlink's AS key. Raises NotFound when the connection was deleted."""
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
                self._create_secret(name)
                self._put_value(name, version, text, labels)

    def _put_value(self, name: str, version: str, text: str, labels: Sequence[str]) -> None:
        self._client.put_secret_value(
            SecretId=name, ClientRequestToken=version, SecretString=text, VersionStages=list(labels)
        )

    def _create_secret(self, name: str) -> None:
        try:
            self._client.create_secret(Name=name)
        except ClientError as error:
            if error_code(error) != "ResourceExistsException":
                raise

    def _name(self, tenant: str, connection_id: str) -> str:
        return f"{self._prefix}/{tenant}/{connection_id}"


def label_of(version: str) -> str:
    """Return the staging label that keeps a version of a connection's secret."""
    return f"v-{version}"
