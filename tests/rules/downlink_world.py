"""The downlink services on in-memory ports: a customer's queue, our queue and a network server."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.sender import DownlinkSender, SenderContext
from chalicelib.errors import DownlinkDelayed, DownlinkRejected, Unavailable
from chalicelib.ports.consuming import ReceivedDownlink, Verdict
from infra.local.in_memory import (
    MemoryApplicationServerStore,
    MemoryDownlinkLedger,
    MemorySecretStore,
)
from tests.rules.scheduler import Fate, Faulty, Inline, Killed, Task, current, history
from tests.rules.world import TENANT, Plan, World

CONNECTION = "c1"


@dataclass
class Published:
    """A downlink of the customer. ``name``: its payload, which identifies its calls at the network server."""

    name: str
    device: str
    body: bytes
    key: str
    message_id: str | None
    valid: bool
    delivered: bool = False
    """True after the first delivery; each later one is a redelivery."""


@dataclass
class NetworkServer:
    """A network server. ``calls``: accepted payloads in order. ``answered``: accepted and rejected payloads."""

    mood: Fate = Fate.WORKS
    refusing: set[str] = field(default_factory=set)
    """Devices that the server does not know, whose downlinks it rejects."""
    calls: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    def send_downlink(self, parameters: Sequence[tuple[str, str]], _as_key: str) -> None:
        task = current()
        fate = task.stop_at("network.send_downlink") if task else Fate.WORKS
        if fate is Fate.CRASHES:
            raise Killed
        if fate is Fate.FAILS or (self.mood is Fate.FAILS and fate is Fate.WORKS):
            raise DownlinkDelayed("503")
        values = dict(parameters)
        self.answered.append(values["Payload"])
        if values["DevEUI"] in self.refusing:
            raise DownlinkRejected("the device is unknown")
        self.calls.append(values["Payload"])
        history.append(f"    network server has {values['Payload']} of {values['DevEUI'][-1]}")
        if fate is Fate.CRASHES_AFTER:
            raise Killed
        if fate in {Fate.ANSWER_LOST, Fate.SHORT}:
            raise DownlinkDelayed("no answer in time")


@dataclass
class Environment:
    """A Lambda environment of the sender. ``receipts``: of the downlinks in its current invocation."""

    task: Task | None = None
    deadline: float = 0.0
    receipts: list[str] = field(default_factory=list)


class DownlinkWorld(World):
    """A world with one connection's downlinks from the customer's broker to the network server."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Published] = []
        self.waiting: list[Published] = []
        """Downlinks in the queue of the customer's broker, in order."""
        self.dead: list[Published] = []
        """Downlinks that the consumer rejected without requeue."""
        self.incidents = 0
        """Upper bound of the calls that may repeat because of a fault."""
        self.network = NetworkServer()
        self.ledger = MemoryDownlinkLedger()
        self.senders = [Environment(), Environment()]
        self._names = itertools.count(1)
        queue: Any = Faulty(
            "downlinks",
            self.downlinks,
            silent={"send": lambda jobs: [False] * len(jobs), "delay": lambda *_: None},
            short={"send": self._send_first},
        )
        secrets: Any = Faulty("secrets", MemorySecretStore())
        servers = MemoryApplicationServerStore()
        servers.put(TENANT, "as", "key")
        self.intake = DownlinkIntake(queue, secrets, self.ingress, self._monitoring, Inline(), self.clock)
        self.sender = DownlinkSender(
            SenderContext(
                connections=self._p_connections,
                secrets=secrets,
                application_servers=servers,
                queue=queue,
                ledger=_any(Faulty("ledger", self.ledger)),
                parked=_any(Faulty("parked", self.parked)),
                failed=self._p_failed,
                network_server=self.network,
                ingress=self.ingress,
                monitoring=self._monitoring,
                executor=Inline(),
                clock=self.clock,
                timing=self.settings.timing,
                monotonic=self.clock,
            )
        )

    def _send_first(self, jobs: Sequence[Any]) -> list[bool]:
        """Queue only the first job, as SQS may accept only a part of a batch."""
        self.downlinks.send(jobs[:1])
        return [True] + [False] * (len(jobs) - 1)

    def publish(self, device: int, *, named: bool, valid: bool) -> None:
        """Publish a downlink of the customer. ``named``: with a message_id."""
        number = next(self._names)
        name, dev_eui = f"{number:04x}", f"{device:016X}"
        fields: dict[str, object] = {"DevEUI": dev_eui, "FPort": 1, "payload_hex": name}
        if not valid:
            del fields["payload_hex"]
        body = json.dumps({"DevEUI_downlink": fields}).encode()
        published = Published(name, dev_eui, body, f"down.{dev_eui}", f"id{number}" if named else None, valid)
        self.published.append(published)
        self.waiting.append(published)

    def consume(self, number: int, plan: Plan, ack_lost: int) -> None:
        """Consume and acknowledge up to ``number`` downlinks.

        ``ack_lost``: the number of final acks that do not reach the broker, because the connection is lost or the
        function is killed.
        """
        part = self.waiting[:number]
        messages = [
            ReceivedDownlink(CONNECTION, index, p.key, p.body, p.message_id, None, p.delivered)
            for index, p in enumerate(part)
        ]
        for published in part:
            published.delivered = True
        verdicts: list[Verdict] = []
        connection = self.connections.connections[TENANT, CONNECTION]
        task = Task("consumer", lambda: verdicts.extend(self.intake.accept(connection, messages)))
        task.run(plan)
        self.incidents += len(part) if task.faults or ack_lost else 0
        settled = {}
        for index, verdict in enumerate(verdicts):
            if verdict is Verdict.LATER:
                continue
            if index < len(verdicts) - ack_lost:
                settled[part[index].name] = verdict
        self.dead += [p for p in part if settled.get(p.name) is Verdict.REJECT]
        self.waiting = [p for p in self.waiting if p.name not in settled]

    def send(self, index: int, number: int) -> None:
        """Start an idle sender with up to ``number`` downlinks."""
        environment = self.senders[index]
        if environment.task:
            return
        records = self.downlinks.take(number)
        if records:
            environment.deadline = self.now + self.settings.timing.function_timeout
            deadline = environment.deadline
            environment.receipts = [record.receipt for record in records]
            environment.task = Task(f"sender {index}", lambda: self.sender.handle(records, deadline))

    def send_on(self, index: int, fates: Sequence[Fate] | None) -> None:
        """Let a sender make one call per fate; None lets it run to its end."""
        task = self.senders[index].task
        if task is None:
            return
        if fates is None:
            task.run()
        else:
            for fate in fates:
                if not task.ended:
                    task.step(fate)
        self._end_sender_invocation(index)

    def _end_sender_invocation(self, index: int) -> None:
        environment = self.senders[index]
        task = environment.task
        if task is None or not task.ended:
            return
        environment.task = None
        self.incidents += len(environment.receipts) if task.faults or task.killed else 0
        if task.error is None:
            self.downlinks.delete(environment.receipts)
        elif not isinstance(task.error, Killed | Unavailable):
            raise task.error

    def pass_time(self, seconds: float) -> None:
        super().pass_time(seconds)
        for index, environment in enumerate(self.senders):
            if environment.task and self.now >= environment.deadline:
                environment.task.kill()
                self._end_sender_invocation(index)


def _any(port: object) -> Any:
    return port
