"""``orphans``: connections' queues, secrets and REST APIs that nothing refers to."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.adapters.aws.dynamodb import from_item
from infra.deploy.operate import output
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.notifications.copies import secret_names
from infra.deploy.operate.stage import Stage
from infra.deploy.operate.tables import owners, scan_table
from infra.deploy.state import name_of_record, recorded

YOUNG = 3600.0
"""Seconds for which something without an owner may belong to a creation that is under way."""
_COLUMNS = ("kind", "name", "age", "content", "action")
_APPLICATION_SERVERS, _NOTIFICATIONS = "application-servers", "notifications"
_ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
_OWN_SECRET = re.compile(
    rf"[\w-]{{1,64}}/({_ULID}(/as-keys)?|({_APPLICATION_SERVERS}|{_NOTIFICATIONS})/{_ULID})", re.ASCII
)
"""Names of the product's secrets after the SECRET_PREFIX."""


@dataclass(frozen=True)
class Orphan:
    """Something without an owner. ``identifier`` is for the call that removes it; ``created`` is in Unix seconds."""

    kind: str
    name: str
    identifier: str
    created: float
    content: str = ""


def find_orphans(stage: Stage, arguments: argparse.Namespace) -> int:
    """List what nothing refers to, and remove what is older than an hour if that is wanted.

    Return 1 when something was found and stays.
    """
    now = stage.services.clock()
    found = _Search(stage)
    orphans = [*found.queues(), *found.secrets(), *found.apis()]
    old = [each for each in orphans if now - each.created >= YOUNG]
    if arguments.remove and old:
        if not found.owners and not arguments.all:
            raise OperateFailed(
                "No connection exists, so every queue and secret of the stage looks like an orphan. If its table was "
                "lost, restore it first. Give --all to remove them nevertheless."
            )
        output.confirm(f"Remove {len(old)} orphans of the stage {stage.name}, with what they contain?", arguments.yes)
        for each in old:
            _remove(stage, each)
    rows = [
        {
            "kind": each.kind,
            "name": each.name,
            "age": now - each.created,
            "content": each.content or None,
            "action": "removed" if arguments.remove and each in old else "orphan" if each in old else "young",
        }
        for each in orphans
    ]
    if arguments.json:
        output.show_json(rows)
    else:
        output.show_table(_COLUMNS, [row | {"age": output.age(float(str(row["age"])))} for row in rows])
    return 1 if any(row["action"] == "orphan" for row in rows) else 0


