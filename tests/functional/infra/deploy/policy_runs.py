"""Recorded runs of each function that make every AWS call in its code."""

import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app import app
from chalicelib.adapters.aws.coordination.slots import DynamoDbSlots
from chalicelib.connections.service import UNFINISHED_AFTER
from chalicelib.domain import breaker
from chalicelib.domain.breaker import recovered
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.drivers.driver import code_hash
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.notifications.notification import notification_of_test
from chalicelib.domain.work_items import DownlinkJob, PollJob, PollTarget, Wake
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.polls import PollContext, PollHandler
from chalicelib.entry import services as wiring
from chalicelib.entry.services import Services
from chalicelib.errors import BrokerFault, BrokerUnreachable, DownlinkDelayed, DownlinkRejected, Unavailable
from chalicelib.kernel.ids import last_id, new_id
from chalicelib.kernel.times import iso_time
from chalicelib.ports.consuming import ReceivedDownlink
from chalicelib.ports.coordination import Hold
from chalicelib.ports.queues import RETENTION
from chalicelib.upkeep.survey import SWEEP_RUNS
from chalicelib.uplinks.drain_context import CHUNK_REPORTS
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.socket_slots import SocketSlots
from chalicelib.vocabulary import DeliveryStatus, EventType
from infra.local.processes import ROOT
from tests.functional.doubles import Api, ScriptedWebhooks, TestIssuer
from tests.functional.infra.deploy.call_handler import Context
from tests.functional.infra.deploy.iam import Recorder
from tests.functional.infra.deploy.policy_doubles import (
    NoRemover,
    NoTester,
    OnePoll,
    ScriptedNetworkServer,
    calling,
    notifying,
)
from tests.unit.flow import ScriptedBroker

TENANT = "demo"
DEVICE = "70B3D5E75E000001"
CONFIGURATION = {
    "uplinkTopicPattern": "up.{DevEUI}",
    "downlinkTopicPattern": "down.{DevEUI}",
    "hostName": "broker.example",
    "protocol": "TCP",
    "username": "user",
    "password": "secret",
}
CONNECTION = {"connectorId": "actility-amqp-0.9.1-iot", "name": "one", "configuration": CONFIGURATION}
HANDLERS = ("api_handler", "forward", "forward_slow", "consume", "send_downlinks", "reconcile", "codec", "notify")
QUEUE_OF = {"forward": "wakes", "forward_slow": "wakes-slow", "consume": "polls", "send_downlinks": "downlinks.fifo"}


CODEC = "iot-flow-amqp-test-codec"
NOTIFY = "iot-flow-amqp-test-notify"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:iot-flow-test-news"
_NUMBERS = itertools.count(1)
DRIVER = {
    "id": "acme:sensor:1",
    "code": "function decodeUplink(input) { return { data: 1 }; } function encodeDownlink() { return { bytes: [1] }; }",
}


def uplink(count: int, **fields: Any) -> dict[str, Any]:
    return {"DevEUI_uplink": {"DevEUI": DEVICE, "FPort": 1, "FCntUp": count, "payload_hex": "00", **fields}}


