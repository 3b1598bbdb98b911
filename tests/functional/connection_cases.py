"""Requests and checks for the tests of the connections' API."""

from typing import Any

from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.entry.services import Services
from chalicelib.errors import Unavailable
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from tests.functional.doubles import Answer, Api

MASK = "*****"
TCP: dict[str, Any] = {
    "connectorId": "actility-amqp-0.9.1-iot",
    "name": "Actility AMQP (TCP) Connection",
    "configuration": {
        "uplinkTopicPattern": "amqp.things.{DevEUI}.uplink",
        "downlinkTopicPattern": "amqp.things.{DevEUI}.downlink",
        "hostName": "amqp.actility.com:5672",
        "protocol": "TCP",
        "username": "mycompany",
        "password": "mypassword",
        "exchangeName": "IotFlowExchange",
    },
}
UNKNOWN = "01HF7YAT00M9GG329YN3DG02SB"


def changed(document: dict[str, Any], **configuration: Any) -> dict[str, Any]:
    return document | {"configuration": document["configuration"] | configuration}


def create(api: Api, document: dict[str, Any] = TCP) -> Any:
    answer = api.call("POST", "/connections", document)
    assert answer.status == 201, answer.body
    return answer.json


def secrets_of(services: Services, connection_id: str, tenant: str = "demo") -> Any:
    record = services.connection_store.get(tenant, connection_id)
    assert record.secret_version
    return Services(services.settings).secret_store.get(tenant, connection_id, record.secret_version)


def left_behind(services: Services) -> dict[str, Any]:
    """Return all items, queues and secrets of connections in AWS."""
    table = services.settings.table("connections")
    items = services.dynamodb.scan(TableName=table)["Items"]
    queues = services.sqs.list_queues(QueueNamePrefix=services.settings.queue("uplinks-")).get("QueueUrls", [])
    secrets = services.secretsmanager.list_secrets()["SecretList"]
    return {
        "items": [item["id"]["S"] for item in items if item["id"]["S"] != "#tenant"],
        "queues": queues,
        "secrets": [secret["Name"] for secret in secrets],
    }


NOTHING: dict[str, Any] = {"items": [], "queues": [], "secrets": []}


def expect_problem(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    # A problem may quote the request, so a browser must not render it as HTML.
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json["status"] == status
    assert answer.json["title"]
    assert answer.json["type"]


class Failing:
    """A double that raises Unavailable in one method, before or after it runs the real one."""

    def __init__(self, real: Any, method: str, *, after: bool) -> None:
        self._real, self._method, self._after = real, method, after

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._real, name)
        if name != self._method:
            return function

        def failing(*args: Any, **kwargs: Any) -> Any:
            if self._after:
                function(*args, **kwargs)
            raise Unavailable("no answer")

        return failing


def finish(services: Services) -> int:
    """Run the reconciler an hour later."""
    later = Services(services.settings, lambda: services.clock() + 3600)
    return later.connections.finish()


def failed(number: int = 0, direction: Direction = Direction.UPLINK) -> FailedMessage:
    return FailedMessage(
        id=new_id(1_764_000_000 + number),
        time=iso_time(1_764_000_000 + number),
        direction=direction,
        reason="UNROUTABLE",
        detail="no queue is bound",
        dev_eui="70B3D5E75E000001",
        body='{"DevEUI_uplink": {}}',
        message_id="m",
    )
