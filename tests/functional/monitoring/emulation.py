"""A stage on moto whose functions run as Lambda runs them, watched as CloudWatch watches them."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from app import app
from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import DownlinkJob, PollJob, PollTarget
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.polls import PollContext, PollHandler
from chalicelib.errors import BrokerFault
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.ports.consuming import ReceivedDownlink
from chalicelib.upkeep import reconciler, survey
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.socket_slots import SocketSlots
from tests.functional.doubles import Answer
from tests.functional.infra.deploy.call_handler import Context
from tests.functional.infra.deploy.policy_doubles import OnePoll, ScriptedNetworkServer
from tests.functional.infra.deploy.policy_runs import CONFIGURATION, CONNECTION, DEVICE, TENANT, World
from tests.functional.monitoring.cloudwatch import CloudWatch
from tests.unit.flow import ScriptedBroker

SCOPES = "connections:read connections:write uplinks:write"
SHARED = ("wakes", "wakes-slow", "downlinks.fifo")


@dataclass
class Emulation:
    """The functions of a stage, and the datapoints of their invocations."""

    world: World
    watch: CloudWatch
    patch: pytest.MonkeyPatch
    output: Callable[[], str]
    """Returns what was printed since its last call."""
    devices: int = 0

    def end_period(self) -> set[str]:
        """End a period of five minutes; return the alarms that are on then."""
        self.watch.take(self.output())
        on = self.watch.alarms_on()
        self.watch.period += 1
        return on

    # The API

    def request(
        self, method: str, path: str, document: Any = None, *, tenant: str | None = TENANT, **claims: str
    ) -> Answer:
        """A request to the API, as API Gateway passes it on."""
        self.world.function("api_handler")
        token = self.world.issuer.token(tenant, **{"scope": SCOPES, **claims}) if tenant else None
        answer = self.world.api.as_token(token).call(method, path, document)
        stage = self.watch.stage
        names = {"ApiName": stage.application, "Stage": stage.gateway_stage}
        self.watch.put("AWS/ApiGateway", "5XXError", float(answer.status >= 500), **names)
        return answer

    def connect(self, tenant: str = TENANT, **configuration: Any) -> Connection:
        document = {**CONNECTION, "configuration": CONFIGURATION | configuration}
        answer = self.request("POST", "/connections", document, tenant=tenant)
        assert answer.status == 201, answer.body
        return self.state(answer.json["id"], tenant)

    def state(self, connection_id: str, tenant: str = TENANT) -> Connection:
        return self.world.plain.connection_store.get(tenant, connection_id)

    def fail(self, connection: Connection, fault: BrokerFault) -> None:
        """Open the connection's breaker."""
        before = self.state(connection.id, connection.tenant)
        assert self.world.plain.connection_store.update_breaker(
            breaker.failed(before, fault, time.time(), 0, 1), before.epoch
        )

    def post(self, number: int, **fields: Any) -> None:
        report = {"DevEUI": DEVICE, "FPort": 1, "FCntUp": number, "payload_hex": new_id(time.time()).encode().hex()}
        assert self.request("POST", "/uplinks", {"DevEUI_uplink": report | fields}).status == 200

    def break_table(self, name: str) -> None:
        """DynamoDB refuses every call on a table."""
        self.world.plain.dynamodb.delete_table(TableName=self.world.plain.settings.table(name))

    @cached_property
    def sockets(self) -> SocketSlots:
        """The slots of a warm forwarder, which all invocations share, and which outlast a period."""
        return SocketSlots(self.world.plain.slots, 600)

    # The other functions

    def run(self, handler: str, call: Callable[[], object]) -> None:
        """One invocation; Lambda counts it, and an exception of the handler as an error."""
        name = self.watch.stage.function(handler)
        failed = 0.0
        try:
            call()
        except Exception:  # noqa: BLE001  # as Lambda does
            failed = 1.0
        self.watch.put("AWS/Lambda", "Invocations", 1, FunctionName=name)
        self.watch.put("AWS/Lambda", "Errors", failed, FunctionName=name)

    def invoke(self, handler: str) -> bool:
        """Invoke a function with the messages in its queue; return False if there are none."""
        records = self.world.receive(handler)
        if records:
            self.run(handler, lambda: app.handler_map[handler]({"Records": records}, Context()))
        return bool(records)

    def forward(self, broker: ScriptedBroker, handler: str = "forward_slow") -> None:
        """Invoke a forwarder with the wakes in its queue, which are those of both queues in the slow lane."""
        if handler == "forward_slow":
            self.world.move("wakes", "wakes-slow")
        made = self.world.function(handler)
        made.publisher_pool = PublisherPool(broker, made.secret_store, self.sockets)
        self.invoke(handler)

    def reconcile(
        self, at: float | None = None, *, late: float = 0.0, clock: Callable[[], float] | None = None
    ) -> None:
        """Invoke the reconciler, ``late`` seconds after its event; ``at``: its time."""
        self.patch.setattr(reconciler, "LOOK_AGAIN", 0.0)
        moment = time.time() if at is None else at
        self.world.function("reconcile", clock or (lambda: moment))
        event = self.world.api.client.events.generate_cw_event("", "", {}, [])
        event["time"] = iso_time(time.time() - late)
        self.run("reconcile", lambda: app.handler_map["reconcile"](event, Context()))

    def keep_draining(self, connection_id: str) -> None:
        """Hold a slot of the connection's broker, as a forwarder that drains a backlog does."""
        self.sockets.take(self.world.plain.connection_store.get(TENANT, connection_id), time.monotonic() + 1)

    def sweep(self, at: float | None = None, **options: Any) -> None:
        """Invoke the reconciler each minute until every connection had its turn."""
        began = time.time() if at is None else at
        for minute in range(survey.SWEEP_RUNS):
            self.reconcile(began + 60 * minute, **options)

    def consume(self, connection_id: str, *bodies: bytes) -> None:
        """Invoke a poll that receives downlinks from the connection's broker."""
        messages = [
            ReceivedDownlink(connection_id, tag, f"down.{DEVICE}", body, None, None, False)
            for tag, body in enumerate(bodies)
        ]
        made = self.world.function("consume")
        with ThreadPoolExecutor(4) as executor:
            intake = DownlinkIntake(
                made.downlink_queue, made.secret_store, made.ingress, made.monitoring, executor, made.clock
            )
            context = PollContext(
                connections=made.connection_store,
                secrets=made.secret_store,
                leases=made.leases,
                intake=intake,
                monitoring=made.monitoring,
                make_consumer=lambda: OnePoll(messages),
                executor=executor,
                clock=made.clock,
                random=lambda: 0.0,
                timing=made.settings.timing,
            )
            made.poll_handler = PollHandler(context)
            self.world.empty("polls")
            target = PollTarget(tenant=TENANT, connection_id=connection_id)
            self.world.plain.poll_queue.send(PollJob(sent_at=time.time(), targets=[target]))
            self.invoke("consume")

    def store_downlinks(self, connection_id: str, number: int, **fields: Any) -> None:
        """Store downlinks of as many devices, as a poll does."""
        for _ in range(number):
            # One device for each, because a delayed downlink blocks its device.
            self.devices += 1
            name = new_id(time.time())
            job = DownlinkJob(
                tenant=TENANT,
                connection_id=connection_id,
                downlink={"DevEUI": f"{self.devices:016X}", "FPort": 1, "payload_hex": "00", **fields},
                received_at=time.time(),
                deduplication_id=name,
            )
            self.world.plain.downlink_queue.send([(job, name)])
            self.sent("downlinks.fifo", 1)

    def send_downlinks(self, error: Exception | None = None) -> None:
        """Invoke the sender until it can receive no downlink."""
        found = True
        while found:
            made = self.world.function("send_downlinks")
            made.network_server = ScriptedNetworkServer(error)  # type: ignore[assignment]
            found = self.invoke("send_downlinks")

    # The queues

    def url(self, queue: str) -> str:
        name = self.world.plain.settings.queue(queue)
        return str(self.world.plain.sqs.get_queue_url(QueueName=name)["QueueUrl"])

    def visible(self, queue: str) -> int:
        name: Any = "ApproximateNumberOfMessages"
        found: Any = self.world.plain.sqs.get_queue_attributes(QueueUrl=self.url(queue), AttributeNames=[name])
        return int(found["Attributes"][name])

    def sent(self, queue: str, number: int) -> None:
        name = self.world.plain.settings.queue(queue)
        self.watch.put("AWS/SQS", "NumberOfMessagesSent", number, QueueName=name)

    def age(self, queue: str, later: float = 0.0) -> None:
        """SQS measures the age of the oldest message, ``later`` seconds from now."""
        messages = self._receive(self.url(queue))
        ages = [time.time() + later - int(each["Attributes"]["SentTimestamp"]) / 1000 for each in messages]
        name = self.world.plain.settings.queue(queue)
        self.watch.put("AWS/SQS", "ApproximateAgeOfOldestMessage", max(ages, default=0.0), QueueName=name)

    def receive_in_vain(self, connection_id: str, times: int) -> None:
        """Let the reports of a connection be received by forwarders that do not settle them."""
        url = self.url(f"uplinks-{connection_id}.fifo")
        for _ in range(times):
            self._receive(url)

    def _receive(self, url: str) -> Sequence[Any]:
        answer = self.world.plain.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageSystemAttributeNames=["All"]
        )
        return answer.get("Messages", [])


def downlink(**fields: Any) -> bytes:
    return json.dumps({"DevEUI_downlink": {"FPort": 1, "payload_hex": "00", **fields}}).encode()
