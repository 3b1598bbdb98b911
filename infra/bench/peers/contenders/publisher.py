"""The connector's publisher: messages in memory, published and confirmed."""

import time
from collections.abc import Callable
from pathlib import Path

from chalicelib.adapters.amqp.publisher import AmqpPublisher, AmqpPublisherFactory
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import BrokerProtocol
from chalicelib.domain.delivery import Result
from chalicelib.errors import BrokerFault
from infra.bench.broker import bench_connection
from infra.bench.peers.contenders.serving import NotDelivered, serve
from infra.bench.peers.job import HOST, Job
from infra.bench.peers.reports import bench_messages

PATIENCE = 60.0
_IDLE = 5.0


class Publisher:
    """An open publisher, as a warm function has it."""

    version = "this repository"

    def __init__(self, job: Job) -> None:
        self._connection, self._secrets = connection_of(job)
        self._messages = bench_messages(self._connection, job.devices)
        self._factory = AmqpPublisherFactory(Settings.model_validate({"allowed_private_networks": "127.0.0.0/8"}))
        self._publisher = self._open()
        self._used_at = time.monotonic()

    def _open(self) -> AmqpPublisher:
        return self._factory.open(self._connection, self._secrets, time.monotonic() + PATIENCE)

    def _revive(self) -> None:
        """Connect again, as the pool does, if the broker closed the connection for its missing heartbeats."""
        try:
            self._publisher.check(time.monotonic() + PATIENCE)
        except BrokerFault:
            self._publisher = self._open()

    def prepare(self, messages: int) -> Callable[[], None]:
        if time.monotonic() - self._used_at > _IDLE:
            self._revive()
        self._used_at = time.monotonic()
        chosen = self._messages[:messages]

        def publish() -> None:
            result = self._publisher.publish(chosen, time.monotonic() + PATIENCE)
            failed = [outcome for outcome in result.outcomes.values() if outcome.result is not Result.DELIVERED]
            if failed:
                raise NotDelivered(f"{len(failed)} of {messages} messages: {result.fault or failed[0]}")

        return publish

    def close(self) -> None:
        self._publisher.close()


def connection_of(job: Job) -> tuple[Connection, ConnectionSecrets]:
    """Return the tenant's connection to the broker of a job, and its secrets."""
    connection, secrets = bench_connection(job.port), ConnectionSecrets(password=job.password)
    if job.tls is None:
        return connection, secrets
    configuration = connection.configuration.model_copy(
        update={"host_name": f"{HOST}:{job.port}", "protocol": BrokerProtocol.SSL}
    )
    files = {
        "trusted_ca_certificate": job.tls.authority,
        "certificate": job.tls.certificate,
        "private_key": job.tls.key,
    }
    texts = {name: Path(path).read_text(encoding="ascii") for name, path in files.items()}
    return connection.model_copy(update={"configuration": configuration}), secrets.model_copy(update=texts)


if __name__ == "__main__":
    serve(Publisher)
