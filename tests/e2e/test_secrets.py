"""Sends secrets of every kind through every call and fault, and finds them only where they are stored on purpose."""

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import trustme
from playwright.sync_api import Browser

from infra.local.issuer import Issuer
from infra.local.network_server.lrc import Lrc
from tests.e2e.canaries import (
    Places,
    look_into_logs,
    look_into_queues,
    look_into_tables,
    pem_pair,
    shared_queues_watched,
)
from tests.e2e.client import Answer, Stack, eventually, http
from tests.e2e.console import console_in
from tests.e2e.reports import uplink

TENANT = "canary"
MARK = "harmless-" + secrets.token_hex(6)
DEVICE = "70B3D5E75EC0FFEE"
AS_ID = "CANARY.AS"


def value(kind: str) -> str:
    """Characters that JSON, URLs and HTML encode differently."""
    return f"{kind}/{secrets.token_hex(8)}+ä%&<"


@dataclass
class World:
    stack: Stack
    token: str
    hidden: dict[str, str]
    """The secrets by kind."""
    places: Places = field(default_factory=Places)
    ids: dict[str, str] = field(default_factory=dict)
    """The connections' ids by name."""

    def call(
        self, method: str, path: str, document: Any = None, *, raw: bytes | None = None, token: str | None = None
    ) -> Answer:
        body = json.dumps(document).encode() if raw is None and document is not None else raw
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        answer = http(method, self.stack.info["apiUrl"] + path, body, headers)
        assert answer.status < 500, (method, path, answer.body)
        kind = "error" if answer.status >= 400 else "answer"
        self.places.add(f"{kind} {path.partition('?')[0]}", f"{answer.headers} {answer.body.decode()}")
        return answer

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """The configuration of an SSL connection with every secret. A change to None removes a field."""
        amqp = self.stack.info["amqp"]
        complete = {
            "hostName": f"localhost:{amqp['tlsPort']}",
            "protocol": "SSL",
            "username": TENANT,
            "password": self.hidden["password"],
            "certificate": self.hidden["certificate"],
            "privateKey": self.hidden["private key"],
            "trustedCaCertificate": self.hidden["CA"],
            "uplinkTopicPattern": "canary.up.{DevEUI}",
            "downlinkTopicPattern": f"canary.{secrets.token_hex(4)}.{{DevEUI}}",
            "downlinkAsId": "CANARY.DEFAULT",
            "downlinkAsKey": self.hidden["downlinkAsKey"],
            "description": MARK,
            **changes,
        }
        return {name: given for name, given in complete.items() if given is not None}

    def document(self, name: str = "-", **changes: Any) -> dict[str, Any]:
        return {"connectorId": "actility-amqp-0.9.1-iot", "name": name, "configuration": self.configuration(**changes)}

    def connect(self, name: str, **changes: Any) -> str:
        answer = self.call("POST", "/connections", self.document(f"{MARK} {name}", **changes))
        assert answer.status == 201, answer.body
        self.ids[name] = str(answer.json["id"])
        return self.ids[name]

    def reaches(self, name: str, state: str) -> None:
        path = f"/connections/{self.ids[name]}"
        eventually(lambda: self.call("GET", path).json["state"] == state, f"{name} is {state}")

    def events(self, type_: str) -> list[Any]:
        return [event for event in self.call("GET", "/events?limit=100").json if event["type"] == type_]


@pytest.fixture
def world(stack: Stack) -> Iterator[World]:
    issuer = Issuer(stack.directory, json.loads((stack.directory / "issuer.json").read_text())["issuer"])
    certificate, key, authority = pem_pair(stack)
    hidden = {
        "password": value("password"),
        "wrong password": value("wrong"),
        "certificate": certificate,
        "private key": key,
        "CA": authority,
        "another's key": trustme.CA().issue_cert("other.test").private_key_pem.bytes().decode(),
        "downlinkAsKey": value("default-key"),
        "asKey": value("as-key"),
        "AS_KEY": value("own-key"),
        "token": issuer.token(TENANT),
        "expired token": issuer.token(TENANT, hours=-1),
        "token without scope": issuer.token(TENANT, ["openid"]),
    }
    made = World(stack, hidden["token"], hidden)
    _add_broker_user(made)
    yield made
    for identifier in made.ids.values():
        made.call("DELETE", f"/connections/{identifier}")
    made.call("DELETE", f"/application-servers/{AS_ID}")


