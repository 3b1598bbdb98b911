"""Checks of the flows: uplinks and downlinks over TCP and TLS, an outage, and an idle function."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pika
import urllib3
from pika.exceptions import AMQPConnectionError, AMQPError, UnroutableError

from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID
from infra.deploy.verify.patient_api import PatientApi
from infra.deploy.verify.report import CheckFailed, NotRun
from infra.deploy.verify.site import BROKER, BROKER_TLS, BrokerAddress, Site
from infra.local.demo.run import uplink
from infra.local.errors import StackFailed

DEVICES = tuple(f"70B3D5E75E00FF{number:02X}" for number in range(1, 6))
_UPLINKS = 5
_PATIENCE = 400.0
"""Seconds. After a failure of AWS, a wake comes again after three minutes, and the sweep within five."""
_LOOK = 0.2
_OK, _NO_CONTENT, _NOT_FOUND = 200, 204, 404


@dataclass
class Line:
    """A connection under test, and the customer's queue that its uplinks arrive in."""

    api: PatientApi
    address: BrokerAddress
    topic: str
    connection_id: str = ""
    received: list[tuple[str, int]] = field(default_factory=list)
    """(DevEUI, FCntUp) in the order of arrival."""

    @property
    def queue(self) -> str:
        """The name of the customer's queue."""
        return f"{self.topic}.verify"

    def post(self, first: int, last: int) -> list[tuple[str, int]]:
        """Post uplinks of every device with the counters from ``first`` to ``last``, and return them."""
        posted = []
        for number in range(first, last + 1):
            for index, device in enumerate(DEVICES):
                self._post(uplink(device, number, index))
                posted.append((device, number))
        return posted

    def _post(self, report: dict[str, Any]) -> None:
        status, _ = self.api.request("POST", "/uplinks", report)
        if status != _OK:
            raise CheckFailed(f"the API answered {status} to an uplink")

    def await_uplinks(self, wanted: list[tuple[str, int]], seconds: float = _PATIENCE) -> None:
        """Consume until the wanted uplinks arrived. Raises CheckFailed for a lost, unknown or swapped one."""
        self.wait("the uplinks", lambda: set(wanted) <= set(self._consume()), seconds)
        for device in DEVICES:
            # A repeat is allowed, an earlier uplink after a later one is not.
            first_seen = list(dict.fromkeys(number for name, number in self.received if name == device))
            if first_seen != sorted(first_seen):
                raise CheckFailed(f"the uplinks of {device} arrived in the order {first_seen}")

    def _consume(self) -> list[tuple[str, int]]:
        # A broker that was just started may not accept connections yet.
        with suppress(AMQPConnectionError), self.address.open() as connection:
            channel = connection.channel()
            while (got := channel.basic_get(self.queue, auto_ack=True))[0] is not None:
                fields = json.loads(got[2]).get("DevEUI_uplink")
                if fields:
                    self.received.append((fields["DevEUI"], fields["FCntUp"]))
        return self.received

    def wait(self, what: str, reached: Callable[[], bool], seconds: float = _PATIENCE) -> None:
        """Wait for a condition. Raises CheckFailed with the connection's state."""
        end = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > end:
                now = self.api.call("GET", f"/connections/{self.connection_id}")
                raise CheckFailed(f"waited {seconds:.0f} s for {what}; {now['state']}: {now['stateReason']}")
            time.sleep(_LOOK)

    def is_in(self, state: str) -> bool:
        """Return whether the connection is in a state."""
        return bool(self.api.call("GET", f"/connections/{self.connection_id}")["state"] == state)

    def remove(self) -> None:
        """Delete the connection, if it was created, and the customer's queue."""
        if self.connection_id:
            status, _ = self.api.request("DELETE", f"/connections/{self.connection_id}")
            # A repeated request finds nothing.
            if status not in {_NO_CONTENT, _NOT_FOUND}:
                raise CheckFailed(f"the API answered {status} to DELETE /connections/{self.connection_id}")
        with self.address.open() as connection:
            connection.channel().queue_delete(self.queue)


@contextmanager
def line(site: Site, address: BrokerAddress | None, variable: str) -> Iterator[Line]:
    """A new connection that is open, deleted at the end with the customer's queue."""
    if address is None:
        raise NotRun(f"{variable} names no broker that this machine and the stage can reach")
    made = Line(site.api, address, f"verify.{secrets.token_hex(4)}")
    try:
        _open(site, made)
        yield made
    except BaseException as fault:
        try:
            made.remove()
        except (CheckFailed, AMQPError, urllib3.exceptions.HTTPError, OSError) as error:
            # The first fault is the one to report: with a dead broker, its removal fails, too.
            fault.add_note(f"not removed: connection {made.connection_id}, queue {made.queue} ({type(error).__name__})")
        raise
    made.remove()


