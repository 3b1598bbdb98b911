"""Samples of what a release stores and sends: DynamoDB items, SQS bodies and message attributes, calls of functions.

``python -m tests.golden.samples NAME`` writes those of the checked-out release to ``tests/golden/NAME``: ``unreleased``
before a release, which names the folder by its version.
"""

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

from moto import mock_aws

from chalicelib.adapters.aws.devices.minutes import MOST
from chalicelib.adapters.aws.drivers.codec import LambdaCodec
from chalicelib.adapters.aws.notifications.function import LambdaNotifyFunction
from chalicelib.adapters.aws.notifications.secrets import SecretsManagerWebhookSecrets
from chalicelib.config import Settings
from chalicelib.domain.connection import Alarm, Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.drivers.driver import Driver, Model, Operation, Signature, code_hash
from chalicelib.domain.event import Event, Level
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.flows.flow import Flow, FlowConnector, Matcher
from chalicelib.domain.messages.entries import LogEntry, Step, reference_of
from chalicelib.domain.notifications.notification import TEST, Notification
from chalicelib.domain.notifications.settings import NotificationRequest, NotificationSettings, QuietHours
from chalicelib.domain.work_items import DownlinkJob, PollJob, PollTarget, Wake, WakeReport
from chalicelib.entry.services import Services
from chalicelib.kernel.ids import id_of, new_id
from chalicelib.kernel.times import iso_time
from chalicelib.ports.drivers import COMPILE, CodecJob
from chalicelib.ports.notifications import SendJob
from chalicelib.vocabulary import ConnectionState, DeliveryStatus, EventType, FailureReason, NotificationKind
from infra.local.aws import data_stack
from tests.functional.doubles import CodecFunction

FOLDER = Path(__file__).parent
NOW = 1_764_000_000.25
TENANT = "demo"
DEVICE = "70B3D5E75E000001"
ID = "01KAT5JFT2ZMK0QW8YQ6T1E5A7"
INACTIVE_ID = "01KAT5JFT2ZMK0QW8YQ6T1E5A8"
UNFINISHED_ID = "01KAT5JFT2ZMK0QW8YQ6T1E5A9"
CONFIGURATION = {
    "hostName": "amqp.example.com:5671",
    "protocol": "SSL",
    "uplinkTopicPattern": "up.{DevEUI}",
    "downlinkTopicPattern": "down.{DevEUI}",
    "username": "user",
    "password": "*****",
    "certificate": "*****",
    "privateKey": "*****",
    "trustedCaCertificate": "*****",
    "exchangeName": "exchange",
    "virtualHost": "host",
    "connectionTimeout": 4000,
    "actionTimeout": 900,
    "description": "a description",
    "sendMetadata": True,
    "sendRawDecodedFormat": True,
    "uplinkTimeValidity": "5m",
    "downlinkAsId": "as",
    "downlinkAsKey": "*****",
    "downlinkPort": 2,
    "reconnectStrategy": "CALM",
    "createDevices": False,
}
ALARM = {
    "startTime": "08:00",
    "endTime": "18:00",
    "timezone": "Europe/Paris",
    "recurrence": [{"frequency": "weekly", "byDays": ["MO"]}],
    "uplinkRateMinPerHour": 5,
    "message": "few uplinks",
}


DRIVER_ID = "company:sensor:1"
CODE = """function decodeUplink(input) {
  console.log(input.recvTime);
  if (input.bytes.length === 0) throw new Error("empty");
  return { data: { first: input.bytes[0], port: input.fPort, é: "ü" }, warnings: ["a warning"] };
}
function encodeDownlink(input) {
  return input.data.bad ? { errors: ["bad"] } : { bytes: [input.data.first, 255], fPort: 7 };
}
"""


def settings() -> Settings:
    return Settings(resource_prefix="golden")


def connection(connection_id: str = ID, **changes: Any) -> Connection:
    """Return a connection with a value in each field."""
    return Connection(
        tenant=TENANT,
        id=connection_id,
        name="name",
        active=True,
        alarms=[Alarm.model_validate(ALARM)],
        configuration=AmqpConfiguration.model_validate(CONFIGURATION),
        secret_version="3f1c",
        old_bindings=[("exchange", "old.*")],
        certificate_ends=NOW + 86400,
        version=3,
        created_at=iso_time(NOW),
        updated_at=iso_time(NOW),
        startup_time=iso_time(NOW),
        state=ConnectionState.UNREACHABLE,
        state_reason="connection refused",
        epoch=4,
        failures=2,
        outage_since=NOW,
        probe_at=NOW + 60,
        wake_at=NOW + 30.5,
        wake_token="token",
    ).model_copy(update=changes)


