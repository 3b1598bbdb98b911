"""Application servers in DynamoDB, their keys in Secrets Manager (``ports.ApplicationServerStore``)."""

import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.adapters.aws.dynamodb import from_item, query, to_item
from chalicelib.domain.application_server import ApplicationServer
from chalicelib.errors import Conflict, NotFound
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient

_CACHED = 512
_LONGEST_NAME = 255
_CONDITION_FAILED = "ConditionalCheckFailedException"


class DynamoDbApplicationServers:
    """The items' keys are ``asId`` and ``tenant``. A key is a secret of a name that is never used again,
    ``<prefix>/<tenant>/application-servers/<ULID>``, so it can be cached for as long as the process lives."""

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

    def put(self, tenant: str, as_id: str, as_key: str) -> ApplicationServer:
        """Raises Conflict when the tenant has it already: a key is changed by delete and put."""
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
                    # The write may have succeeded, so the key must stay.
                    raise
                self._delete_secret(secret_id)
                raise Conflict(f"application server {as_id} exists; delete it first to change its key") from error
        return server

    def of_tenant(self, tenant: str) -> list[ApplicationServer]:
        """By asId."""
        items = query(
            self._dynamodb,
            TableName=self._table,
            IndexName="tenants",
            KeyConditionExpression="tenant = :tenant",
            ExpressionAttributeValues=to_item({":tenant": tenant}),
        )
        return [_from_item(item) for item in items]

    def delete(self, tenant: str, as_id: str) -> None:
        """Raises NotFound. The key goes first: a delete that was cut off can be repeated."""
        if not _possible(as_id):
            raise NotFound("no application server has such a name")
        key = to_item({"asId": as_id, "tenant": tenant})
        with translated("DynamoDB"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        if "Item" not in answer:
            raise NotFound(f"application server {as_id} does not exist")
        server = _from_item(from_item(answer["Item"]))
        self._delete_secret(server.secret_id)
        with translated("DynamoDB"):
            try:
                self._dynamodb.delete_item(
                    TableName=self._table,
                    Key=key,
                    ConditionExpression="secretId = :secret",
                    ExpressionAttributeValues=to_item({":secret": server.secret_id}),
                )
            except ClientError as error:
                # Another request deleted it, and may have created it again with another key.
                if error_code(error) != _CONDITION_FAILED:
                    raise

    def keys(self, as_id: str) -> list[tuple[str, str]]:
        """(tenant, AS key) of every tenant that has this application server; one being deleted is left out."""
        if not _possible(as_id):
            return []
        items = query(
            self._dynamodb,
            TableName=self._table,
            KeyConditionExpression="asId = :asId",
            ExpressionAttributeValues=to_item({":asId": as_id}),
            ConsistentRead=True,
        )
        found = ((item["tenant"], self._key(item["secretId"])) for item in items)
        return [(tenant, key) for tenant, key in found if key is not None]

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


def _possible(as_id: str) -> bool:
    # DynamoDB calls other keys an error; they come from a URL.
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


def _from_item(item: dict[str, Any]) -> ApplicationServer:
    return ApplicationServer(
        tenant=item["tenant"],
        as_id=item["asId"],
        secret_id=item["secretId"],
        secret_version=item["secretVersion"],
        created_at=item["createdAt"],
    )
