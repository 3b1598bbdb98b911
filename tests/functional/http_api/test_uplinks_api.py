"""Reports from the network server and from bridges, up to the connections' queues."""

import gzip
import hashlib
import json
import time
import tracemalloc
from typing import Any
from urllib.parse import urlencode

import pytest

from chalicelib.adapters.aws.application_servers import DynamoDbApplicationServers
from chalicelib.entry.services import Services
from chalicelib.errors import Unavailable
from chalicelib.http_api import bodies
from chalicelib.kernel.times import iso_time
from chalicelib.network_servers.thingpark.reports import MAX_REPORT_SIZE
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.bulk import MAX_ENTRIES
from tests.functional.connection_cases import TCP, create, expect_problem
from tests.functional.connections.test_replay import queued, wakes
from tests.functional.doubles import Answer, Api, TestIssuer

DEVICE = "70B3D5E75E000001"
AS_KEY = "5e6f2b8ff7a5c1d2"


def report(number: int = 0, device: str = DEVICE, **fields: Any) -> dict[str, Any]:
    return {"DevEUI_uplink": {"DevEUI": device, "FCntUp": number, "Time": "2026-11-23T09:00:00Z", **fields}}


@pytest.fixture
def bridge(api: Api, issuer: TestIssuer) -> Api:
    return api.as_token(issuer.token(scope="uplinks:write"))


def delivered(services: Services, connection_id: str) -> list[ReceivedReport]:
    return queued(services, connection_id)


def from_lrc(api: Api, services: Services, body: bytes, fields: str, as_key: str = AS_KEY) -> Answer:
    """Deliver a report with the LRC's token. ``fields``: the elements of the body that the token signs."""
    parameters = {"LrnDevEui": DEVICE, "LrnFPort": "2", "LrnInfos": "x", "AS_ID": "AS"}
    query = [*parameters.items(), ("Time", iso_time(services.clock()).replace("Z", "+00:00"))]
    signed = "&".join(f"{name}={value}" for name, value in query)
    token = hashlib.sha256(f"{fields}{signed}{as_key}".encode()).hexdigest()
    return api.as_token(None).call("POST", f"/uplinks?{urlencode([*query, ('Token', token)])}", raw=body)


# One report


def test_report_of_a_bridge_is_stored_unchanged_for_every_active_connection(
    api: Api, bridge: Api, services: Services
) -> None:
    active = [create(api)["id"] for _ in range(2)]
    inactive = create(api, TCP | {"active": False})["id"]
    wakes(services)
    body = b'{ "DevEUI_uplink" : {"DevEUI":"70b3d5e75e000001", "v": 1.10} }\n'
    answer = bridge.call("POST", "/uplinks", raw=body)
    assert (answer.status, answer.json) == (200, {"status": 200})
    for connection_id in active:
        (stored,) = delivered(services, connection_id)
        assert (stored.body.encode(), stored.group) == (body, DEVICE)
    assert delivered(services, inactive) == []
    assert {wake.connection_id for wake in wakes(services)} == set(active)


def test_lrc_token_is_accepted_and_a_wrong_one_is_refused(api: Api, services: Services) -> None:
    connection_id = create(api)["id"]
    api.call("POST", "/application-servers", {"asId": "AS", "asKey": AS_KEY})
    body = json.dumps(report(7, FPort=2, payload_hex="00ff", CustomerID="1")).encode()
    signed = f"1{DEVICE}2700ff"
    assert from_lrc(api, services, body, signed).status == 200
    assert len(delivered(services, connection_id)) == 1
    expect_problem(from_lrc(api, services, body, signed + "x"), 401)
    expect_problem(api.as_token(None).call("POST", "/uplinks", raw=body), 401)
    for unreadable in (b"[]", b"{", b"\xff", b'{"a": {}, "b": {}}'):
        expect_problem(api.as_token(None).call("POST", "/uplinks", raw=unreadable), 401)
    assert delivered(services, connection_id) == []


