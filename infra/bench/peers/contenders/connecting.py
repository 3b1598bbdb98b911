"""Parts of the contenders that speak AMQP without a client: TLS, the login, and frames that pika encodes."""

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pika
from pika import spec
from pika.frame import Body, Header, Method

from infra.bench.peers.contenders.confirms import ACK, NACK, RETURN, Confirms, Frames, Name, acknowledged
from infra.bench.peers.contenders.serving import NotDelivered
from infra.bench.peers.job import EXCHANGE, HOST, USER, Job, Message

_BUFFER = 65536
_FRAME_MAX = 131_072
_OPENING = {(10, 10): "start", (10, 30): "tune", (10, 41): "open-ok", (20, 11): "channel", (85, 11): "confirms"}
CHANNEL = 1


def tls_context(job: Job) -> ssl.SSLContext | None:
    if job.tls is None:
        return None
    context = ssl.create_default_context(cafile=job.tls.authority)
    context.load_cert_chain(job.tls.certificate, job.tls.key)
    return context


class ConfirmingSocket:
    """A socket with a channel in confirm mode, for frames that were encoded before."""

    def __init__(self, job: Job, port: int) -> None:
        """Log in at a port, with TLS if it is the job's."""
        plain = socket.create_connection((HOST, port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = tls_context(job) if port == job.port else None
        self._socket = plain if context is None else context.wrap_socket(plain, server_hostname=HOST)
        self._frames = Frames()
        self._confirms = Confirms()
        self._published = 0
        self.version = self._log_in(job.password)
        """Name and version of the broker."""

    def publish(self, data: bytes, messages: int) -> None:
        """Send the frames of a number of messages, and return when all are confirmed."""
        self._published += messages
        self._socket.sendall(data)
        while self._confirms.settled < self._published:
            for name, arguments in self._methods():
                if name in (NACK, RETURN):
                    raise NotDelivered(f"method {name}")
                if name == ACK:
                    self._confirms.add(*acknowledged(arguments))

    def close(self) -> None:
        self._socket.close()

    def _methods(self) -> Iterator[tuple[Name, bytes]]:
        data = self._socket.recv(_BUFFER)
        if not data:
            raise ConnectionError("The broker closed the connection.")
        return self._frames.methods(data)

    def _log_in(self, password: str) -> str:
        steps: dict[str, list[tuple[int, Any]]] = {
            "start": [(0, spec.Connection.StartOk({}, "PLAIN", f"\0{USER}\0{password}", "en_US"))],
            "tune": [(0, spec.Connection.TuneOk(CHANNEL, _FRAME_MAX, 0)), (0, spec.Connection.Open("/"))],
            "open-ok": [(CHANNEL, spec.Channel.Open())],
            "channel": [(CHANNEL, spec.Confirm.Select())],
        }
        version = ""
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        while True:
            for name, arguments in self._methods():
                step = _OPENING[name]
                if step == "start":
                    version = _version(arguments)
                if step == "confirms":
                    return version
                self._socket.sendall(b"".join(Method(channel, method).marshal() for channel, method in steps[step]))


def _version(arguments: bytes) -> str:
    start = spec.Connection.Start()
    start.decode(arguments)
    given: Mapping[str, Any] = start.server_properties or {}
    return " ".join(str(given.get(name, "")) for name in ("product", "version", "platform"))


def encoded(messages: Sequence[Message], exchange: str = EXCHANGE) -> bytes:
    """Return the frames of mandatory publishes to an exchange."""
    frames = []
    for message in messages:
        publish = Method(CHANNEL, spec.Basic.Publish(0, exchange, message.routing_key, mandatory=True))
        header = Header(CHANNEL, len(message.body), pika.BasicProperties(**message.properties))
        frames += [publish.marshal(), header.marshal(), Body(CHANNEL, message.body).marshal()]
    return b"".join(frames)