def failed(number: int, direction: Direction, body: str) -> FailedMessage:
    return FailedMessage(
        id=new_id(NOW + number),
        time=iso_time(NOW + number),
        direction=direction,
        reason=FailureReason.UNROUTABLE,
        detail="no queue is bound",
        dev_eui=DEVICE,
        routing_key="up.x",
        attempts=2,
        body=body,
        message_id=f"m{number}",
        as_key_secret="demo/key/1",
        driver="actility:auto:1",
        validity="72h",
    )


def flow() -> Flow:
    return Flow(
        tenant=TENANT,
        id=ID,
        name="a flow",
        description="d",
        matchers=[Matcher(type="thing", tags=["Paris"]), Matcher(type="key", keys=["lora:0018b2*"])],
        driver="actility:auto:1",
        connectors=[FlowConnector(connection_id=ID, uplink_time_validity="72h")],
        created_at=iso_time(NOW),
        updated_at=iso_time(NOW),
    )


def driver() -> Driver:
    return Driver(
        tenant=TENANT,
        id=DRIVER_ID,
        name="a driver",
        description="d",
        signature=Signature.LORA_ALLIANCE,
        models=[Model(producer_id="company", module_id="sensor", version="1")],
        code_hash=code_hash(CODE),
        code_size=len(CODE.encode()),
        created_at=iso_time(NOW),
        updated_at=iso_time(NOW),
    )


def codec_jobs() -> list[CodecJob]:
    """Return a call of each kind: results, errors, an exception, and a compilation."""
    name, signature = code_hash(CODE), Signature.LORA_ALLIANCE
    uplink = {"bytes": "2a", "fPort": 2, "recvTime": iso_time(NOW), "thing": {"key": f"lora:{DEVICE.lower()}"}}
    return [
        CodecJob(name, "", COMPILE),
        CodecJob(name, signature, Operation.DECODE_UPLINK, uplink),
        CodecJob(name, signature, Operation.DECODE_UPLINK, uplink, whole=True, console=True),
        CodecJob(name, signature, Operation.DECODE_UPLINK, uplink | {"bytes": ""}),
        CodecJob(name, signature, Operation.ENCODE_DOWNLINK, {"data": {"first": 1}, "fPort": 3}),
        CodecJob(name, signature, Operation.ENCODE_DOWNLINK, {"data": {"bad": True}}),
    ]


def event(number: int, connection_id: str | None) -> Event:
    return Event(
        id=new_id(NOW + number),
        time=iso_time(NOW + number),
        level=Level.WARNING,
        type=EventType.UNROUTABLE,
        connection_id=connection_id,
        message="a message",
        details={"count": 1},
    )


WAKES = (
    Wake(
        tenant=TENANT,
        connection_id=ID,
        message_id="m",
        report=WakeReport(device=DEVICE, frame_counter=7, type="DevEUI_uplink", accepted_at=NOW).model_dump_json(
            by_alias=True, exclude_none=True
        ),
    ),
    Wake(tenant=TENANT, connection_id=ID, probe=4),
    Wake(tenant=TENANT, connection_id=ID, helper=2),
)
POLL_JOB = PollJob(sent_at=NOW, targets=[PollTarget(tenant=TENANT, connection_id=ID)])
DOWNLINK_JOB = DownlinkJob(
    tenant=TENANT,
    connection_id=ID,
    downlink={"DevEUI": DEVICE, "FPort": 1, "payload_hex": "00"},
    as_key_secret="demo/key/1",
    received_at=NOW,
    deduplication_id="d",
)
LOG = (
    LogEntry(
        reference_of("m"),
        Step.DELIVERED,
        NOW,
        NOW - 1.5,
        dev_eui=DEVICE,
        frame_counter=7,
        attempts=2,
        type="DevEUI_uplink",
        routing_key=f"up.{DEVICE}",
    ),
    LogEntry(reference_of("m"), Step.ATTEMPTED, NOW - 1, NOW - 1.5, dev_eui=DEVICE, attempts=1, reason="NACKED"),
    LogEntry(
        reference_of("m1"),
        Step.FAILED,
        NOW - 2,
        NOW - 3,
        direction=Direction.DOWNLINK,
        attempts=3,
        reason=FailureReason.UNROUTABLE,
        detail="no queue is bound",
        failed_id=ID,
    ),
    *(LogEntry(reference_of(f"m{each}"), each, NOW - 4, NOW - 5) for each in (Step.WAITING, Step.LOST, Step.REPLAYED)),
)
SECRET_ID = f"iot-flow/{TENANT}/notifications/{ID}"
WEBHOOK_SECRETS = ("whsec_" + "QUJD" * 8, "whsec_" + "REVG" * 8)
"""The newest secret, and the one before its rotation."""
TOPIC_TENANT = "topic"


