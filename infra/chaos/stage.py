"""The environment of a chaos run: a local stack, a second broker, and the broker objects of each connection."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chalicelib.config import Settings
from infra.chaos.management import Management
from infra.chaos.plan import TENANT, PlaceOf
from infra.chaos.proxy import Proxy
from infra.local.broker.node import Broker, BrokerConfig, end_node
from infra.local.demo.api_client import ApiClient
from infra.local.errors import StackFailed
from infra.local.files import write_atomically
from infra.local.guardian import guard
from infra.local.issuer import Issuer
from infra.local.processes import Child
from infra.local.token import ISSUER_FILE
from infra.local.waiting import wait_until

STAGE_FILE = "stage.json"
TIME_SCALE = 60
AS_ID = "TWA_CHAOS"
"""An application server that the network server's double does not know, so that it sends no reports for it."""
_START = 300.0
_OPEN = 120.0
_GUARDIAN_PATIENCE = 5.0
_SECOND_NODE = 10
"""Offset of the second broker's ports from the stack's base. The stack does not use them."""
_ALTERNATE = "things-alternate"


@dataclass(frozen=True)
class Node:
    port: int
    tls_port: int
    management_url: str
    username: str
    password: str


@dataclass(frozen=True)
class Place:
    """One connection with its virtual host, user, exchange and durable queue at the broker."""

    index: int
    id: str
    node: int
    tls: bool
    vhost: str
    user: str
    password: str
    exchange: str
    queue: str
    tenant: str = TENANT

    @property
    def downlink_queue(self) -> str:
        return f"iot-flow.{self.id}.downlink"


@dataclass
class Stage:
    """A running stage. ``proxies`` has the proxies by connection."""

    directory: Path
    local: Path
    nodes: list[Node]
    brokers: list[Broker]
    places: list[Place]
    proxies: dict[int, Proxy]

    @property
    def info(self) -> dict[str, Any]:
        """The content of stack.json, read on each access because pids change."""
        info: dict[str, Any] = json.loads((self.local / "stack.json").read_text(encoding="utf-8"))
        return info

    @property
    def api(self) -> ApiClient:
        info = self.info
        return ApiClient(info["apiUrl"], info["token"])

    def api_of(self, tenant: str) -> ApiClient:
        """The API with a token of any tenant; an own client for each caller."""
        issuer = Issuer(self.local, str(json.loads((self.local / ISSUER_FILE).read_text(encoding="utf-8"))["issuer"]))
        return ApiClient(self.info["apiUrl"], issuer.token(tenant))

    @property
    def settings(self) -> Settings:
        return Settings(resource_prefix="iot-flow-local", time_scale=TIME_SCALE)

    def management(self, node: int) -> Management:
        at = self.nodes[node]
        return Management(at.management_url, at.username, at.password)

    def heal(self) -> None:
        """Ends the effects of interrupted chaos faults."""
        for broker in self.brokers:
            broker.start()


@contextmanager
def running_stage(
    directory: Path, places: Sequence[PlaceOf], port_base: int, time_scale: int = TIME_SCALE
) -> Iterator[Stage]:
    """Starts everything and stops it at the end. Raises StackFailed or BrokerFailed."""
    local = directory / "stack"
    second = directory / "broker-2"
    end_node(second)
    for path in (second, directory / "run"):
        shutil.rmtree(path, ignore_errors=True)
    (directory / "run").mkdir(parents=True)
    # The caller may choose the emulation of SQS, to check order and visibility with another one.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") or name == "AWS_ENDPOINT_URL_SQS"
    }
    # A stack.json of an earlier run would look like this run's.
    (local / "stack.json").unlink(missing_ok=True)
    environment = {
        **inherited, "LOCAL_DIR": str(local), "PORT_BASE": str(port_base), "DEMO": "0", "TIME_SCALE": str(time_scale),
    }  # fmt: skip
    guardian = guard(second, directory / "run" / "guardian.log", os.environ)
    stack = Child("stack", [sys.executable, "-m", "infra.local.stack"], directory / "run" / "stack.log", environment)
    stage = Stage(directory / "run", local, [], [], [], {})
    try:
        _wait_for(stack, local / "stack.json")
        _add_nodes(stage, 1 + max(place.node for place in places), second, port_base + _SECOND_NODE)
        for place in places:
            _add_place(stage, place)
        write_atomically(stage.directory / STAGE_FILE, describe(stage))
        _wait_open(stage)
        yield stage
    finally:
        for proxy in stage.proxies.values():
            proxy.stop()
        for broker in stage.brokers[1:]:
            broker.stop()
        guardian.stop(_GUARDIAN_PATIENCE)
        # The stack stops its broker, even if this process started it.
        stack.stop(60)


def describe(stage: Stage) -> dict[str, Any]:
    """The stage as a document for the other processes of the run."""
    return {
        "local": str(stage.local),
        "nodes": [asdict(node) for node in stage.nodes],
        "places": [asdict(place) for place in stage.places],
    }


def read_stage(directory: Path) -> Stage:
    """Reads the stage in another process of the run."""
    document = json.loads((directory / STAGE_FILE).read_text(encoding="utf-8"))
    nodes = [Node(**node) for node in document["nodes"]]
    places = [Place(**place) for place in document["places"]]
    return Stage(directory, Path(document["local"]), nodes, [], places, {})


def _wait_for(stack: Child, file: Path) -> None:
    deadline = time.monotonic() + _START
    while not file.exists():
        code = stack.exit_code()
        if code is not None or time.monotonic() > deadline:
            ended = "did not start in time" if code is None else f"ended ({code}) before it was ready"
            raise StackFailed(f"The local stack {ended}. The end of {stack.log}:\n{stack.tail()}")
        time.sleep(0.1)