def test_keys_of_an_application_server_are_read_again_after_seconds(api: Api, services: Services) -> None:
    now = time.time()
    services.clock = lambda: now
    elsewhere = Services(services.settings).application_server_store
    create(api)

    def answer(number: int, key: str) -> int:
        body = json.dumps(report(number, FPort=2, payload_hex="00ff", CustomerID="1")).encode()
        return from_lrc(api, services, body, f"1{DEVICE}2{number}00ff", key).status

    # Given a process that has read the key
    elsewhere.put("demo", "AS", AS_KEY)
    assert answer(1, AS_KEY) == 200
    # When another process replaces it, the new key is accepted at once, and with it the old one is forgotten
    elsewhere.delete("demo", "AS")
    assert answer(2, AS_KEY) == 200
    elsewhere.put("demo", "AS", "a new key")
    assert answer(3, "a new key") == 200
    assert answer(4, AS_KEY) == 401
    # When it is deleted, it is refused a few seconds later
    elsewhere.delete("demo", "AS")
    now += 6
    assert answer(5, "a new key") == 401


def test_token_is_refused_with_another_body_and_taken_with_its_own(api: Api, services: Services) -> None:
    connection_id = create(api)["id"]
    api.call("POST", "/application-servers", {"asId": "AS", "asKey": AS_KEY})
    services.clock = lambda: 1_800_000_000.25
    own: dict[str, Any] = {"FPort": 2, "payload_hex": "3456abcd", "CustomerID": "1"}
    signed = f"1{DEVICE}2123453456abcd"
    body = json.dumps(report(12345, **own)).encode()
    assert from_lrc(api, services, body, signed).status == 200
    for altered in (
        report(123, **own | {"payload_hex": "453456abcd"}),
        report(12345, **own, payload={"temperature": 99}),
        {"DevEUI_uplink": report(12345, **own)["DevEUI_uplink"] | {"Time": "2026-11-23T09:00:01Z"}},
    ):
        refused = from_lrc(api, services, json.dumps(altered).encode(), signed)
        expect_problem(refused, 401)
        assert "another report" in refused.json["detail"]
    # The network server repeats a report that it got no answer for.
    assert from_lrc(api, services, body, signed).status == 200
    assert [each.body.encode() for each in delivered(services, connection_id)] == [body]


def test_token_is_refused_with_another_root(api: Api, services: Services) -> None:
    connection_id = create(api)["id"]
    api.call("POST", "/application-servers", {"asId": "AS", "asKey": AS_KEY})
    services.clock = lambda: 1_800_000_000.25
    fields = {"DevEUI": DEVICE, "CustomerID": "1", "FPort": 2}
    statuses = [
        from_lrc(api, services, json.dumps({root: fields}).encode(), f"1{DEVICE}").status
        for root in ("DevEUI_notification", "DevEUI_multicast_summary", "DevEUI_anything")
    ]
    assert statuses == [200, 401, 401]
    assert len(delivered(services, connection_id)) == 1


def test_as_key_selects_among_tenants_with_the_same_application_server(
    api: Api, services: Services, issuer: TestIssuer
) -> None:
    other = api.as_token(issuer.token("other"))
    ids = []
    for caller, key in ((api, AS_KEY), (other, "another key")):
        assert caller.call("POST", "/application-servers", {"asId": "AS", "asKey": key}).status == 201
        ids.append(create(caller)["id"])
    body = json.dumps(report(7, FPort=2, payload_hex="00ff", CustomerID="1")).encode()
    assert from_lrc(api, services, body, f"1{DEVICE}2700ff", "another key").status == 200
    assert [len(delivered(services, connection_id)) for connection_id in ids] == [0, 1]
    expect_problem(from_lrc(api, services, body, f"1{DEVICE}2700ff", "a third key"), 401)