@dataclass
class World:
    """AWS with separate clients for each function."""

    api: Api
    issuer: TestIssuer
    plain: Services
    recorders: dict[str, Recorder] = field(default_factory=lambda: {name: Recorder() for name in HANDLERS})
    routes: set[tuple[str, str]] = field(default_factory=set)

    def function(self, handler: str, clock: Callable[[], float] = time.time) -> Services:
        """A cold start of a function."""
        names = {"codec_function": CODEC, "notify_function": NOTIFY}
        made = Services(self.plain.settings.model_copy(update=names), clock)
        made.functions = calling(self.plain.functions)  # type: ignore[arg-type]
        made.notify_client = notifying(self.plain.notify_client)
        made.webhooks = ScriptedWebhooks()  # type: ignore[assignment]
        made.issuer = self.plain.issuer
        made.queue_remover = NoRemover()  # type: ignore[assignment]
        made.connection_tester = NoTester()  # type: ignore[assignment]
        for client in (made.dynamodb, made.sqs, made.sns, made.secretsmanager, made.functions, made.notify_client):
            self.recorders[handler].listen(client)
        wiring.use(made)
        return made

    def call(self, method: str, path: str, document: Any = None, **parts: str) -> Any:
        """A request to a cold API."""
        self.function("api_handler")
        self.routes.add((method, path))
        query = parts.pop("query", "")
        token = self.issuer.token(scope="connections:read connections:write uplinks:write")
        answer = self.api.as_token(token).call(method, path.format(**parts) + query, document)
        assert answer.status < 300, answer.body
        return answer.json if answer.body and answer.body[:1] in b"[{" else None

    def invoke(self, handler: str, *, again: bool = False) -> None:
        """Invokes the function with the messages in its queue; ``again``: they were received before."""
        records = self.receive(handler)
        assert records
        if again:
            for record in records:
                record["attributes"]["ApproximateReceiveCount"] = "2"
        # chalice's test client would end a function after three seconds.
        app.handler_map[handler]({"Records": records}, Context())

    def receive(self, handler: str) -> list[dict[str, Any]]:
        """Receives the messages in a function's queue, as its event source mapping does."""
        sqs = self.plain.sqs
        url = sqs.get_queue_url(QueueName=self.plain.settings.queue(QUEUE_OF[handler]))["QueueUrl"]
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]).get(
            "Messages", []
        )
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            for message in messages
        ]

    def empty(self, queue: str) -> None:
        sqs = self.plain.sqs
        url = sqs.get_queue_url(QueueName=self.plain.settings.queue(queue))["QueueUrl"]
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def move(self, source: str, target: str) -> None:
        """Hand the messages of one queue on to another, as the fast lane does."""
        sqs, queue = self.plain.sqs, self.plain.settings.queue
        url = sqs.get_queue_url(QueueName=queue(source))["QueueUrl"]
        to = sqs.get_queue_url(QueueName=queue(target))["QueueUrl"]
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                sqs.send_message(QueueUrl=to, MessageBody=message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def connect(self, **configuration: Any) -> str:
        document = {**CONNECTION, "configuration": CONFIGURATION | configuration}
        return str(self.call("POST", "/connections", document)["id"])

    def fail_one(self, connection_id: str, direction: Direction = Direction.UPLINK) -> str:
        """Stores a failed message with the current time and returns its id."""
        body = {"DevEUI_downlink": {"DevEUI": DEVICE, "FPort": 1, "payload_hex": "00"}} | uplink(1)
        message = FailedMessage(
            id=new_id(time.time()),
            time=iso_time(time.time()),
            direction=direction,
            reason="UNROUTABLE",
            detail="no queue is bound",
            dev_eui=DEVICE,
            message_id=new_id(time.time()),
            body=json.dumps(body),
        )
        self.plain.failed_messages.add(TENANT, connection_id, [message])
        return message.id


def run_api(world: World) -> None:
    connection_id = world.connect()
    world.call("GET", "/health")
    world.call("GET", "/openapi.json")
    world.call("GET", "/console")
    world.call("GET", "/console/{asset}", asset="main.js")
    for folder in ("drivers", "flows", "messages", "notifications", "overview", "parts", "styles", "texts", "views"):
        file = next(Path(ROOT, "chalicelib", "console", folder).iterdir())
        world.call("GET", "/console/{asset}/{file}", asset=folder, file=file.name)
    world.call("GET", "/connectors")
    world.call("GET", "/connectors/{id}", id="actility-amqp-0.9.1-iot")
    world.call("GET", "/connections")
    world.call("GET", "/connections", query="?sort=worst")
    world.call("GET", "/connections/summary")
    world.call("GET", "/connections/statistics", query=f"?ids={connection_id}")
    world.call("GET", "/connections/{id}", id=connection_id)
    kept = CONNECTION | {"configuration": CONFIGURATION | {"password": "*****"}}
    world.call("PUT", "/connections", kept | {"id": connection_id, "name": "other"})
    world.call("PUT", "/connections/{id}", CONNECTION, id=connection_id)
    world.call("PATCH", "/connections/{id}", {"configuration": {"password": "changed"}}, id=connection_id)
    world.call("POST", "/connections/{id}/restart", id=connection_id)
    world.call("PATCH", "/connections/{id}", {"active": False}, id=connection_id)
    world.plain.parked_receipts.park(TENANT, connection_id, "name", ["receipt"])
    world.call("PATCH", "/connections/{id}", {"active": True}, id=connection_id)
    world.call("GET", "/connections/{id}/statistics", id=connection_id)
    world.call("POST", "/connections/test", CONNECTION)
    world.call("POST", "/connections/preview", {"configuration": CONFIGURATION, "uplink": uplink(1)})
    world.call("POST", "/connections/{id}/test", id=connection_id)
    failed = world.fail_one(connection_id), world.fail_one(connection_id, Direction.DOWNLINK)
    world.call("GET", "/connections/{id}/messages", id=connection_id)
    world.call("GET", "/connections/{id}/messages/{messageId}", id=connection_id, messageId=failed[0])
    world.call("GET", "/messages")
    world.call("POST", "/connections/{id}/messages/replay", {"ids": failed}, id=connection_id)
    world.fail_one(connection_id)
    world.call("POST", "/connections/{id}/messages/replay", {"all": True}, id=connection_id)
    world.function("api_handler").pending_replays.add(TENANT, connection_id, last_id(time.time()))
    world.fail_one(connection_id)
    world.call("DELETE", "/connections/{id}/messages", id=connection_id, query="?status=failed")
    world.fail_one(connection_id)
    world.call("GET", "/connections/{id}/events", id=connection_id)
    world.call("GET", "/events")
    world.call("POST", "/application-servers", {"asId": "AS", "asKey": "key of the AS"})
    world.call("GET", "/application-servers")
    world.function("api_handler").ingress.accept(TENANT, json.dumps(uplink(1)).encode())
    assert world.function("api_handler").application_server_store.keys("AS")
    world.call("POST", "/uplinks", uplink(2))
    world.call("DELETE", "/application-servers/{asId}", asId="AS")
    run_flows(world, connection_id)
    run_drivers(world)
    run_notifications(world)
    world.call("DELETE", "/connections/{id}", id=connection_id, query="?force=true")
    world.call("DELETE", "/connections", query=f"?id={world.connect()}")


def run_flows(world: World, connection_id: str) -> None:
    flow = {"name": "all", "connectors": [{"connectionId": connection_id}]}
    flow_id = str(world.call("POST", "/flows", flow)["id"])
    world.call("GET", "/flows")
    world.call("GET", "/flows/{id}", id=flow_id)
    world.call("PUT", "/flows", flow | {"id": flow_id})
    world.call("PUT", "/flows/{id}", flow, id=flow_id)
    world.call("PATCH", "/flows/{id}", {"active": False}, id=flow_id)
    world.call("POST", "/flows/preview", {"uplink": uplink(1)})
    world.call("DELETE", "/flows/{id}", id=flow_id)
    other = world.call("POST", "/flows", flow)["id"]
    world.call("DELETE", "/flows", query=f"?id={other}")
    world.call("POST", "/flows", flow)


def run_drivers(world: World) -> None:
    # Numbered ids: the drivers of an earlier run may exist.
    driver = DRIVER | {"id": f"acme:api:{next(_NUMBERS)}"}
    driver_id = str(world.call("POST", "/drivers", driver)["id"])
    world.call("GET", "/drivers")
    world.call("GET", "/drivers/{id}", id=driver_id)
    world.call("PUT", "/drivers/{id}", driver | {"code": f"// changed\n{driver['code']}"}, id=driver_id)
    world.call("POST", "/drivers/test", {"code": driver["code"], "bytes": "00"})
    world.call("POST", "/drivers/{id}/decode-uplink", {"bytes": "00"}, id=driver_id)
    world.call("POST", "/drivers/{id}/decode-downlink", {"bytes": "00"}, id=driver_id)
    world.call("POST", "/drivers/{id}/encode-downlink", {"data": {}}, id=driver_id)
    flow = world.call("POST", "/flows", {"name": "decoded", "driver": {"id": driver_id}})
    world.call("DELETE", "/flows/{id}", id=str(flow["id"]))
    world.call("DELETE", "/drivers/{id}", id=driver_id)


def run_notifications(world: World) -> None:
    world.call("PUT", "/notifications", {"url": "https://hooks.example.com"})
    world.call("GET", "/notifications")
    world.call("POST", "/notifications/rotate-secret")
    world.call("POST", "/notifications/test")
    world.call("GET", "/notifications/deliveries")
    world.call("PUT", "/notifications", {"topicArn": TOPIC})
    world.call("DELETE", "/notifications")


def run_notify(world: World) -> None:
    world.plain.sns.create_topic(Name=TOPIC.rsplit(":", 1)[-1])
    for target in ({"url": "https://hooks.example.com"}, {"topicArn": TOPIC}):
        world.call("PUT", "/notifications", target)
        sent = notification_of_test(TENANT, new_id(time.time()), time.time())
        world.plain.notification_store.add(sent)
        world.function("notify")
        app.handler_map["notify"]({"jobs": [{"tenant": TENANT, "ids": [sent.id]}]}, Context())
        found = world.plain.notification_store.find_one(TENANT, sent.id)
        assert found is not None
        assert found.status is DeliveryStatus.DELIVERED


def decode(world: World, connection_id: str) -> None:
    """Decode the reports of a connection, and encode its downlinks."""
    driver_id = f"acme:flow:{next(_NUMBERS)}"
    world.call("POST", "/drivers", DRIVER | {"id": driver_id})
    flow = {"name": "all", "driver": {"id": driver_id}, "connectors": [{"connectionId": connection_id}]}
    world.call("POST", "/flows", flow)


def run_codec(world: World) -> None:
    world.function("codec")
    code = DRIVER["code"]
    message = {"driver": code_hash(code), "signature": "", "operation": "compile", "input": {}}
    app.handler_map["codec"]({"messages": [message], "codes": {code_hash(code): code}}, Context())


def run_forward(world: World) -> None:
    connection_id = world.connect()
    # The broker is not proved to be fast: the wake is handed on to the slow lane.
    world.invoke("forward")
    run_drains(world, "forward", connection_id)


def run_forward_slow(world: World) -> None:
    run_drains(world, "forward_slow", world.connect())


def run_drains(world: World, handler: str, connection_id: str) -> None:
    """Run the drains of one lane, with a connection that belongs to it."""
    broken = BrokerUnreachable(EventType.CONFIRM_TIMEOUT, "no confirm came")
    store = world.plain.connection_store
    decode(world, connection_id)
    world.empty("wakes")

    def forward(broker: ScriptedBroker, *, marks: bool = True, again: bool = False) -> None:
        if handler == "forward":
            store.mark_fast(store.get(TENANT, connection_id), time.time())
        else:
            world.move("wakes", "wakes-slow")
        made = world.function(handler)
        slots = DynamoDbSlots(made.dynamodb, made.settings.table("coordination"), time.time)
        made.publisher_pool = PublisherPool(broker, made.secret_store, SocketSlots(slots, 120))
        if not marks:
            made.connection_store.set_pending_wake = refuse  # type: ignore[assignment,method-assign]
        world.invoke(handler, again=again)

    world.call("POST", "/uplinks", uplink(1))
    forward(ScriptedBroker(), again=True)
    # The broker turns slow within a drain, and fast again.
    store.mark_fast(store.get(TENANT, connection_id), time.time())
    world.call("POST", "/uplinks", uplink(1, payload_hex="01"))
    forward(ScriptedBroker(slowest=2.0))
    # A backlog large enough to start a helper drain.
    ingress = world.function("api_handler").ingress
    for number in range(CHUNK_REPORTS):
        ingress.accept(TENANT, json.dumps(uplink(number, DevEUI=f"{number:016X}")).encode())
    world.empty("wakes")
    world.plain.wake_queue.send([Wake(tenant=TENANT, connection_id=connection_id)])
    forward(ScriptedBroker())
    world.empty("wakes")
    world.empty("wakes-slow")
    # A report that fails permanently.
    world.call("PATCH", "/connections/{id}", {"configuration": {"uplinkTopicPattern": "{missing}"}}, id=connection_id)
    world.empty("wakes")
    world.call("POST", "/uplinks", uplink(2))
    forward(ScriptedBroker())
    # A wake without a report finds an empty queue; a wake with a missing report leaves a pending wake.
    world.plain.wake_queue.send([Wake(tenant=TENANT, connection_id=connection_id)])
    forward(ScriptedBroker())
    world.plain.wake_queue.send([Wake(tenant=TENANT, connection_id=connection_id, message_id="gone")])
    forward(ScriptedBroker())
    # The broker fails with a report in flight, which the forwarder releases.
    world.call("PATCH", "/connections/{id}", {"configuration": {"uplinkTopicPattern": "up"}}, id=connection_id)
    world.empty("wakes")
    world.call("POST", "/uplinks", uplink(3))
    forward(ScriptedBroker(fault=broken))
    # One drain raises an unexpected exception and cannot leave a pending wake; another one ends in order.
    world.call("POST", "/connections/{id}/restart", id=connection_id)
    world.connect()
    world.empty("wakes")
    world.call("POST", "/uplinks", uplink(4))

    class Half(ScriptedBroker):
        def open(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> Any:
            assert connection.id != connection_id
            return super().open(connection, secrets, deadline)

    def refuse(*_: object) -> None:
        raise Unavailable("DynamoDB does not answer")

    with pytest.raises(Unavailable):
        forward(Half(), marks=False)


def run_consume(world: World) -> None:
    connection_id = world.connect()
    world.call("PATCH", "/connections/{id}", {"configuration": {"exchangeName": "other"}}, id=connection_id)

    def consume(*bodies: dict[str, Any], fault: BrokerFault | None = None) -> None:
        messages = [
            ReceivedDownlink(connection_id, tag, f"down.{DEVICE}", json.dumps(body).encode(), None, None, False)
            for tag, body in enumerate(bodies)
        ]
        made = world.function("consume")
        with ThreadPoolExecutor(4) as executor:
            intake = DownlinkIntake(
                made.downlink_queue, made.secret_store, made.ingress, made.monitoring, executor, made.clock
            )
            intake.encode = made.encoder.encode
            parts = PollContext(
                connections=made.connection_store,
                secrets=made.secret_store,
                leases=made.leases,
                intake=intake,
                monitoring=made.monitoring,
                make_consumer=lambda: OnePoll(messages, fault),
                executor=executor,
                clock=made.clock,
                random=lambda: 0.0,
                timing=made.settings.timing,
            )
            made.poll_handler = PollHandler(parts)
            world.empty("polls")
            target = PollTarget(tenant=TENANT, connection_id=connection_id)
            world.plain.poll_queue.send(PollJob(sent_at=time.time(), targets=[target]))
            world.invoke("consume")

    good = {"FPort": 1, "payload_hex": "00"}
    consume(
        {"DevEUI_downlink": good},
        {"DevEUI_downlink": good | {"AS_ID": "AS", "AS_KEY": "key of the downlink"}},
        {"DevEUI_downlink": good | {"payload_hex": "no hex"}},
    )
    decode(world, connection_id)
    consume({"DevEUI_downlink": {"FPort": 1, "payload": {}}})
    consume({"DevEUI_downlink": good}, fault=BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused"))
    # An earlier poll holds the connection, and this one asks for it.
    leases = world.plain.leases
    leases.begin("earlier", time.time() + 10)
    assert leases.take(connection_id, Hold("earlier"), leases.holds([connection_id])[connection_id].owner)
    consume()


def run_send_downlinks(world: World) -> None:
    plain = world.plain
    # One device for each downlink, because a delayed downlink blocks its device.
    devices = itertools.count(1)
    own_key = world.connect(downlinkAsId="AS1", downlinkAsKey="key of the connection")
    without = world.connect()
    registered = world.connect(downlinkAsId="AS2")
    world.call("POST", "/application-servers", {"asId": "AS2", "asKey": "key of the AS"})
    name = plain.secret_store.put_as_key(TENANT, without, "key of the downlink")

    def send(connection_id: str, error: Exception | None = None, as_key: str | None = None, **fields: str) -> None:
        name_in_queue = new_id(time.time())
        job = DownlinkJob(
            tenant=TENANT,
            connection_id=connection_id,
            downlink={"DevEUI": f"{next(devices):016X}", "FPort": 1, "payload_hex": "00", **fields},
            as_key_secret=as_key,
            received_at=time.time(),
            deduplication_id=name_in_queue,
        )
        world.empty("downlinks.fifo")
        plain.downlink_queue.send([(job, name_in_queue)])
        made = world.function("send_downlinks")
        made.network_server = ScriptedNetworkServer(error)  # type: ignore[assignment]
        world.invoke("send_downlinks")

    send(own_key)
    send(without)
    send(registered)
    send(without, as_key=name, AS_ID="AS")
    send(own_key, DownlinkRejected("no such device"))
    with pytest.raises(Unavailable):
        send(own_key, DownlinkDelayed("no answer"))
    world.call("PATCH", "/connections/{id}", {"active": False}, id=registered)
    with pytest.raises(Unavailable):
        send(registered)
    world.call("PATCH", "/connections/{id}", {"active": True}, id=registered)
    world.call("DELETE", "/application-servers/{asId}", asId="AS2")
    send(registered)
    # The function deletes finished downlinks before it delays others.
    made = world.function("send_downlinks")
    made.downlink_queue.delete(["gone"])


def run_reconcile(world: World) -> None:
    marked, unfinished = world.connect(), world.connect()
    world.plain.connection_store.set_pending_wake(TENANT, marked, time.time(), "token")
    # A killed delete, and a create that is still marked as pending.
    world.fail_one(unfinished)
    world.call("POST", "/flows", {"name": "all", "connectors": [{"connectionId": unfinished}]})
    world.plain.connection_store.delete(TENANT, unfinished)
    world.plain.connection_store.reserve(TENANT, marked, 5)
    # A replay that a request did not finish.
    replayed = world.connect()
    for direction in Direction:
        world.fail_one(replayed, direction)
    world.plain.pending_replays.add(TENANT, replayed, last_id(time.time()))
    # An alarm for too few uplinks, active all day.
    alarm = {
        "startTime": "00:00",
        "endTime": "23:59",
        "recurrence": [{"frequency": "daily"}],
        "uplinkRateMinPerHour": 10,
        "message": "quiet",
    }
    world.call("PATCH", "/connections/{id}", {"alarms": [alarm]}, id=marked)
    # A connection that is reopened after an hour without traffic.
    silent = world.connect()
    world.call("PATCH", "/connections/{id}", {"configuration": {"reconnectStrategy": "AGGRESSIVE"}}, id=silent)
    store = world.plain.connection_store
    before = store.get(TENANT, silent)
    store.update_breaker(recovered(before, time.time() - 7200, "token", time.time() - 7200), before.epoch)
    # An open connection without due work: one of the sweep's runs checks its queue.
    quiet = store.get(TENANT, world.connect())
    store.update_breaker(quiet.model_copy(update={"probe_at": None, "epoch": quiet.epoch + 1}), quiet.epoch)
    # A connection whose broker confirms no report for two weeks.
    waiting = store.get(TENANT, world.connect())
    fault = BrokerUnreachable(EventType.CONFIRM_TIMEOUT, "no confirm came")
    store.update_breaker(breaker.failed(waiting, fault, time.time(), 0, 1), waiting.epoch)
    world.call("POST", "/uplinks", uplink(1))
    world.call("PUT", "/notifications", {"url": "https://hooks.example.com"})
    # One start for all runs: the end of a minute between two of them would leave out a connection's turn.
    began = time.time()
    for run in range(2 * SWEEP_RUNS):
        later = began + UNFINISHED_AFTER + 60 * (run + 1) + RETENTION * (run // SWEEP_RUNS)
        world.function("reconcile", lambda: later)  # noqa: B023  # called in this round
        app.handler_map["reconcile"](world.api.client.events.generate_cw_event("", "", {}, []), Context())
    assert not store.is_pending(TENANT, unfinished)
    assert not world.plain.failed_messages.page(TENANT, replayed, 1, None)[0]
    assert not list(world.plain.pending_replays.all())
    assert world.plain.uplink_queues.depth(waiting.id) == (0, 0)
    assert store.get(TENANT, silent).epoch > before.epoch + 1


RUNS = {
    "api_handler": run_api,
    "forward": run_forward,
    "forward_slow": run_forward_slow,
    "consume": run_consume,
    "send_downlinks": run_send_downlinks,
    "reconcile": run_reconcile,
    "codec": run_codec,
    "notify": run_notify,
}