def _add_broker_user(world: World) -> None:
    amqp = world.stack.info["amqp"]
    credentials = base64.b64encode(f"{amqp['username']}:{amqp['password']}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    for path, document in (
        (f"/api/users/{TENANT}", {"password": world.hidden["password"], "tags": ""}),
        (f"/api/permissions/%2F/{TENANT}", {"configure": ".*", "write": ".*", "read": ".*"}),
    ):
        answer = http("PUT", amqp["managementUrl"] + path, json.dumps(document).encode(), headers)
        assert answer.status in {201, 204}, answer.body


def test_no_secret_is_in_tables_queues_logs_events_errors_or_pages(world: World, browser: Browser) -> None:
    with shared_queues_watched(world.stack, world.places):
        _connections_good_and_bad(world)
        _requests_that_are_refused(world)
        _reports(world)
        _downlinks(world)
        _calls_of_a_connection(world)
        _look_everywhere(world, browser)
        # The scan sees the texts ...
        _find_what_is_harmless(world)
    # ... and finds no secret in them.
    assert world.places.hits(world.hidden) == []


def _connections_good_and_bad(world: World) -> None:
    amqp, hidden = world.stack.info["amqp"], world.hidden
    plain = {"certificate": None, "privateKey": None, "trustedCaCertificate": None}
    world.connect("open")
    world.connect(
        "refused", protocol="TCP", hostName=f"127.0.0.1:{amqp['port']}", password=hidden["wrong password"], **plain
    )
    world.connect("no TLS there", hostName=f"localhost:{amqp['port']}")
    world.connect("TLS there", protocol="TCP", hostName=f"127.0.0.1:{amqp['tlsPort']}", **plain)
    world.connect("not trusted", trustedCaCertificate=None)
    world.connect("away", hostName="localhost:1")
    world.reaches("open", "OPENED")
    world.reaches("refused", "AUTHENTICATION_FAILED")
    for name in ("no TLS there", "TLS there", "not trusted", "away"):
        world.reaches(name, "UNREACHABLE")
    for name in ("open", "refused", "no TLS there", "not trusted"):
        assert world.call("POST", f"/connections/{world.ids[name]}/test").status == 200
    for changes in ({}, {"password": hidden["wrong password"]}, {"virtualHost": MARK}, {"exchangeName": MARK}):
        assert world.call("POST", "/connections/test", world.document(**changes)).status == 200


def _requests_that_are_refused(world: World) -> None:
    hidden = world.hidden
    configuration = world.configuration()
    for changes in (
        {"privateKey": hidden["another's key"]},
        {"certificate": hidden["private key"]},
        {"trustedCaCertificate": hidden["private key"]},
        {"privateKey": hidden["private key"].replace("\n", " ")[:-40]},
        {"hostName": f"amqp://{TENANT}:{hidden['password']}@localhost:5672"},
        {"hostName": f"{TENANT}:{hidden['password']}@localhost"},
        {"protocol": hidden["password"], "reconnectStrategy": hidden["AS_KEY"], "uplinkTimeValidity": hidden["AS_KEY"]},
        {"password": hidden["password"] + "\0", "downlinkAsKey": hidden["downlinkAsKey"] + "\n"},
        {"password": [hidden["password"]], "privateKey": {"key": hidden["private key"]}},
        {"password": hidden["password"] * 400, "downlinkAsKey": hidden["downlinkAsKey"] * 40},
        {"username": None},
    ):  # fmt: skip
        for method, path in (
            ("POST", "/connections"),
            ("POST", "/connections/test"),
            ("PUT", f"/connections/{world.ids['away']}"),
            ("PATCH", f"/connections/{world.ids['away']}"),
        ):
            document = {"configuration": changes} if method == "PATCH" else world.document(**changes)
            assert world.call(method, path, document).status in {422, 200}, changes
    text = json.dumps(world.document(MARK)).encode()
    for raw in (text[:-3], text + text, text.replace(b'"protocol"', b'"password"'), b"[" * 100 + text + b"]" * 100):
        for method, path in (
            ("POST", "/connections"),
            ("PUT", f"/connections/{world.ids['open']}"),
            ("PATCH", f"/connections/{world.ids['open']}"),
            ("POST", "/connections/preview"),
            ("POST", "/application-servers"),
        ):
            assert world.call(method, path, raw=raw).status == 400
    for wrong in ({MARK: 1}, {"uplinkTopicPattern": "{$..[" + MARK}):
        preview = {"configuration": configuration | wrong, "uplink": uplink(1, 1)}
        assert world.call("POST", "/connections/preview", preview).status == 422
    for document in (
        {"asId": AS_ID, "asKey": hidden["asKey"] * 40},
        {"asId": hidden["asKey"], "asKey": [hidden["asKey"]]},
        {"asId": AS_ID, "asKey": hidden["asKey"], MARK: 1},
    ):
        assert world.call("POST", "/application-servers", document).status == 422
    for token in (hidden["expired token"], hidden["token"][:-9], hidden["token"] + "x", hidden["token"] + "\t."):
        assert world.call("GET", "/connections", token=token).status == 401
    assert world.call("GET", "/connections", token=hidden["token without scope"]).status == 403


