"""pika as most programs use it: ``BlockingConnection`` in confirm mode, which waits for each confirm."""

from collections.abc import Callable

import pika

from infra.bench.peers.contenders.connecting import tls_context
from infra.bench.peers.contenders.serving import serve
from infra.bench.peers.job import EXCHANGE, HOST, USER, Job, read_messages


class OneAtATime:
    """A blocking channel, which raises when a message is returned or refused."""

    version = f"pika {pika.__version__}"

    def __init__(self, job: Job) -> None:
        self._messages = [
            (message.routing_key, message.body, pika.BasicProperties(**message.properties))
            for message in read_messages(job)
        ]
        context = tls_context(job)
        self._connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                HOST,
                job.port,
                credentials=pika.PlainCredentials(USER, job.password),
                heartbeat=0,
                ssl_options=None if context is None else pika.SSLOptions(context, HOST),
            )
        )
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def prepare(self, messages: int) -> Callable[[], None]:
        chosen = self._messages[:messages]

        def publish() -> None:
            for key, body, properties in chosen:
                self._channel.basic_publish(EXCHANGE, key, body, properties, mandatory=True)

        return publish

    def close(self) -> None:
        self._connection.close()


if __name__ == "__main__":
    serve(OneAtATime)
