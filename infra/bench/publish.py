"""Rate of published and confirmed reports, compared with pika at one publish at a time on the same broker."""

import os
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pika
import pika.adapters.blocking_connection

from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.domain.delivery import Result
from chalicelib.ports.publishing import OutgoingMessage, amqp_properties
from chalicelib.vocabulary import ConnectionState
from infra.local.broker.delay_proxy import delaying_proxy
from infra.local.broker.node import Broker, BrokerConfig
from infra.local.certificates import issue
from infra.local.guardian import guard
from infra.local.tcp_ports import free_ports

BODY = b'{"DevEUI_uplink": {"payload_hex": "' + b"0a" * 730 + b'"}}'
"""1.5 KB, like a report that several gateways received."""
EXCHANGE, QUEUE = "bench", "bench"
USER = "bench"
WARM_UP = 3


@dataclass(frozen=True)
class Measure:
    """Messages per second, the median of the rounds. ``goal`` is the minimum ratio of ``ours`` to ``one_at_a_time``."""

    name: str
    ours: float
    one_at_a_time: float
    goal: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.one_at_a_time

    def __str__(self) -> str:
        verdict = "" if self.goal is None else f", goal {self.goal:g}: {'met' if self.ratio >= self.goal else 'MISSED'}"
        rates = f"{self.ours:,.0f}/s, one at a time {self.one_at_a_time:,.0f}/s"
        return f"{self.name}: {rates}, ratio {self.ratio:.1f}{verdict}"


def measure(port: int, password: str) -> list[Measure]:
    """Measures the broker at ``port``, directly and with a round trip of 20 ms. Prints and returns the results."""
    measures = [
        _compare("publish, 10 devices", port, password, batch=10, rounds=100, goal=3),
        _compare("publish, 100 devices", port, password, batch=100, rounds=30),
    ]
    with delaying_proxy(port, 0.02) as far:
        measures += [
            _compare("publish, 10 devices, 20 ms away", far, password, batch=10, rounds=10, goal=8),
            _compare("publish, 100 devices, 20 ms away", far, password, batch=100, rounds=3),
        ]
    for line in measures:
        print(line)
    return measures


def bench_messages(number_of_devices: int) -> list[OutgoingMessage]:
    """One message for each device."""
    return [
        OutgoingMessage(
            key=str(number),
            group=f"{number:016X}",
            routing_key=f"things.{number:016X}.uplink",
            body=BODY,
            message_id=secrets.token_hex(32),
            type="DevEUI_uplink",
            timestamp=1_700_000_000,
            headers={
                "devEUI": f"{number:016X}",
                "fPort": 1,
                "fCntUp": number,
                "customerId": "1",
                "connectionId": "01X",
            },
        )
        for number in range(number_of_devices)
    ]


def _compare(name: str, port: int, password: str, *, batch: int, rounds: int, goal: float | None = None) -> Measure:
    messages = bench_messages(batch)
    return Measure(
        name,
        ours=_ours(port, password, messages, rounds),
        one_at_a_time=one_at_a_time(port, password, messages, rounds),
        goal=goal,
    )


def bench_connection(port: int) -> Connection:
    """A connection to the broker at ``port``, without the password."""
    return Connection(
        tenant="bench",
        id="01BENCH",
        name="bench",
        active=True,
        configuration=AmqpConfiguration(
            host_name=f"127.0.0.1:{port}",
            protocol=BrokerProtocol.TCP,
            uplink_topic_pattern="things.{DevEUI}.uplink",
            username=USER,
            exchange_name=EXCHANGE,
        ),
        created_at="",
        updated_at="",
        state=ConnectionState.OPENING,
    )


def _ours(port: int, password: str, messages: Sequence[OutgoingMessage], rounds: int) -> float:
    purge(port, password)
    connection = bench_connection(port)
    factory = AmqpPublisherFactory(Settings.model_validate({"allowed_private_networks": "127.0.0.0/8"}))
    with closing(factory.open(connection, ConnectionSecrets(password=password), time.monotonic() + 10)) as publisher:

        def publish() -> None:
            result = publisher.publish(messages, time.monotonic() + 30)
            if any(outcome.result is not Result.DELIVERED for outcome in result.outcomes.values()):
                raise RuntimeError(f"Not all messages were delivered: {result}")

        return rate(publish, len(messages), rounds)


def one_at_a_time(port: int, password: str, messages: Sequence[OutgoingMessage], rounds: int) -> float:
    purge(port, password)
    with _blocking_channel(port, password) as channel:

        def publish() -> None:
            for message in messages:
                properties = pika.BasicProperties(headers=dict(message.headers), **amqp_properties(message))
                channel.basic_publish(EXCHANGE, message.routing_key, message.body, properties, mandatory=True)

        channel.confirm_delivery()
        return rate(publish, len(messages), rounds)


def purge(port: int, password: str) -> None:
    """Empties the queue, because a long queue slows the broker and would distort the next measurement."""
    with _blocking_channel(port, password) as channel:
        channel.queue_purge(QUEUE)


def rate(publish: Callable[[], None], messages: int, rounds: int) -> float:
    for _ in range(WARM_UP):
        publish()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        publish()
        seconds.append(time.perf_counter() - began)
    return messages / statistics.median(seconds)


@contextmanager
def _blocking_channel(port: int, password: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    parameters = pika.ConnectionParameters("127.0.0.1", port, credentials=pika.PlainCredentials(USER, password))
    with closing(pika.BlockingConnection(parameters)) as connection:
        yield connection.channel()


@contextmanager
def bench_broker(directory: Path) -> Iterator[Broker]:
    """A broker with an exchange and a bound queue. Its data is in ``directory``."""
    files = issue(directory / "tls", USER)
    port, tls_port, management_port, dist_port, epmd_port = free_ports(5)
    broker = Broker(
        directory / "broker",
        BrokerConfig(
            port=port,
            tls_port=tls_port,
            management_port=management_port,
            dist_port=dist_port,
            epmd_port=epmd_port,
            username=USER,
            password=secrets.token_hex(8),
            ca_file=str(files.ca_file),
            certificate_file=str(files.server_certificate_file),
            key_file=str(files.server_key_file),
        ),
    )
    guardian = guard(broker.directory, directory / "guardian.log", os.environ)
    try:
        broker.start()
        with _blocking_channel(port, broker.config.password) as channel:
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            channel.queue_declare(QUEUE, durable=True, arguments={"x-max-length": 10_000})
            channel.queue_bind(QUEUE, EXCHANGE, "things.#")
        yield broker
    finally:
        broker.stop()
        guardian.stop(patience=5)
