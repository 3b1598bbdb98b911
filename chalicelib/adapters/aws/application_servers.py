"""Application servers in DynamoDB, their keys in Secrets Manager (``ports.ApplicationServerStore``)."""

import hmac
import math
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.adapters.aws.dynamodb import from_item, query, to_item
from chalicelib.adapters.aws.readable import readable
from chalicelib.domain.application_server import ApplicationServer
from chalicelib.errors import Conflict, NotFound
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import log
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient

_CACHED = 512
_RECENT = 5.0
"""Seconds for which a process accepts the keys of an AS_ID without reading them again."""
_LONGEST_NAME = 255
_KEYS = ("asId", "tenant")
_CONDITION_FAILED = "ConditionalCheckFailedException"


class DynamoDbApplicationServers:
    """The application servers of all tenants.

    The keys of an item are ``asId`` and ``tenant``. Each AS key is a secret with a name that is never reused,
    ``<prefix>/<tenant>/application-servers/<ULID>``, so a process may cache the key without expiry.
    """

    def __init__(
        self,
        dynamodb: "DynamoDBClient",
        table: str,
        secretsmanager: "SecretsManagerClient",
        secret_prefix: str,
        clock: Clock,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._secretsmanager = secretsmanager
        self._secret_prefix = secret_prefix
        self._clock = clock
        self._keys: BoundedCache[str, str] = BoundedCache(_CACHED)
        self._recent: BoundedCache[str, tuple[float, list[tuple[str, str]]]] = BoundedCache(_CACHED)

    def put(self, tenant: str, as_id: str, as_key: str) -> ApplicationServer:
        """Register an application server.

        Raises Conflict when it exists (to change its key, delete it first), and when another tenant registered the
        asId with this key, because reports that are signed with it could belong to either tenant.
        """
        self._check_unused(tenant, as_id, as_key)
        now = self._clock()
        secret_id = f"{self._secret_prefix}/{tenant}/application-servers/{new_id(now)}"
        version = str(uuid.uuid4())
        with translated("Secrets Manager"):
            self._secretsmanager.create_secret(Name=secret_id, SecretString=as_key, ClientRequestToken=version)
        server = ApplicationServer(
            tenant=tenant, as_id=as_id, secret_id=secret_id, secret_version=version, created_at=iso_time(now)
        )
        with translated("DynamoDB"):
            try:
                self._dynamodb.put_item(
                    TableName=self._table, Item=_to_item(server), ConditionExpression="attribute_not_exists(asId)"
                )
            except ClientError as error:
                if error_code(error) != _CONDITION_FAILED:
                    # The item may have been written, so its key must stay.
                    raise
                self._delete_secret(secret_id)
                raise Conflict(
                    f"The application server {as_id} exists already. To change its key, delete it first."
                ) from error
        try:
            # Another tenant may have registered it meanwhile: the last writer reads both.
            self._check_unused(tenant, as_id, as_key)
        except Conflict:
            self.delete(tenant, as_id)
            raise
        return server

    def _check_unused(self, tenant: str, as_id: str, as_key: str) -> None:
        """Check that no other tenant has this asId with this key. Raises Conflict, which names no tenant."""
        # The keys are read from Secrets Manager, because a hash in the table would help to guess them.
        for owner, key in self.keys(as_id):
            if owner != tenant and hmac.compare_digest(key.encode(), as_key.encode()):
                raise Conflict(f"The application server {as_id} is in use with this key already. Use another key.")

    def of_tenant(self, tenant: str) -> list[ApplicationServer]:
        """Return the tenant's application servers in the order of their asIds."""
        items = query(
            self._dynamodb,
            TableName=self._table,
            IndexName="tenants",
            KeyConditionExpression="tenant = :tenant",
            ExpressionAttributeValues=to_item({":tenant": tenant}),
        )
        return list(readable(items, _from_item, *_KEYS))

    def delete(self, tenant: str, as_id: str) -> None:
        """Delete an application server, its key first, so that an interrupted delete can be repeated.

        Raises NotFound.
        """
        if not _is_valid_key(as_id):
            raise NotFound(f"The application server does not exist. An asId has 1 to {_LONGEST_NAME} characters.")
        key = to_item({"asId": as_id, "tenant": tenant})
        with translated("DynamoDB"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        if "Item" not in answer:
            raise NotFound(f"The application server {as_id} does not exist. Check the asId.")
        secret_id = from_item(answer["Item"]).get("secretId")
        if not isinstance(secret_id, str):
            log.error("unreadable record deleted", extra={"asId": as_id, "tenant": tenant})
            with translated("DynamoDB"):
                self._dynamodb.delete_item(TableName=self._table, Key=key)
            return
        self._delete_secret(secret_id)
        self._recent.drop(as_id)
        with translated("DynamoDB"):
            try:
                self._dynamodb.delete_item(
                    TableName=self._table,
                    Key=key,
                    ConditionExpression="secretId = :secret",
                    ExpressionAttributeValues=to_item({":secret": secret_id}),
                )
            except ClientError as error:
                # Another caller deleted it meanwhile, and perhaps registered it again with another key.
                if error_code(error) != _CONDITION_FAILED:
                    raise

    def keys(self, as_id: str) -> list[tuple[str, str]]:
        """Return (tenant, AS key) of every tenant with this application server, except where it is being deleted."""
        if not _is_valid_key(as_id):
            return []
        items = query(
            self._dynamodb,
            TableName=self._table,
            KeyConditionExpression="asId = :asId",
            ExpressionAttributeValues=to_item({":asId": as_id}),
            ConsistentRead=True,
        )
        found = ((tenant, self._key(secret_id)) for tenant, secret_id in readable(items, _secret_of, *_KEYS))
        keys = [(tenant, key) for tenant, key in found if key is not None]
        self._recent.put(as_id, (self._clock(), keys))
        return keys

    def recent_keys(self, as_id: str) -> list[tuple[str, str]]:
        """Return the keys of a read of the last seconds, which saves most reads of a busy process."""
        at, keys = self._recent.get(as_id) or (-math.inf, [])
        return keys if 0 <= self._clock() - at < _RECENT else []

    def _key(self, secret_id: str) -> str | None:
        key = self._keys.get(secret_id)
        if key is None:
            with translated("Secrets Manager"):
                try:
                    key = self._secretsmanager.get_secret_value(SecretId=secret_id)["SecretString"]
                except ClientError as error:
                    if error_code(error) == "ResourceNotFoundException":
                        return None
                    raise
            self._keys.put(secret_id, key)
        return key

    def _delete_secret(self, secret_id: str) -> None:
        self._keys.drop(secret_id)
        with translated("Secrets Manager"):
            try:
                self._secretsmanager.delete_secret(SecretId=secret_id, ForceDeleteWithoutRecovery=True)
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise


def _is_valid_key(as_id: str) -> bool:
    # DynamoDB rejects other keys with an error, and as_id may come from a URL.
    return 0 < len(as_id) <= _LONGEST_NAME


def _to_item(server: ApplicationServer) -> dict[str, Any]:
    return to_item(
        {
            "asId": server.as_id,
            "tenant": server.tenant,
            "secretId": server.secret_id,
            "secretVersion": server.secret_version,
            "createdAt": server.created_at,
        }
    )


def _secret_of(item: Mapping[str, Any]) -> tuple[str, str]:
    secret_id = item["secretId"]
    if not isinstance(secret_id, str):
        raise TypeError("the name of the secret is no text")
    return item["tenant"], secret_id


def _from_item(item: Mapping[str, Any]) -> ApplicationServer:
    return ApplicationServer(
        tenant=item["tenant"],
        as_id=item["asId"],
        secret_id=item["secretId"],
        secret_version=item["secretVersion"],
        created_at=item["createdAt"],
    )