def _reports(world: World) -> None:
    server = {"asId": AS_ID, "asKey": world.hidden["asKey"]}
    assert [world.call("POST", "/application-servers", server).status for _ in range(2)] == [201, 409]
    report = uplink(0xC0FFEE, 1, DevEUI=DEVICE, mark=MARK)
    good = Lrc(world.stack.info["apiUrl"], AS_ID, world.hidden["asKey"])
    bad = Lrc(world.stack.info["apiUrl"], AS_ID, world.hidden["AS_KEY"])
    assert (good.post(report), bad.post(report)) == (200, 401)
    assert world.call("POST", "/uplinks", [report, {MARK: 1}]).json[1]["status"] == 422
    assert world.call("POST", "/uplinks", {MARK: {"password": world.hidden["password"]}}).status == 422
    path = f"/connections/{world.ids['open']}/messages"
    eventually(lambda: DEVICE in world.call("GET", path).body.decode(), "the report without a binding")
    # The forwarders receive wakes at once; of many wakes, some wait long enough to be seen.
    counters = count(1)

    def wake_seen() -> bool:
        many = [uplink(0xC0FF00 + device, next(counters), mark=MARK) for device in range(20)]
        assert world.call("POST", "/uplinks", many).status == 200
        return world.ids["open"] in world.places.text("queue iot-flow-local-wakes")

    eventually(wake_seen, "a wake is seen in its queue")


def _downlinks(world: World) -> None:
    own = {"AS_ID": "CANARY.OWN", "AS_KEY": world.hidden["AS_KEY"]}
    connection_id = world.ids["open"]
    key = world.call("GET", f"/connections/{connection_id}").json["configuration"]["downlinkTopicPattern"]
    queue = f"iot-flow.{connection_id}.downlink"
    eventually(lambda: len(world.stack.management(f"/api/queues/%2F/{queue}/bindings")) > 1, "the queue is bound")

    def publish(device: str = DEVICE, **fields: Any) -> None:
        downlink = {"DevEUI": device, "FPort": 1, "payload_hex": "00", **fields}
        publish_raw(json.dumps({"DevEUI_downlink": downlink}), device)

    def publish_raw(body: str, device: str = DEVICE) -> None:
        with world.stack.channel() as channel:
            channel.confirm_delivery()
            channel.basic_publish("amq.topic", key.replace("{DevEUI}", device), body, mandatory=True)

    def arrived(payload: str) -> bool:
        return any(downlink["Payload"] == payload for downlink in world.stack.downlinks())

    # Accepted downlinks: with a key in the downlink, with the connection's key, after network server errors.
    publish(payload_hex="c0ffee01", **own)
    publish(payload_hex="c0ffee02")
    eventually(lambda: arrived("c0ffee01") and arrived("c0ffee02"), "two downlinks")
    numbers = count(1)

    def delayed() -> bool:
        # The event comes only at the first attempt, and a poll of the queue counts as an attempt.
        publish(f"70B3D5E75EC1{next(numbers):04X}", payload_hex="c0ffee03", **own)
        return bool(world.events("DOWNLINK_DELAYED"))

    with _network_server(world, status=503):
        eventually(delayed, "a downlink is delayed")
    eventually(lambda: arrived("c0ffee03"), "the delayed downlink")

    # Behind a slow network server, a waiting downlink is visible in the queue.
    def seen() -> bool:
        publish(f"70B3D5E75EC0{next(numbers):04X}", CorrelationID="C0FFEE", **own)
        return "C0FFEE" in world.places.text("queue iot-flow-local-downlinks.fifo")

    with _network_server(world, delay=1):
        eventually(seen, "a downlink is seen in its queue")
    # Rejected downlinks, by the network server and by the connector.
    with _network_server(world, status=403):
        publish(payload_hex="c0ffee04", **own)
        eventually(lambda: world.events("DOWNLINK_REJECTED"), "a rejected downlink")
    publish(payload_hex="xyz", **own)
    publish(FPort=300, **own)
    publish(AS_ID="a b", AS_KEY=own["AS_KEY"])
    publish(AS_KEY=own["AS_KEY"] * 20)
    publish(payload={"password": world.hidden["password"]}, payload_hex=None, **own)
    publish_raw(json.dumps({"DevEUI_downlink": own})[:-2])
    publish_raw(json.dumps({"DevEUI_downlink": own} | own))
    # One event stands for all of a minute.
    eventually(
        lambda: sum(e["details"]["count"] for e in world.events("DOWNLINK_INVALID")) >= 5, "the invalid downlinks"
    )
    eventually(lambda: world.events("PAYLOAD_NOT_ENCODABLE"), "the downlink without an encoder")
    eventually(lambda: world.events("DOWNLINK_MALFORMED"), "the malformed downlink")


