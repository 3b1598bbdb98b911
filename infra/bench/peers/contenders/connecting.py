"""Parts of the contenders that speak AMQP without a client: TLS, the login, and frames that pika encodes."""

import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import pika
from pika import spec
from pika.frame import Body, Header, Method

from infra.bench.peers.contenders.confirms import Frames
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


def confirming_socket(job: Job) -> tuple[socket.socket, Frames, str]:
    """Return a socket with a channel in confirm mode, its reader, and the name of the broker's version."""
    plain = socket.create_connection((HOST, job.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context = tls_context(job)
    peer = plain if context is None else context.wrap_socket(plain, server_hostname=HOST)
    frames, version = Frames(), ""
    steps: dict[str, list[tuple[int, Any]]] = {
        "start": [(0, spec.Connection.StartOk({}, "PLAIN", f"\0{USER}\0{job.password}", "en_US"))],
        "tune": [(0, spec.Connection.TuneOk(CHANNEL, _FRAME_MAX, 0)), (0, spec.Connection.Open("/"))],
        "open-ok": [(CHANNEL, spec.Channel.Open())],
        "channel": [(CHANNEL, spec.Confirm.Select())],
    }
    peer.sendall(b"AMQP\x00\x00\x09\x01")
    while True:
        data = peer.recv(_BUFFER)
        if not data:
            raise ConnectionError("The broker closed the connection during the login.")
        for name, arguments in frames.methods(data):
            step = _OPENING[name]
            if step == "start":
                version = _version(arguments)
            if step == "confirms":
                return peer, frames, version
            peer.sendall(b"".join(Method(channel, method).marshal() for channel, method in steps[step]))


def _version(arguments: bytes) -> str:
    start = spec.Connection.Start()
    start.decode(arguments)
    given: Mapping[str, Any] = start.server_properties or {}
    return " ".join(str(given.get(name, "")) for name in ("product", "version", "platform"))


def encoded(messages: Sequence[Message]) -> bytes:
    """Return the frames of mandatory publishes to the exchange."""
    frames = []
    for message in messages:
        publish = Method(CHANNEL, spec.Basic.Publish(0, EXCHANGE, message.routing_key, mandatory=True))
        header = Header(CHANNEL, len(message.body), pika.BasicProperties(**message.properties))
        frames += [publish.marshal(), header.marshal(), Body(CHANNEL, message.body).marshal()]
    return b"".join(frames)
