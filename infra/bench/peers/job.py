"""Task of one contender: the broker, the messages, and the file that lists them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chalicelib.ports.publishing import OutgoingMessage, amqp_properties

HOST = "127.0.0.1"
EXCHANGE, QUEUE, USER = "bench", "bench", "bench"


@dataclass(frozen=True)
class TlsFiles:
    """Paths of PEM files: the broker's authority, and the client's certificate and key."""

    authority: str
    certificate: str
    key: str


@dataclass(frozen=True)
class Job:
    """A broker on ``HOST``, as one scene sees it, and the messages to publish."""

    port: int
    """The broker, a proxy in front of it, or the broker's TLS port."""
    near_port: int
    """The broker without a proxy and without TLS."""
    management_port: int
    password: str
    messages: str
    """The file with the messages, which ``write_messages`` wrote."""
    devices: int
    """Number of devices, each with one message in the file."""
    tls: TlsFiles | None = None

    def text(self) -> str:
        """Return the job as one line."""
        return json.dumps({**asdict(self), "exchange": EXCHANGE, "user": USER, "host": HOST})

    @classmethod
    def read(cls, line: str) -> "Job":
        fields = json.loads(line)
        tls = fields.pop("tls")
        names = cls.__dataclass_fields__
        known = {name: value for name, value in fields.items() if name in names}
        return cls(**known, tls=TlsFiles(**tls) if tls else None)


@dataclass(frozen=True)
class Message:
    """A message as the contenders' libraries want it: routing key, body, and AMQP properties by name."""

    routing_key: str
    body: bytes
    properties: Mapping[str, Any]


def write_messages(path: Path, messages: Sequence[OutgoingMessage]) -> None:
    documents = [
        {
            "routing_key": message.routing_key,
            "body": message.body.decode(),
            "properties": {**amqp_properties(message), "headers": dict(message.headers)},
        }
        for message in messages
    ]
    path.write_text(json.dumps(documents), encoding="utf-8")


def read_messages(job: Job) -> list[Message]:
    documents = json.loads(Path(job.messages).read_text(encoding="utf-8"))
    return [Message(each["routing_key"], each["body"].encode(), each["properties"]) for each in documents]
