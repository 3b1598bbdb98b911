"""A client for the local stack: the API, AMQP and RabbitMQ's management API."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika

from infra.local.network_server.lrc import Lrc
from infra.local.processes import bound_to_this_process

ROOT = Path(__file__).parents[2]
STACK_PORTS = 21


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def http(
    method: str, url: str, body: bytes | Iterator[bytes] | None = None, headers: dict[str, str] | None = None
) -> Answer:
    request = urllib.request.Request(url, body, headers or {}, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, dict(error.headers), error.read())


def eventually(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Waits for a condition and returns its value. Only a failing test reaches the time limit."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.1)


class Stack:
    """A running local stack. Reads stack.json on each access, because pids change."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def info(self) -> dict[str, Any]:
        info: dict[str, Any] = json.loads((self.directory / "stack.json").read_text())
        return info

    def api(self, method: str, path: str, document: Any = None, token: str | None = None) -> Answer:
        info = self.info
        headers = {"Authorization": f"Bearer {token or info['token']}"}
        body = None
        if document is not None:
            body = json.dumps(document).encode()
            headers["Content-Type"] = "application/json"
        return http(method, info["apiUrl"] + path, body, headers)

    def configuration(self, protocol: str = "TCP", **changes: Any) -> dict[str, Any]:
        amqp = self.info["amqp"]
        common = {
            "protocol": protocol,
            "username": amqp["username"],
            "password": amqp["password"],
            "exchangeName": "amq.topic",
            "uplinkTopicPattern": "up.{DevEUI}",
            "downlinkTopicPattern": "down.{DevEUI}",
        }
        if protocol == "TCP":
            return {"hostName": f"{amqp['host']}:{amqp['port']}", **common, **changes}
        return {
            "hostName": f"localhost:{amqp['tlsPort']}",
            **common,
            "certificate": Path(amqp["clientCertificateFile"]).read_text(),
            "privateKey": Path(amqp["clientKeyFile"]).read_text(),
            "trustedCaCertificate": Path(amqp["caFile"]).read_text(),
            **changes,
        }

    def connect(self, name: str, configuration: dict[str, Any]) -> dict[str, Any]:
        document = {"connectorId": "actility-amqp-0.9.1-iot", "name": name, "configuration": configuration}
        answer = self.api("POST", "/connections", document)
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.json
        return created

    def state(self, connection_id: str) -> str:
        return str(self.api("GET", f"/connections/{connection_id}").json["state"])

    def wait_open(self, connection_id: str) -> None:
        eventually(lambda: self.state(connection_id) == "OPENED", "the connection is OPENED")

    @property
    def lrc(self) -> Lrc:
        info = self.info
        return Lrc(info["apiUrl"], info["applicationServer"]["asId"], info["applicationServer"]["asKey"])

    def post_raw(self, body: bytes, chunks: Iterator[bytes] | None = None) -> Answer:
        """Posts a report's bytes with the LRC's token; with ``Transfer-Encoding: chunked`` if chunks are given."""
        parameters = self.lrc.parameters(json.loads(body))
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)
        url = f"{self.info['apiUrl']}/uplinks?{query}"
        return http("POST", url, chunks or body, {"Content-Type": "application/json"})

    def management(self, path: str) -> Any:
        amqp = self.info["amqp"]
        credentials = base64.b64encode(f"{amqp['username']}:{amqp['password']}".encode()).decode()
        return http("GET", amqp["managementUrl"] + path, headers={"Authorization": f"Basic {credentials}"}).json

    def broker(self, verb: str) -> None:
        subprocess.run(self.info["amqp"][verb], check=True, capture_output=True, timeout=120)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        amqp = self.info["amqp"]
        credentials = pika.PlainCredentials(amqp["username"], amqp["password"])
        parameters = pika.ConnectionParameters(amqp["host"], amqp["port"], credentials=credentials)
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection.channel()
        finally:
            connection.close()

    def bind(self, queue: str, key: str) -> None:
        """Binds a durable queue, so that confirmed messages survive a restart of the broker."""
        with self.channel() as channel:
            channel.queue_declare(queue, durable=True)
            channel.queue_bind(queue, "amq.topic", key)

    def messages(self, queue: str) -> list[tuple[Any, Any, bytes]]:
        """Takes all messages out of the queue, as (method, properties, body)."""
        found: list[tuple[Any, Any, bytes]] = []
        with self.channel() as channel:
            while True:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return found
                found.append((method, properties, body))

    def collect(self, queue: str, number: int, seconds: float = 60) -> list[tuple[Any, Any, bytes]]:
        """Waits for ``number`` messages and returns all."""
        found: list[tuple[Any, Any, bytes]] = []

        def enough() -> bool:
            found.extend(self.messages(queue))
            return len(found) >= number

        eventually(enough, f"{number} messages in {queue}", seconds)
        return found

    def downlinks(self) -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = http("GET", self.info["networkServer"]["downlinksUrl"]).json
        return received


STACK_COMMAND = bound_to_this_process([sys.executable, "-m", "infra.local.stack"], signal.SIGKILL)
"""Starts a stack that ends with the test process, however that ends."""


@contextmanager
def running_stack(
    directory: Path, port_base: int, command: Sequence[str] = STACK_COMMAND, **environment: str
) -> Iterator[tuple[Stack, Any]]:
    """Starts the stack as a user does, with its output in ``output.txt``, and yields it once it is ready."""
    directory.mkdir(parents=True, exist_ok=True)
    output = directory / "output.txt"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**inherited, "LOCAL_DIR": str(directory / "local"), "PORT_BASE": str(port_base), **environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    stack = Stack(directory / "local")

    def ready() -> bool:
        assert process.poll() is None, f"the stack ended:\n{output.read_text()}"
        return (directory / "local" / "stack.json").exists()

    try:
        eventually(ready, "the stack is ready", 180)
        yield stack, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