def notification_settings() -> list[NotificationSettings]:
    """Return settings with a webhook and with a topic."""
    quiet = QuietHours(start_time="22:00", end_time="06:00", timezone="Europe/Paris")
    kinds = [NotificationKind.FAULTY, NotificationKind.RECOVERED]
    webhook = NotificationRequest(url="https://hooks.example.com/x", kinds=kinds, faulty_after=9, quiet_hours=quiet)
    first = NotificationSettings(
        tenant=TENANT,
        wanted=webhook,
        secret_id=SECRET_ID,
        active_since=NOW,
        version=2,
        created_at=iso_time(NOW),
        updated_at=iso_time(NOW),
    )
    topic = NotificationRequest(topic_arn="arn:aws:sns:eu-west-1:123456789012:golden-news", active=False)
    return [first, first.model_copy(update={"tenant": TOPIC_TENANT, "wanted": topic, "secret_id": None})]


def notifications() -> list[Notification]:
    """Return one notification of each status, the last one a test that no function has sent yet."""
    body = json.dumps({"type": "connection.faulty", "timestamp": iso_time(NOW), "data": {"message": "é"}})
    new = Notification(tenant=TENANT, id="", kind="connection.faulty", time=iso_time(NOW), connection_id=ID, body=body)
    tried = {"attempts": 1, "first_attempt": NOW, "last_attempt": NOW, "milliseconds": 12}
    changes: list[dict[str, Any]] = [
        tried | {"due_at": NOW + 60, "http_status": 500, "detail": "The webhook answered 500."},
        tried | {"status": DeliveryStatus.DELIVERED, "http_status": 204},
        tried | {"status": DeliveryStatus.FAILED, "http_status": None, "detail": "The settings were deleted."},
        {"kind": TEST, "connection_id": None},
    ]
    return [
        new.model_copy(update={"id": id_of(NOW + number, "golden", str(number)), **change})
        for number, change in enumerate(changes)
    ]


def send_jobs() -> list[SendJob]:
    first, *_, test = notifications()
    return [SendJob(TENANT, [first.id]), SendJob(TENANT, [test.id], test=True)]


def samples(services: Services) -> dict[str, Any]:
    """Store and queue one of each kind; return the tables' items and the queues' messages."""
    store = services.connection_store
    for made in (connection(), connection(INACTIVE_ID, active=False, alarms=[], old_bindings=[])):
        store.create(made, 10)
    store.reserve(TENANT, UNFINISHED_ID, 10)
    services.flow_store.create(flow(), 10)
    services.driver_store.create(driver(), CODE, 10)
    services.event_log.add(TENANT, event(0, ID))
    services.event_log.add(TENANT, event(1, None))
    messages = [failed(0, Direction.UPLINK, '{"DevEUI_uplink": {}}'), failed(1, Direction.DOWNLINK, "x" * 2000)]
    services.failed_messages.add(TENANT, ID, messages)
    services.statistics.add(TENANT, ID, {"uplinksDelivered": 2, "uplinksFailed": 1}, {DEVICE}, LOG)
    services.statistics.flush()
    # More devices than a minute's counters hold are in a sketch, as all devices of the first release.
    services.statistics.add(TENANT, ID, {}, {DEVICE, *(f"{number:016X}" for number in range(MOST + 1))})
    services.statistics.mark_waiting(TENANT, ID, ["waiting"])
    services.application_server_store.put(TENANT, "as", "key")
    _store_notifications(services)
    services.ledger.record("message")
    services.uplink_queues.create(ID)
    services.uplink_queues.send(
        ID,
        body="\uffff",
        group=DEVICE,
        message_id="m",
        deduplication_id="d",
        driver="actility:auto:1",
        validity="72h",
    )
    services.wake_queue.send(WAKES)
    services.poll_queue.send(POLL_JOB)
    services.downlink_queue.send([(DOWNLINK_JOB, "d")])
    tables = (
        *("connections", "flows", "drivers", "events", "failed-messages", "statistics", "application-servers"),
        *("coordination", "notifications"),
    )
    queues = (f"uplinks-{ID}.fifo", "wakes", "polls", "downlinks.fifo")
    return {
        "items": {table: _items(services, table) for table in tables},
        "messages": {queue: _messages(services, queue) for queue in queues},
        "codec": codec_calls(),
        "notify": {"requests": notify_requests(), "secret": webhook_secret(services)},
    }


