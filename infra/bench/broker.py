"""The broker of the benchmarks, and the connection to it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pika
import pika.adapters.blocking_connection

from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.vocabulary import ConnectionState
from infra.bench.cores import BROKER_CORES, on_cores
from infra.bench.peers.job import EXCHANGE, HOST, QUEUE, USER
from infra.local.broker.node import Broker, BrokerConfig
from infra.local.certificates import issue
from infra.local.guardian import guard
from infra.local.tcp_ports import free_ports


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
            # A busy machine delays confirms, which must end no round.
            action_timeout=10_000,
        ),
        created_at="",
        updated_at="",
        state=ConnectionState.OPENING,
    )


def purge(port: int, password: str) -> None:
    """Empty the queue, because a long queue slows the broker and would distort the next measurement."""
    with control_channel(port, password) as channel:
        channel.queue_purge(QUEUE)


@contextmanager
def control_channel(port: int, password: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    """A channel for declarations and counts. Its connection may be idle for any time."""
    parameters = pika.ConnectionParameters(HOST, port, credentials=pika.PlainCredentials(USER, password), heartbeat=0)
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
            plugins=("rabbitmq_shovel",),
            needs_client_certificate=False,
        ),
    )
    guardian = guard(broker.directory, directory / "guardian.log", os.environ)
    try:
        with on_cores(BROKER_CORES):
            broker.start()
        with control_channel(port, broker.config.password) as channel:
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            channel.queue_declare(QUEUE, durable=True, arguments={"x-max-length": 10_000})
            channel.queue_bind(QUEUE, EXCHANGE, "things.#")
        yield broker
    finally:
        broker.stop()
        guardian.stop(patience=5)