def _open(site: Site, made: Line) -> None:
    with made.address.open() as connection:
        channel = connection.channel()
        channel.queue_declare(made.queue, durable=True, arguments={"x-expires": 3_600_000})
        channel.queue_bind(made.queue, "amq.topic", f"{made.topic}.*.uplink")
    patterns = {f"{kind}TopicPattern": f"{made.topic}.{{DevEUI}}.{kind}" for kind in ("uplink", "downlink")}
    server: dict[str, str] = dict(site.stack.get("applicationServer", {}))
    keys = {"downlinkAsId": server["asId"], "downlinkAsKey": server["asKey"]} if server else {}
    configuration = made.address.configuration() | patterns | keys
    document = {"connectorId": CONNECTOR_ID, "name": made.topic, "configuration": configuration}
    made.connection_id = made.api.call("POST", "/connections", document)["id"]
    made.wait("the connection to open", lambda: made.is_in("OPENED"))


def uplinks_over_tcp(site: Site) -> str:
    """Uplinks of five devices arrive in order over TCP."""
    return _uplinks(site, site.tcp, BROKER)


def uplinks_over_tls(site: Site) -> str:
    """Uplinks of five devices arrive in order over TLS."""
    return _uplinks(site, site.tls, BROKER_TLS)


def _uplinks(site: Site, address: BrokerAddress | None, variable: str) -> str:
    with line(site, address, variable) as made:
        began = time.monotonic()
        posted = made.post(1, _UPLINKS)
        made.await_uplinks(posted)
        repeated = f", {made.api.patience.repeated} requests repeated" if made.api.patience.repeated else ""
        seconds = time.monotonic() - began
        return f"{len(posted)} uplinks of {len(DEVICES)} devices arrived in order, {seconds:.1f} s{repeated}"


def downlink_back(site: Site) -> str:
    """A downlink that is published at the broker reaches the network server."""
    with line(site, site.tcp or site.tls, BROKER) as made:
        payload = secrets.token_hex(4)
        downlink = {"DevEUI_downlink": {"DevEUI": DEVICES[0], "FPort": 2, "payload_hex": payload}}
        made.wait("the downlink queue", lambda: _published(made, json.dumps(downlink).encode()))

        def counted() -> bool:
            answer = made.api.call("GET", f"/connections/{made.connection_id}/statistics?period=1h")
            if answer["downlinks"]["failed"]:
                failed = made.api.call("GET", f"/connections/{made.connection_id}/messages?direction=downlink")
                raise CheckFailed(f"the downlink failed: {failed[0]['reason']}, {failed[0]['detail']}")
            return bool(answer["downlinks"]["delivered"])

        made.wait("the network server's answer", counted)
        if site.is_local:
            listed = urllib3.request("GET", site.stack["networkServer"]["downlinksUrl"], timeout=10).json()
            if sum(payload in json.dumps(each) for each in listed) != 1:
                raise CheckFailed("the network server's double does not list the downlink once")
    return "the network server accepted the downlink"


def _published(made: Line, body: bytes) -> bool:
    with made.address.open() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish(
                "amq.topic",
                f"{made.topic}.{DEVICES[0]}.downlink",
                body,
                pika.BasicProperties(content_type="application/json"),
                mandatory=True,
            )
        except UnroutableError:
            return False
    return True


def broker_killed(site: Site) -> str:
    """Uplinks that are posted while the broker is down arrive after it, in order."""
    if not site.is_local:
        raise NotRun("the broker was given, and this run must not stop it")
    amqp: Any = site.stack["amqp"]
    with line(site, site.tcp, BROKER) as made:
        posted = made.post(1, 2)
        made.await_uplinks(posted)
        _command("stop", amqp["stop"])
        try:
            posted += made.post(3, 4)
            made.wait("the fault to be noticed", lambda: made.is_in("UNREACHABLE"))
            posted += made.post(5, 5)
        finally:
            _command("start", amqp["start"])
        made.api.call("POST", f"/connections/{made.connection_id}/restart")
        made.await_uplinks(posted)
        return f"{len(posted)} uplinks arrived in order, {3 * len(DEVICES)} of them posted during the outage"


def _command(what: str, argv: Sequence[str]) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise StackFailed(f"the broker did not {what}: {(done.stderr or done.stdout).strip()}")


def frozen_function_thawed(site: Site, minutes: float) -> str:
    """An uplink after an idle time, in which Lambda froze the function and the broker closed its socket, arrives."""
    if not minutes:
        raise NotRun("it takes an idle time; give IDLE=11 for eleven minutes")
    with line(site, site.tcp or site.tls, BROKER) as made:
        posted = made.post(1, 1)
        made.await_uplinks(posted)
        time.sleep(minutes * 60)
        began = time.monotonic()
        posted += made.post(2, 2)
        made.await_uplinks(posted)
        return f"after {minutes:g} min, the uplinks of {len(DEVICES)} devices took {time.monotonic() - began:.1f} s"