@contextmanager
def _network_server(world: World, **behaviour: Any) -> Iterator[None]:
    """Sets an injected failure of the network server's double for a while."""
    url = world.stack.info["networkServer"]["url"] + "/behaviour"
    assert http("POST", url, json.dumps(behaviour).encode()).status == 200
    try:
        yield
    finally:
        assert http("POST", url, b"{}").status == 200


def _calls_of_a_connection(world: World) -> None:
    path = f"/connections/{world.ids['open']}"
    read = world.call("GET", path).json
    assert world.call("PUT", path, read).status == 200
    assert world.call("PUT", "/connections", read).status == 200
    assert world.call("PATCH", path, {"configuration": {"password": world.hidden["password"]}}).status == 200
    moved = {"configuration": {"hostName": f"{MARK}.example", "password": world.hidden["password"]}}
    assert world.call("PATCH", path, moved).status == 422
    messages = f"{path}/messages"
    assert world.call("POST", f"{messages}/replay", {"all": True}).status == 202
    eventually(lambda: len(world.call("GET", messages).json) > 1, "messages failed again")
    for what in ("/connections", "/connectors", "/application-servers", "/events", "/openapi.json",
                 f"{path}/statistics", f"{path}/events", messages):  # fmt: skip
        assert world.call("GET", what).status == 200

    def poll_seen() -> bool:
        assert world.call("POST", f"{path}/restart").status == 202
        return world.ids["open"] in world.places.text("queue iot-flow-local-polls")

    eventually(poll_seen, "a poll job is seen in its queue")


def _look_everywhere(world: World, browser: Browser) -> None:
    look_into_tables(world.stack, world.places)
    look_into_queues(world.stack, world.places)
    look_into_logs(world.stack, world.places)
    for text in _pages(world, browser):
        world.places.add("page", text)


def _pages(world: World, browser: Browser) -> Iterator[str]:
    with console_in(browser, world.stack) as console:
        console.open(world.token)
        yield console.page.content()
        for name in ("open", "refused"):
            console.show(world.ids[name])
            console.page.wait_for_load_state("networkidle")
            yield console.page.content()
            yield str(console.page.evaluate("JSON.stringify([localStorage, document.cookie])"))


def _find_what_is_harmless(world: World) -> None:
    places, ids = world.places, world.ids
    for kind in ("connections", "events", "failed-messages"):
        assert MARK in places.text(f"table iot-flow-local-{kind}") or ids["open"] in places.text(
            f"table iot-flow-local-{kind}"
        ), kind
    assert AS_ID in places.text("table iot-flow-local-application-servers")
    assert ids["open"] in places.text("table iot-flow-local-statistics")
    assert MARK in places.text(f"queue iot-flow-local-uplinks-{ids['away']}")
    assert ids["open"] in places.text("queue iot-flow-local-wakes")
    assert ids["open"] in places.text("queue iot-flow-local-wakes-slow")
    assert ids["open"] in places.text("queue iot-flow-local-polls")
    assert "C0FFEE" in places.text("queue iot-flow-local-downlinks.fifo")
    for log in ("api", "forward_slow", "consume", "send_downlinks"):
        assert ids["open"] in places.text(f"log {log}.log"), log
    assert ids["open"] in places.text("answer /events")
    assert MARK in places.text("answer /connections")
    assert MARK in places.text("error /connections/preview")
    assert MARK in places.text("error /uplinks")
    assert MARK in places.text("page")
    # The scan knows each form of a secret.
    planted = Places()
    for form in ("{}", '"{}"', "x{}x"):
        planted.add("plain", form.format(world.hidden["AS_KEY"]))
        planted.add("base64", base64.b64encode(form.format(world.hidden["AS_KEY"]).encode()).decode())
    planted.add("one line", "".join(world.hidden["private key"].split("\n")))
    assert planted.hits({name: world.hidden[name] for name in ("AS_KEY", "private key")}) == [
        "AS_KEY in plain", "AS_KEY in base64", "private key in one line",
    ]  # fmt: skip