def _add_nodes(stage: Stage, nodes: int, second: Path, base: int) -> None:
    first = Broker.load(stage.local / "broker")
    stage.brokers.append(first)
    for number in range(1, nodes):
        config = BrokerConfig(
            port=base, tls_port=base + 1, management_port=base + 2, dist_port=base + 3, epmd_port=base + 4,
            username=first.config.username, password=first.config.password, ca_file=first.config.ca_file,
            certificate_file=first.config.certificate_file, key_file=first.config.key_file,
        )  # fmt: skip
        print(f"Starting broker {number + 1} on {base} ...", flush=True)
        broker = Broker(second, config)
        stage.brokers.append(broker)
        broker.start()
    for broker in stage.brokers:
        at = broker.config
        url = f"http://127.0.0.1:{at.management_port}"
        stage.nodes.append(Node(at.port, at.tls_port, url, at.username, at.password))


def _add_place(stage: Stage, wanted: PlaceOf) -> None:
    name = f"chaos-{wanted.index}"
    node = stage.nodes[wanted.node]
    password = f"{node.password}-{wanted.index}"
    place = Place(
        index=wanted.index,
        id="",
        node=wanted.node,
        tls=wanted.tls,
        vhost=name,
        user=name,
        password=password,
        exchange=f"things-{wanted.index}",
        queue=f"collect-{wanted.index}",
        tenant=wanted.tenant,
    )
    management = stage.management(wanted.node)
    management.ready()
    management.put(f"vhosts/{name}", {})
    management.put(f"permissions/{name}/{node.username}", {"configure": ".*", "write": ".*", "read": ".*"})
    management.put(f"users/{name}", {"password": password, "tags": ""})
    # The user may create only its downlink queue, so that a deleted exchange stays missing.
    rights = {"configure": r"^iot-flow\..*", "write": ".*", "read": ".*"}
    management.put(f"permissions/{name}/{name}", rights)
    # The queue rejects excess publishes from the start. A policy with both length and reject-publish would first drop
    # confirmed messages, because RabbitMQ applies the length before the overflow behaviour.
    refusing = {"durable": True, "arguments": {"x-overflow": "reject-publish"}}
    management.put(f"queues/{name}/{place.queue}", refusing)
    make_exchange(management, place)
    port = node.tls_port if wanted.tls else node.port
    if wanted.proxied:
        stage.proxies[wanted.index] = Proxy(port, encrypted=wanted.tls)
        port = stage.proxies[wanted.index].port
    created = stage.api_of(place.tenant).call("POST", "/connections", _connection(stage, place, port))
    stage.places.append(Place(**{**asdict(place), "id": created["id"]}))


def make_exchange(management: Management, place: Place) -> None:
    """Declares a connection's exchange and binds its queue.

    The alternate exchange takes reports that are published in between. They would otherwise be unroutable and fail.
    """
    management.put(f"exchanges/{place.vhost}/{_ALTERNATE}", {"type": "topic", "durable": True})
    management.bind(place.vhost, _ALTERNATE, place.queue, "up.#")
    arguments = {"alternate-exchange": _ALTERNATE}
    management.put(
        f"exchanges/{place.vhost}/{place.exchange}", {"type": "topic", "durable": True, "arguments": arguments}
    )
    management.bind(place.vhost, place.exchange, place.queue, "up.#")


def _connection(stage: Stage, place: Place, port: int) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "hostName": f"localhost:{port}",
        "protocol": "SSL" if place.tls else "TCP",
        "virtualHost": place.vhost,
        "username": place.user,
        "password": place.password,
        "exchangeName": place.exchange,
        "uplinkTopicPattern": "up.{DevEUI}",
        "downlinkTopicPattern": "down.{DevEUI}",
        "downlinkAsId": AS_ID,
        "downlinkAsKey": "00112233445566778899aabbccddeeff",
        "reconnectStrategy": ("AGGRESSIVE", "NORMAL")[place.index % 2],
        # A broker on a busy machine may confirm slowly, and this run does not test its speed.
        "actionTimeout": 3000,
    }
    if place.tls:
        amqp = stage.info["amqp"]
        configuration |= {
            "certificate": Path(amqp["clientCertificateFile"]).read_text(encoding="utf-8"),
            "privateKey": Path(amqp["clientKeyFile"]).read_text(encoding="utf-8"),
            "trustedCaCertificate": Path(amqp["caFile"]).read_text(encoding="utf-8"),
        }
    return {
        "connectorId": "actility-amqp-0.9.1-iot", "name": f"Chaos {place.index}", "configuration": configuration,
    }  # fmt: skip


def connection_to(port: int, name: str) -> dict[str, Any]:
    """Return the request of a connection to a port of this machine that needs nothing at a broker."""
    configuration = {
        "hostName": f"localhost:{port}", "protocol": "TCP",
        "uplinkTopicPattern": "up.{DevEUI}", "downlinkTopicPattern": "down.{DevEUI}",
    }  # fmt: skip
    return {"connectorId": "actility-amqp-0.9.1-iot", "name": name, "configuration": configuration}


def _wait_open(stage: Stage) -> None:
    """Waits until each connection is OPENED and its downlink queue is bound, so that downlinks are routable."""

    def opened(place: Place) -> bool:
        state = stage.api_of(place.tenant).call("GET", f"/connections/{place.id}")["state"]
        queue = stage.management(place.node).get(f"queues/{place.vhost}/{place.downlink_queue}/bindings")
        return state == "OPENED" and bool(queue) and any(bound["source"] == place.exchange for bound in queue)

    for place in stage.places:
        if not wait_until(lambda: opened(place), _OPEN, 0.3):  # noqa: B023  # called in this round
            raise StackFailed(f"The connection {place.id} ({place.vhost}) did not open; see {stage.local / 'logs'}")
