"""py-amqp, the client of Celery: a batch is published without a pause, then all confirms are awaited."""

from collections.abc import Callable
from importlib.metadata import version

import amqp

from infra.bench.peers.contenders.confirms import Confirms
from infra.bench.peers.contenders.serving import NotDelivered, serve
from infra.bench.peers.job import EXCHANGE, HOST, USER, Job, read_messages


class PyAmqp:
    """A channel in confirm mode."""

    version = f"py-amqp {version('amqp')}"

    def __init__(self, job: Job) -> None:
        self._messages = []
        for message in read_messages(job):
            given = dict(message.properties)
            headers = given.pop("headers")
            self._messages.append(
                (message.routing_key, amqp.Message(message.body, application_headers=headers, **given))
            )
        tls = job.tls and {
            "ca_certs": job.tls.authority,
            "certfile": job.tls.certificate,
            "keyfile": job.tls.key,
            "server_hostname": HOST,
        }
        self._connection = amqp.Connection(f"{HOST}:{job.port}", USER, job.password, ssl=tls or False, heartbeat=0)
        self._connection.connect()
        self._channel = self._connection.channel()
        self._channel.confirm_select()
        self._confirms = Confirms()
        self._published = 0
        self._channel.events["basic_ack"].add(self._confirms.add)
        self._channel.events["basic_nack"].add(_refused)
        self._channel.events["basic_return"].add(_refused)

    def prepare(self, messages: int) -> Callable[[], None]:
        chosen = self._messages[:messages]

        def publish() -> None:
            for key, message in chosen:
                self._channel.basic_publish(message, EXCHANGE, key, mandatory=True)
            self._published += messages
            while self._confirms.settled < self._published:
                self._connection.drain_events()

        return publish

    def close(self) -> None:
        self._connection.close()


def _refused(*arguments: object) -> None:
    raise NotDelivered(str(arguments))


if __name__ == "__main__":
    serve(PyAmqp)
