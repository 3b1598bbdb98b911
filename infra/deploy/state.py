"""Traces of a deployment in the account: a record in Parameter Store, and a lock in the coordination table.

The record is a note, not the truth: adoption.py finds every resource by its name. Without the record, a deployment
updates what it would otherwise have left alone.
"""

import json
import os
import socket
import time
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.account import Account, absent, code
from infra.deploy.stage import Refused, Stage

HOLD = 900
"""Seconds until a lock ends by itself. Each step renews it."""
_LOCK = "deploy-lock"


def name_of_record(prefix: str) -> str:
    """Return the name of the parameter of the stage whose tables and queues begin with ``prefix``."""
    return f"/{prefix}/deployment"


def recorded(client: Any, name: str) -> dict[str, str]:
    """Read a record with a client of Systems Manager. Without one, or with one that is no object, it is empty."""
    try:
        value = client.get_parameter(Name=name)["Parameter"]["Value"]
    except ClientError as error:
        if code(error) != "ParameterNotFound":
            raise
        return {}
    with suppress(ValueError):
        found = json.loads(value)
        if isinstance(found, dict):
            return {str(key): str(each) for key, each in found.items()}
    return {}


class Record:
    """The stage's record: the REST API's id, the fingerprint of the last complete deployment, its release and time."""

    def __init__(self, stage: Stage, aws: Account) -> None:
        self._client = aws.client("ssm")
        self.name = name_of_record(stage.prefix)
        self._tags = [{"Key": key, "Value": value} for key, value in stage.tags.items()]

    def read(self) -> dict[str, str]:
        return recorded(self._client, self.name)

    def write(self, content: dict[str, str]) -> None:
        value = json.dumps(content, sort_keys=True)
        self._client.put_parameter(Name=self.name, Value=value, Type="String", Overwrite=True)
        self._client.add_tags_to_resource(ResourceType="Parameter", ResourceId=self.name, Tags=self._tags)

    def remove(self) -> None:
        with absent("ParameterNotFound"):
            self._client.delete_parameter(Name=self.name)


class Lock:
    """Keeps two deployments of a stage apart, for ``HOLD`` seconds at most if one of them is killed."""

    def __init__(self, stage: Stage, aws: Account) -> None:
        self._client = aws.client("dynamodb")
        self._table = f"{stage.prefix}-coordination"
        self._stage = stage
        self._caller = aws.caller
        self._host, self._process = socket.gethostname(), os.getpid()
        self.held = False

    def hold(self) -> None:
        """Take or renew the lock. Raises Refused while another deployment runs."""
        now = int(time.time())
        own = {":host": {"S": self._host}, ":now": {"N": str(now)}, ":process": {"N": str(self._process)}}
        item = {
            "id": {"S": _LOCK},
            "host": own[":host"],
            "process": own[":process"],
            "caller": {"S": self._caller},
            "until": {"N": str(now + HOLD)},
            "expires": {"N": str(now + 2 * HOLD)},
        }
        names = {"#until": "until", "#host": "host", "#process": "process"}
        free = "attribute_not_exists(id) OR #until <= :now OR (#host = :host AND #process = :process)"
        for _ in range(2):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=free,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=own,
                )
            except ClientError as error:
                if code(error) != "ConditionalCheckFailedException":
                    raise
                # A killed deployment of this machine need not be waited for.
                own[":process"] = self._dead_holder()
                continue
            self.held = True
            return
        raise Refused(f"Another deployment of stage {self._stage.name} has just begun.")

    def _dead_holder(self) -> dict[str, str]:
        answer = self._client.get_item(TableName=self._table, Key={"id": {"S": _LOCK}}, ConsistentRead=True)
        item: dict[str, Any] = answer.get("Item", {})
        if item.get("host", {}).get("S") == self._host and not _runs(int(item["process"]["N"])):
            return {"N": str(item["process"]["N"])}
        until = time.strftime("%H:%M:%S", time.gmtime(int(item.get("until", {}).get("N", "0"))))
        caller, host = (item.get(name, {}).get("S", "unknown") for name in ("caller", "host"))
        raise Refused(
            f"Stage {self._stage.name} is being deployed by {caller} on {host}. Wait for it; if it was killed, "
            f"its lock ends at {until} UTC."
        )

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self.held:
            self.held = False
            with absent("ConditionalCheckFailedException", "ResourceNotFoundException"):
                self._client.delete_item(
                    TableName=self._table,
                    Key={"id": {"S": _LOCK}},
                    ConditionExpression="#host = :host AND #process = :process",
                    ExpressionAttributeNames={"#host": "host", "#process": "process"},
                    ExpressionAttributeValues={
                        ":host": {"S": self._host},
                        ":process": {"N": str(self._process)},
                    },
                )


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