def test_application_server_with_the_same_key_at_another_tenant_is_refused(
    api: Api, services: Services, issuer: TestIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = {"asId": "AS", "asKey": AS_KEY}
    other = api.as_token(issuer.token("other"))
    assert api.call("POST", "/application-servers", server).status == 201
    refused = other.call("POST", "/application-servers", server)
    expect_problem(refused, 409)
    assert "demo" not in refused.json["detail"]
    assert AS_KEY not in refused.json["detail"]
    assert other.call("GET", "/application-servers").json == []

    # The registrations may also run at the same time: then the first check sees no other tenant.
    store, check, calls = services.application_server_store, DynamoDbApplicationServers._check_unused, []

    def late(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > 1:
            check(store, *arguments)

    monkeypatch.setattr(store, "_check_unused", late)
    expect_problem(other.call("POST", "/application-servers", server), 409)
    assert store.keys("AS") == [("demo", AS_KEY)]
    # The key is free again once its owner deletes it.
    assert api.call("DELETE", "/application-servers/AS").status == 204
    assert other.call("POST", "/application-servers", server).status == 201


def test_array_with_an_lrc_token_is_refused(api: Api, services: Services) -> None:
    connection_id = create(api)["id"]
    api.call("POST", "/application-servers", {"asId": "AS", "asKey": AS_KEY})
    body = json.dumps([report(7)]).encode()
    expect_problem(from_lrc(api, services, body, ""), 422)
    assert delivered(services, connection_id) == []


@pytest.mark.parametrize("scope", ["connections:read", "connections:write"])
def test_bridge_needs_the_uplinks_scope(api: Api, issuer: TestIssuer, scope: str) -> None:
    expect_problem(api.as_token(issuer.token(scope=scope)).call("POST", "/uplinks", report()), 403)


# Compressed bodies and byte order marks


def test_gzip_body_is_decoded_and_stored_as_it_was(api: Api, bridge: Api, services: Services) -> None:
    connection_id = create(api)["id"]
    api.call("POST", "/application-servers", {"asId": "AS", "asKey": AS_KEY})
    body = b'{ "DevEUI_uplink" : {"DevEUI":"70b3d5e75e000001", "v": 1.10} }\n'
    for encoding in ("gzip", "GZIP", "x-gzip"):
        assert bridge.call("POST", "/uplinks", raw=gzip.compress(body), content_encoding=encoding).status == 200
    (stored,) = delivered(services, connection_id)
    assert stored.body.encode() == body
    # API Gateway decodes the body itself.
    assert bridge.call("POST", "/uplinks", report(1), content_encoding="gzip").status == 200
    array = gzip.compress(json.dumps([report(2), report(3)]).encode())
    assert len(bridge.call("POST", "/uplinks", raw=array, content_encoding="gzip").json) == 2
    signed = json.dumps(report(7, FPort=2, payload_hex="00ff", CustomerID="1")).encode()
    api.headers["Content-Encoding"] = "gzip"
    assert from_lrc(api, services, gzip.compress(signed), f"1{DEVICE}2700ff").status == 200
    assert len(delivered(services, connection_id)) == 4


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x" * 300])
def test_other_encoding_is_refused_with_its_name(bridge: Api, encoding: str) -> None:
    answer = bridge.call("POST", "/uplinks", report(), content_encoding=encoding)
    expect_problem(answer, 415)
    assert repr(encoding[:60]) in answer.json["detail"]
    assert answer.headers["accept-encoding"] == "gzip"


def test_compressed_body_is_decoded_up_to_the_limit_only(
    api: Api, bridge: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = b'{"BS_alarm":{}}' + b" " * (MAX_REPORT_SIZE - 15)
    assert bridge.call("POST", "/uplinks", raw=gzip.compress(largest), content_encoding="gzip").status == 200
    expect_problem(bridge.call("POST", "/uplinks", raw=gzip.compress(largest + b" "), content_encoding="gzip"), 413)
    api.headers["Content-Encoding"] = "gzip"
    bomb = gzip.compress(bytes(1 << 28))
    assert len(bomb) < MAX_REPORT_SIZE * 2
    tracemalloc.start()
    expect_problem(bridge.call("POST", "/uplinks", raw=bomb, content_encoding="gzip"), 413)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
    expect_problem(from_lrc(api, services, gzip.compress(largest + b" "), ""), 413)

    # A caller without a token costs no decoding.
    monkeypatch.setattr(bodies, "decoded", lambda *_: pytest.fail("decoded"))
    expect_problem(api.as_token(None).call("POST", "/uplinks", raw=bomb), 401)


# A gzip header holds the time of its making; a test's name must be the same in each process of a run.
EMPTY_OBJECT = gzip.compress(b"{}", mtime=0)


@pytest.mark.parametrize(
    ("raw", "encoding", "words"),
    [
        (EMPTY_OBJECT[:-4], "gzip", "not a complete gzip stream"),
        (EMPTY_OBJECT + b"x", "gzip", "not a complete gzip stream"),
        (EMPTY_OBJECT, "identity", "Content-Encoding"),
        (b"\xef\xbb\xbf{}", "", "byte order mark of UTF-8"),
        (gzip.compress(b"\xef\xbb\xbf{}", mtime=0), "gzip", "byte order mark of UTF-8"),
        ("{}".encode("utf-16"), "", "byte order mark of UTF-16"),
    ],
)
def test_broken_stream_and_byte_order_mark_are_named(bridge: Api, raw: bytes, encoding: str, words: str) -> None:
    answer = bridge.call("POST", "/uplinks", raw=raw, content_encoding=encoding)
    expect_problem(answer, 400)
    assert words in answer.json["detail"]


# Many reports


def test_each_entry_has_its_status_and_valid_entries_are_stored(api: Api, bridge: Api, services: Services) -> None:
    connection_id = create(api)["id"]
    wakes(services)
    entries: list[Any] = [
        report(1),
        5,
        {},
        {"DevEUI_downlink": {}},
        report(2, device="short"),
        report(3, device="70b3d5e75e000002"),
        {"BS_alarm": {}},
        report(4, filler="x" * 262_144),
        report(5),
        report(1),
    ]
    answer = bridge.call("POST", "/uplinks", entries)
    assert answer.status == 200
    assert [entry["status"] for entry in answer.json] == [200, 422, 422, 422, 422, 200, 200, 413, 200, 200]
    assert answer.json[0] == {"status": 200}
    assert answer.json[4]["errors"][0]["pointer"] == "/DevEUI_uplink/DevEUI"
    assert set(answer.json[4]) == {"status", "errors"}
    stored = delivered(services, connection_id)
    # The report that the array contains twice is stored once.
    assert sorted(json.dumps(json.loads(each.body)) for each in stored) == sorted(
        json.dumps(entries[position]) for position in (0, 5, 6, 8)
    )
    assert {wake.message_id for wake in wakes(services)} == {each.message_id for each in stored}


def test_array_keeps_the_bytes_and_the_order_of_its_reports(api: Api, bridge: Api, services: Services) -> None:
    connection_id = create(api)["id"]
    texts = [
        f'{{ "DevEUI_uplink" :{{"DevEUI":"{device}","FCntUp":{n},"v":1.{n}0,"s":"Zü\\u00fc ]\\",[" }} }}'
        for n in range(40)
        for device in (DEVICE, "70B3D5E75E000002")
    ]
    raw = (" [ " + " ,\n".join(texts) + " ] \n").encode()
    answer = bridge.call("POST", "/uplinks", raw=raw)
    assert [entry["status"] for entry in answer.json] == [200] * 80
    stored = delivered(services, connection_id)
    for device in (DEVICE, "70B3D5E75E000002"):
        assert [each.body for each in stored if each.group == device] == [text for text in texts if device in text]


def test_reports_after_an_unstored_one_of_the_same_device_are_not_stored(
    api: Api, bridge: Api, services: Services
) -> None:
    connection_id = create(api)["id"]
    real = services.uplink_queues

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def send(self, own: str, **arguments: Any) -> None:
            if '"FCntUp": 2' in arguments["body"]:
                raise Unavailable("SQS is full")
            real.send(own, **arguments)

    services.uplink_queues = Refusing()  # type: ignore[assignment]
    entries = [report(1), report(2), report(3), report(9, device="70B3D5E75E000002")]
    answer = bridge.call("POST", "/uplinks", entries)
    assert [entry["status"] for entry in answer.json] == [200, 503, 503, 200]
    assert answer.json[1]["errors"]
    counters = {json.loads(each.body)["DevEUI_uplink"]["FCntUp"] for each in queued(services, connection_id)}
    assert counters == {1, 9}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"[]", 200),
        (b"[", 400),
        (b"[{}", 400),
        (b"[NaN]", 400),
        (b'[{"DevEUI_uplink": {"a": 1, "a": 2}}]', 400),
        (b'["\xff"]', 400),
        (b"[" * 70 + b"]" * 70, 400),
        (b"[" + b"{}," * MAX_ENTRIES + b"{}]", 422),
        (b"[" + b" " * (4 << 20) + b"]", 413),
    ],
)
def test_malformed_or_oversized_array_is_refused_as_a_whole(bridge: Api, raw: bytes, status: int) -> None:
    answer = bridge.call("POST", "/uplinks", raw=raw)
    if status == 200:
        assert (answer.status, answer.json) == (200, [])
    else:
        expect_problem(answer, status)