class _Search:
    """The search of one stage. ``owners`` has (tenant, id) of each connection, unfinished ones included."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._services = stage.services
        self.owners = owners(stage, stage.settings.table("connections"))

    def queues(self) -> Iterator[Orphan]:
        """Yield queues of connections that do not exist."""
        prefix = self._stage.settings.queue("uplinks-")
        ids = {connection_id for _, connection_id in self.owners}
        for page in self._services.sqs.get_paginator("list_queues").paginate(
            QueueNamePrefix=prefix, PaginationConfig={"PageSize": 1000}
        ):
            for url in page.get("QueueUrls", []):
                name = url.rsplit("/", 1)[1]
                if name.removeprefix(prefix).removesuffix(".fifo") not in ids:
                    yield from self._queue(url, name)

    def _queue(self, url: str, name: str) -> Iterator[Orphan]:
        try:
            has = self._services.sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=["CreatedTimestamp", "ApproximateNumberOfMessages"]
            )["Attributes"]
        except ClientError as error:
            if "NonExistentQueue" in error_code(error) or "QueueDoesNotExist" in error_code(error):
                return  # deleted meanwhile; SQS lists a deleted queue for a minute
            raise
        content = f"{has['ApproximateNumberOfMessages']} reports"
        yield Orphan("queue", name, url, float(has["CreatedTimestamp"]), content)

    def secrets(self) -> Iterator[Orphan]:
        """Yield secrets that no connection, application server or notifications have, of any stage of the account.

        The tables of all stages count, because stages may share a SECRET_PREFIX.
        """
        prefix = f"{self._stage.settings.secret_prefix}/"
        owned = self._owned_secrets(prefix)
        pages = self._services.secretsmanager.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "name", "Values": [prefix]}]
        )
        for page in pages:
            for secret in page["SecretList"]:
                name = secret["Name"]
                # The filter ignores case, and another product's names may begin alike.
                ours = name.startswith(prefix) and _OWN_SECRET.fullmatch(name.removeprefix(prefix))
                if ours and name.removesuffix("/as-keys") not in owned:
                    yield Orphan("secret", name, secret["ARN"], secret["CreatedDate"].timestamp())

    def _owned_secrets(self, prefix: str) -> set[str]:
        owned: set[str] = set()
        for page in self._services.dynamodb.get_paginator("list_tables").paginate():
            for table in page["TableNames"]:
                if table.startswith("iot-flow-") and table.endswith("-connections"):
                    owned |= {f"{prefix}{tenant}/{name}" for tenant, name in owners(self._stage, table)}
                elif table.startswith("iot-flow-") and table.endswith(f"-{_APPLICATION_SERVERS}"):
                    owned |= {from_item(item)["secretId"] for item in scan_table(self._stage, table)}
                elif table.startswith("iot-flow-") and table.endswith(f"-{_NOTIFICATIONS}"):
                    owned |= secret_names(scan_table(self._stage, table))
        return owned

    def apis(self) -> Iterator[Orphan]:
        """Yield REST APIs that call this stage's function, except the one that the record of the deployment names.

        Without a record, or if its API is gone, an API is an orphan only if the function does not exist.
        """
        gateway = self._stage.client("apigateway")
        names = {self._stage.app_name, self._stage.function_prefix}
        found = {
            api["id"]: api
            for page in gateway.get_paginator("get_rest_apis").paginate()
            for api in page["items"]
            if api["name"] in names and self._calls_this_stage(gateway, api["id"])
        }
        if not found:
            return
        deployed = recorded(self._stage.client("ssm"), name_of_record(self._stage.settings.resource_prefix))
        kept = found.pop(deployed.get("restApi", ""), None)
        if kept is None and self._function_exists():
            if len(found) > 1:
                output.note(
                    f"REST APIs {', '.join(found)} call the same function, and no record names the right one: deploy."
                )
            return
        for api in found.values():
            yield Orphan("REST API", f"{api['name']} ({api['id']})", api["id"], api["createdDate"].timestamp())

    def _calls_this_stage(self, gateway: Any, api: str) -> bool:
        for page in gateway.get_paginator("get_resources").paginate(restApiId=api, embed=["methods"]):
            for resource in page["items"]:
                for verb in resource.get("resourceMethods", {}):
                    method = gateway.get_method(restApiId=api, resourceId=resource["id"], httpMethod=verb)
                    uri = method.get("methodIntegration", {}).get("uri", "")
                    if ":function:" in uri:
                        return str(uri.split(":function:")[1].split("/")[0]) == self._stage.function_prefix
        return False

    def _function_exists(self) -> bool:
        functions = self._stage.client("lambda")
        try:
            functions.get_function_configuration(FunctionName=self._stage.function_prefix)
        except functions.exceptions.ResourceNotFoundException:
            return False
        return True


def _remove(stage: Stage, orphan: Orphan) -> None:
    services = stage.services
    with translated("AWS"):
        match orphan.kind:
            case "queue":
                services.sqs.delete_queue(QueueUrl=orphan.identifier)
            case "secret":
                # With AWS's recovery window: an operator's mistake must not cost a customer's key.
                services.secretsmanager.delete_secret(SecretId=orphan.identifier, RecoveryWindowInDays=7)
            case _:
                stage.client("apigateway").delete_rest_api(restApiId=orphan.identifier)
