"""Helpers of the broker tests: a customer's broker, its queues, and runs of the consumer."""

import base64
import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from chalicelib.adapters.amqp.consumer import AmqpDownlinkConsumer
from chalicelib.adapters.amqp.publisher import AmqpPublisher, AmqpPublisherFactory
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.errors import BrokerFault
from chalicelib.ports.consuming import ReceivedDownlink, Verdict
from chalicelib.ports.publishing import OutgoingMessage, PublishResult
from chalicelib.vocabulary import ConnectionState
from infra.local.broker.node import Broker
from infra.local.certificates import Certificates

LOCAL = Settings.model_validate({"allowed_private_networks": "127.0.0.0/8,::1/128"})


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:12]}"


class Site:
    """A broker with its certificates, and connections to it as a tenant configures them."""

    def __init__(self, broker: Broker, certificates: Certificates) -> None:
        self.broker = broker
        self.certificates = certificates
        self.user = broker.config.username
        self.secrets = ConnectionSecrets(password=broker.config.password)
        self.tls_secrets = ConnectionSecrets(
            certificate=certificates.client_certificate_file.read_text(),
            private_key=certificates.client_key_file.read_text(),
            trusted_ca_certificate=certificates.ca_file.read_text(),
        )

    def remember(self) -> None:
        """Make the node store its declarations, which it otherwise does too late for a test that kills it."""
        self.broker.ctl("eval", "mnesia:sync_log().")

    def connection(self, **configuration: Any) -> Connection:
        """Return a connection over plain TCP with user and password. ``configuration``: fields to override."""
        fields = {
            "host_name": f"127.0.0.1:{self.broker.config.port}",
            "protocol": "TCP",
            "username": self.user,
            "uplink_topic_pattern": "up.{DevEUI}",
            "downlink_topic_pattern": "down.{DevEUI}",
            **configuration,
        }
        return Connection(
            tenant="acme",
            id=unique("01C"),
            name="test",
            active=True,
            configuration=AmqpConfiguration(**fields),
            created_at="",
            updated_at="",
            state=ConnectionState.OPENING,
        )

    def tls_connection(self, **configuration: Any) -> Connection:
        """Return a connection over mutual TLS that logs in with the client certificate."""
        fields = {"host_name": f"localhost:{self.broker.config.tls_port}", "protocol": "SSL", "username": None}
        return self.connection(**{**fields, **configuration})

    @contextmanager
    def publisher(
        self, connection: Connection | None = None, secrets: ConnectionSecrets | None = None
    ) -> Iterator[AmqpPublisher]:
        opened = AmqpPublisherFactory(LOCAL).open(
            connection or self.connection(), secrets or self.secrets, time.monotonic() + 10
        )
        with closing(opened):
            yield opened

    @contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        """Open a channel of the customer's application."""
        parameters = pika.ConnectionParameters(
            "127.0.0.1",
            self.broker.config.port,
            credentials=pika.PlainCredentials(self.user, self.broker.config.password),
        )
        with closing(pika.BlockingConnection(parameters)) as connection:
            yield connection.channel()

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the management API and return its JSON answer."""
        credentials = base64.b64encode(f"{self.user}:{self.broker.config.password}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.broker.config.management_port}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # http is written above
            text = answer.read()
        return json.loads(text) if text else None

    def user_with(self, **permissions: str) -> tuple[str, ConnectionSecrets]:
        """Create a user on ``/`` with only the given permissions (configure, write, read: regular expressions)."""
        name = unique("user")
        self.api("PUT", f"users/{name}", {"password": "pw-of-user", "tags": ""})
        self.api("PUT", f"permissions/%2F/{name}", {"configure": "", "write": "", "read": "", **permissions})
        return name, ConnectionSecrets(password="pw-of-user")

    def connections_named(self, name: str) -> list[dict[str, Any]]:
        listed = self.api("GET", "connections")
        return [one for one in listed if one.get("client_properties", {}).get("connection_name") == name]


def outgoing(key: str, group: str = "0000000000000001", **changes: Any) -> OutgoingMessage:
    fields: dict[str, Any] = {
        "key": key,
        "group": group,
        "routing_key": f"up.{group}",
        "body": b'{"DevEUI_uplink": {}}',
        "message_id": f"message-{key}",
        "type": "DevEUI_uplink",
        **changes,
    }
    return OutgoingMessage(**fields)


def bound_queue(site: Site, key: str, **arguments: Any) -> str:
    queue = unique("queue")
    with site.channel() as channel:
        channel.queue_declare(queue, durable=True, arguments=arguments)
        channel.queue_bind(queue, "amq.topic", key)
    return queue


def drain_queue(site: Site, queue: str) -> list[tuple[Any, Any, bytes]]:
    """Remove and return all messages of a queue, in order."""
    with site.channel() as channel:
        found = []
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(got)
        return found


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def results(result: PublishResult) -> dict[str, str]:
    return {key: outcome.reason or outcome.result.value for key, outcome in result.outcomes.items()}


def refusal(connection: Connection, secrets: ConnectionSecrets, settings: Settings = LOCAL) -> BrokerFault:
    """Return the fault of opening a publisher, which must fail."""
    with pytest.raises(BrokerFault) as caught:
        AmqpPublisherFactory(settings).open(connection, secrets, soon(10))
    return caught.value


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208


class Run:
    """A consumer's run in the test's thread and its callbacks. ``ends``: checked at every tick; True ends the run."""

    def __init__(
        self, ends: Callable[["Run"], bool], judge: Callable[[ReceivedDownlink], Verdict] = lambda _message: Verdict.ACK
    ) -> None:
        self.consumer = AmqpDownlinkConsumer(LOCAL)
        self.batches: list[list[ReceivedDownlink]] = []
        self.opened: list[str] = []
        self.faults: list[tuple[str, BrokerFault]] = []
        self.ticks = 0
        self.timed_out = True
        self._ends = ends
        self._judge = judge

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for batch in self.batches for message in batch]

    def __call__(self, seconds: float = 15.0, close_seconds: float = 8.0) -> "Run":
        began = time.monotonic()
        self.consumer.run(
            began + seconds,
            began + seconds + close_seconds,
            self._on_batch,
            self.opened.append,
            lambda connection_id, fault: self.faults.append((connection_id, fault)),
            self._tick,
        )
        assert not self.timed_out, f"opened {self.opened}, faults {self.faults}, bodies {self.bodies}"
        return self

    def _on_batch(self, _connection_id: str, messages: Sequence[ReceivedDownlink]) -> Sequence[Verdict]:
        verdicts = [self._judge(message) for message in messages]
        self.batches.append(list(messages))
        return verdicts

    def _tick(self) -> None:
        self.ticks += 1
        if self._ends(self):
            self.timed_out = False
            self.consumer.finish()
