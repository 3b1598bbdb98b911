"""aio-pika: a batch is one ``asyncio.gather`` of publishes that wait for their confirms."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

import aio_pika

from infra.bench.peers.contenders.connecting import tls_context
from infra.bench.peers.contenders.serving import serve
from infra.bench.peers.job import EXCHANGE, HOST, USER, Job, Message, read_messages


class AioPika:
    """A connection on a loop that runs while messages are published. ``publish`` raises for a returned message."""

    version = f"aio-pika {version('aio-pika')}"

    def __init__(self, job: Job) -> None:
        self._loop = asyncio.new_event_loop()
        self._messages = [(message.routing_key, _message(message)) for message in read_messages(job)]
        self._connection = self._loop.run_until_complete(
            aio_pika.connect(
                host=HOST, port=job.port, login=USER, password=job.password, heartbeat=0,
                ssl=job.tls is not None, ssl_context=tls_context(job),
            )
        )  # fmt: skip
        self._exchange = self._loop.run_until_complete(self._open())

    async def _open(self) -> "aio_pika.abc.AbstractExchange":
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        return await channel.get_exchange(EXCHANGE, ensure=False)

    def prepare(self, messages: int) -> Callable[[], None]:
        chosen = self._messages[:messages]
        return lambda: self._loop.run_until_complete(self._publish(chosen))

    async def _publish(self, chosen: list[tuple[str, "aio_pika.Message"]]) -> None:
        await asyncio.gather(*(self._exchange.publish(message, key, mandatory=True) for key, message in chosen))

    def close(self) -> None:
        # It logs the end of every connection as an error.
        logging.getLogger("aiormq").setLevel(logging.CRITICAL)
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


def _message(message: Message) -> "aio_pika.Message":
    given = dict(message.properties)
    given["timestamp"] = datetime.fromtimestamp(given["timestamp"], UTC)
    return aio_pika.Message(message.body, **given)


if __name__ == "__main__":
    serve(AioPika)