def _store_notifications(services: Services) -> None:
    """Write settings and notifications by the steps that functions take."""
    store = services.notification_store
    for settings in notification_settings():
        store.put(settings, 0)
    for each in notifications():
        is_test = each.kind == TEST
        unsent = {"attempts": 0, "first_attempt": None, "last_attempt": None, "status": DeliveryStatus.PENDING}
        store.add(each.model_copy(update={} if is_test else unsent | {"due_at": NOW}))
        if not is_test:
            store.take(TENANT, each.id, NOW, NOW + 60)
            store.finish(each)


def notify_requests() -> list[Any]:
    """Return the requests to the function that sends notifications: of the reconciler, and of a test."""

    class Client:
        def __init__(self) -> None:
            self.requests: list[Any] = []

        def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> Any:  # noqa: ARG002, N803
            self.requests.append(json.loads(Payload))
            return {}

    client = Client()
    function = LambdaNotifyFunction(client, "notify")
    scheduled, test = send_jobs()
    function.start([scheduled])
    function.run(test)
    return client.requests


def webhook_secret(services: Services) -> Any:
    """Return the text of a webhook's secret after a rotation."""
    made = iter(reversed(WEBHOOK_SECRETS))
    secrets = SecretsManagerWebhookSecrets(services.secretsmanager, "golden", lambda: NOW, make=lambda: next(made))
    name, _ = secrets.create(TENANT)
    secrets.rotate(name, NOW + 86400)
    return json.loads(services.secretsmanager.get_secret_value(SecretId=name)["SecretString"])


def codec_calls() -> list[dict[str, Any]]:
    """Return the requests to the codec, which first lacks the code, and its responses."""
    function = CodecFunction()
    try:
        LambdaCodec(function, "codec").run(codec_jobs(), lambda _: CODE)
    finally:
        function.worker.stop()
    return [{"request": request, "response": answer} for request, answer in function.calls]


def _items(services: Services, table: str) -> list[dict[str, Any]]:
    items = services.dynamodb.scan(TableName=services.settings.table(table))["Items"]
    plain = [{name: _plain(value) for name, value in item.items()} for item in items]
    return sorted(plain, key=lambda item: json.dumps([item.get(key) for key in ("connection", "sort", "id", "asId")]))


def _plain(value: Any) -> Any:
    if "BS" in value:
        return {"BS": sorted(base64.b64encode(bytes(each)).decode() for each in value["BS"])}
    return {"B": base64.b64encode(bytes(value["B"])).decode()} if "B" in value else value


def _messages(services: Services, queue: str) -> list[dict[str, Any]]:
    url = services.sqs.get_queue_url(QueueName=services.settings.queue(queue))["QueueUrl"]
    found = services.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    names = ("Body", "MessageAttributes")
    messages = [{name: value for name, value in message.items() if name in names} for message in found["Messages"]]
    return sorted(messages, key=lambda message: str(message["Body"]))


def main() -> None:
    """Write the samples of this release into the folder that the first argument names."""
    folder = FOLDER / sys.argv[1]
    os.environ |= {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with mock_aws():
        services = Services(settings(), lambda: NOW)
        data_stack.create(services.dynamodb, services.sqs, services.settings.resource_prefix, services.settings.timing)
        for name, content in samples(services).items():
            path = folder / f"{name}.json"
            folder.mkdir(exist_ok=True)
            path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
