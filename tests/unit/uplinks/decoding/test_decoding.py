"""Drains with drivers: the decoded report, its failures, and outages of the codec."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.domain.delivery import Outcome, Result
from chalicelib.network_servers.thingpark.reports import parse_report
from chalicelib.vocabulary import FailureReason
from infra.local.waiting import wait_until
from tests.unit.domain.flows.cases import flow, key
from tests.unit.flow import TENANT, Flow

DRIVER = "acme:sensor:1"
CODE = "function decodeUplink(input) { return { data: { n: input.bytes[0], port: input.fPort } }; }"
UPLINK: dict[str, Any] = {"FPort": "3", "payload_hex": "2a00", "Time": "2026-11-27T00:00:00.000+01:00"}


@pytest.fixture
def scene() -> Iterator[Flow]:
    made = Flow()
    made.connect()
    made.drivers.put(TENANT, DRIVER, CODE)
    made.flows.create(flow(driver=DRIVER), 200)
    yield made
    made.executor.shutdown()


def use(scene: Flow, code: str) -> None:
    scene.drivers.put(TENANT, DRIVER, code)


def published(scene: Flow) -> list[Any]:
    return [json.loads(body)["DevEUI_uplink"] for body in scene.bodies()]


def events(scene: Flow) -> list[Any]:
    return [event for _, event in scene.events.events if event.type == "DRIVER_FAILED"]


# The decoded report


def test_payload_is_added_at_the_end_of_the_root(scene: Flow) -> None:
    body = scene.post(**UPLINK)
    scene.forward()
    assert scene.bodies() == [body[:-2] + ',"payload":{"n":42,"port":3}}}']
    assert events(scene) == []


def test_all_other_bytes_stay_as_they_came(scene: Flow) -> None:
    # Given: odd spacing, escapes, numbers, an order and characters that no encoder would write
    odd = (
        '{ "DevEUI_uplink" :\t{"z":1.10, "FPort":"3","a\\u0041":"\\u00e9\\/\\ud83d\\ude00é","payload_hex":"2A",'
        '"DevEUI":"0000000000000001" , "big":1e400,"FCntUp": 007e0 ,"nested": {"payload":null, "x":[ ]}\r\n } }\n'
    ).replace("007e0", "7e0")
    scene.ingress.store(TENANT, parse_report(odd.encode()))

    # When
    scene.forward()

    # Then
    end = odd.rindex("}", 0, odd.rindex("}"))
    [body] = scene.bodies()
    assert body == odd[:end] + ',"payload":{"n":42,"port":3}' + odd[end:]
    assert json.loads(body)["DevEUI_uplink"]["payload"] == {"n": 42, "port": 3}


def test_payload_of_the_network_server_is_replaced_in_its_place(scene: Flow) -> None:
    body = scene.post(payload={"old": True}, **UPLINK)
    scene.forward()
    assert scene.bodies() == [body.replace('{"old": true}', '{"n":42,"port":3}')]


@pytest.mark.parametrize(
    "fields",
    [
        {"FPort": "0", "payload_hex": "00"},
        {"FPort": 0, "payload_hex": "00"},
        {"payload_hex": "00"},
        {"FPort": "3"},
        {"FPort": "3", "payload_hex": ""},
        {"FPort": "3", "payload_hex": "0"},
        {"FPort": "3", "payload_hex": "no hex"},
        {"FPort": "3", "payload_hex": 12},
    ],
)
def test_report_without_application_data_is_not_decoded(scene: Flow, fields: dict[str, Any]) -> None:
    body = scene.post(**fields)
    scene.forward()
    assert scene.bodies() == [body]
    assert scene.codec.calls == []


@pytest.mark.parametrize("root", ["DevEUI_downlink_Sent", "DevEUI_notification", "DevEUI_location"])
def test_other_reports_are_not_decoded(scene: Flow, root: str) -> None:
    body = json.dumps({root: {"DevEUI": "0000000000000001", **UPLINK}})
    scene.ingress.store(TENANT, parse_report(body.encode()))
    scene.forward()
    assert (scene.bodies(), scene.codec.calls) == ([body], [])


def test_report_that_no_flow_chose_is_not_decoded(scene: Flow) -> None:
    scene.connect("c2")
    body = scene.post(**UPLINK)
    scene.forward()
    by_connection = {message.headers["connectionId"]: message.body.decode() for message in scene.broker.received}
    assert by_connection["c2"] == body
    assert by_connection["c1"] != body


def test_driver_receives_bytes_port_time_and_thing(scene: Flow) -> None:
    use(scene, "function decodeUplink(input) { return { data: input }; }")
    model = {"pId": "acme", "mId": "thermo", "ver": "2"}
    scene.post(DriverCfg={"app": model}, CustomerData={"tags": ["x"]}, **UPLINK)
    scene.forward()
    [report] = published(scene)
    assert report["payload"] == {
        "bytes": [42, 0],
        "fPort": 3,
        "recvTime": UPLINK["Time"],
        "thing": {
            "key": "lora:0000000000000001",
            "tags": ["x"],
            "application": {"producerId": "acme", "moduleId": "thermo", "version": "2"},
        },
    }


def test_chunk_is_decoded_with_one_call(scene: Flow) -> None:
    for device in range(20):
        scene.post(device, **UPLINK)
    scene.forward()
    assert scene.codec.calls == [20]
    assert [report["payload"]["n"] for report in published(scene)] == [42] * 20


def test_two_flows_decode_with_their_own_drivers(scene: Flow) -> None:
    scene.drivers.put(TENANT, "acme:other:1", "function Decoder(b, p) { return { ttn: p }; }", signature="ttn")
    scene.flows.flows.clear()
    scene.flows.create(flow("a", matchers=[key("lora:0000000000000001")], driver="acme:other:1"), 200)
    scene.flows.create(flow("b", driver=DRIVER), 200)
    scene.post(1, **UPLINK)
    scene.post(2, **UPLINK)
    scene.forward()
    payloads = {report["DevEUI"][-1]: report["payload"] for report in published(scene)}
    assert payloads == {"1": {"ttn": 3}, "2": {"n": 42, "port": 3}}


# What sees the decoded report


def test_pattern_reads_the_payload(scene: Flow) -> None:
    scene.connect("c2", uplinkTopicPattern="up.{payload.n}.{DevEUI}")
    scene.flows.flows.clear()
    scene.flows.create(flow(to=["c2"], driver=DRIVER), 200)
    scene.post(**UPLINK)
    scene.forward()
    keys = {message.headers["connectionId"]: message.routing_key for message in scene.broker.received}
    assert keys["c2"] == "up.42.0000000000000001"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"sendRawDecodedFormat": True}, '{"n":42,"port":3}'),
        ({"sendMetadata": True}, None),
    ],
)
def test_options_of_the_body_see_the_payload(scene: Flow, option: dict[str, bool], expected: str | None) -> None:
    scene.connect("c2", **option)
    scene.flows.flows.clear()
    scene.flows.create(flow(to=["c2"], driver=DRIVER), 200)
    body = scene.post(**UPLINK)
    scene.forward()
    bodies = {message.headers["connectionId"]: message.body.decode() for message in scene.broker.received}
    inner = body.partition(":")[2].strip()[:-1]
    assert bodies["c2"] == (expected or inner[:-1] + ',"payload":{"n":42,"port":3}}')


# Automatic choice


@pytest.mark.parametrize(
    ("configuration", "decoded"),
    [
        ({"id": DRIVER}, True),
        ({"app": {"pId": "acme", "mId": "sensor", "ver": 1}}, True),
        ({"mod": {"pId": "acme", "mId": "sensor", "ver": "1"}}, True),
        ({"mod": {"pId": "vendor", "mId": "model", "ver": "7"}}, True),
        ({"id": "un:known:1", "mod": {"pId": "vendor", "mId": "model", "ver": "7"}}, True),
        ({"mod": {"pId": "vendor", "mId": "model", "ver": "8"}}, False),
        ({"mod": {"pId": "vendor"}}, False),
        ({"mod": "x", "app": [], "id": 5}, False),
        ("x", False),
        (None, False),
    ],
)
def test_automatic_driver_is_the_one_that_fits_the_device(scene: Flow, configuration: Any, *, decoded: bool) -> None:
    models = [{"producerId": "vendor", "moduleId": "model", "version": "7"}]
    scene.drivers.put(TENANT, DRIVER, CODE, models=models)
    scene.flows.flows.clear()
    scene.flows.create(flow(driver="actility:auto:1"), 200)
    body = scene.post(DriverCfg=configuration, **UPLINK)
    scene.forward()
    [report] = published(scene)
    assert ("payload" in report) is decoded
    if not decoded:
        assert scene.bodies() == [body]
    assert events(scene) == []


def test_driver_of_another_tenant_never_decodes(scene: Flow) -> None:
    scene.drivers.stored.clear()
    scene.drivers.put("other", DRIVER, CODE)
    scene.post(**UPLINK)
    scene.forward()
    assert "does not exist" in published(scene)[0]["payloadDecodedError"]["message"]


# Failures of a driver


def test_failing_driver_gives_an_error_in_place_of_the_payload(scene: Flow) -> None:
    use(scene, "function decodeUplink(input) {\n  throw new Error('bad \"frame\"');\n}")
    body = scene.post(**UPLINK)
    scene.forward()
    error = '{"code": "com-5002", "message": "bad \\"frame\\" (line 2)"}'
    assert scene.bodies() == [f'{body[:-2]},"payloadDecodedError":{error}}}}}']
    assert scene.statistics.counts[TENANT, "c1"]["uplinksDelivered"] == 1
    assert scene.state().state == "OPENED"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return { errors: ['too short', 'no header'] };", "too short; no header"),
        ("while (true) {}", "100 ms"),
        ("return { data: 'x'.repeat(1 << 19) };", "524290 characters"),
        ("let o = {}; for (let i = 0; i < 70; i++) o = { o }; return { data: o };", "nested"),
        ("return 1;", "return an object"),
        ("return {};", "no data"),
    ],
)
def test_each_failure_costs_the_payload_only(scene: Flow, body: str, message: str) -> None:
    use(scene, f"function decodeUplink(input) {{ if (input.fPort === 9) {{ {body} }} return {{ data: 1 }}; }}")
    scene.post(1, **UPLINK)
    scene.post(2, **UPLINK | {"FPort": 9})
    scene.post(3, **UPLINK)
    scene.forward()
    reports = published(scene)
    assert [report.get("payload") for report in reports] == [1, None, 1]
    assert reports[1]["payloadDecodedError"]["code"] == "com-5002"
    assert message in reports[1]["payloadDecodedError"]["message"]


def test_failures_are_one_event_an_hour_for_each_connection_and_driver(scene: Flow) -> None:
    # Given
    use(scene, "function decodeUplink(input) { throw new Error('no'); }")
    scene.connect("c2")
    scene.flows.create(flow("f2", to=["c2"], driver=DRIVER), 200)
    scene.now = 3600.0 * 300

    # When
    for _ in range(3):
        for device in range(4):
            scene.post(device, **UPLINK)
        scene.forward()
        scene.now += 900
    first = {(event.connection_id, event.details["count"]) for event in events(scene)}
    scene.now += 1800
    scene.post(**UPLINK)
    scene.forward()

    # Then
    assert first == {("c1", 12), ("c2", 12)}
    assert len(events(scene)) == 4
    example = events(scene)[0]
    assert (example.level, example.details["driver"], example.details["payload_hex"]) == ("warning", DRIVER, "2a00")
    assert "no (line 1)" in example.message


def test_report_whose_driver_was_deleted_says_so(scene: Flow) -> None:
    scene.post(**UPLINK)
    scene.drivers.stored.clear()
    scene.forward()
    [report] = published(scene)
    assert report["payloadDecodedError"] == {
        "code": "com-5002",
        "message": f"The driver {DRIVER} does not exist any more.",
    }


def test_failed_message_keeps_the_body_as_it_came(scene: Flow) -> None:
    scene.broker.answer = lambda _: Outcome(Result.FAILED, FailureReason.UNROUTABLE)
    body = scene.post(**UPLINK)
    scene.forward()
    [failed], _ = scene.failed.page(TENANT, "c1", 10, None)
    assert (failed.body, failed.driver) == (body, DRIVER)


# Changes of drivers


def test_new_driver_is_used_within_seconds(scene: Flow) -> None:
    scene.post(**UPLINK)
    scene.forward()
    use(scene, "function decodeUplink() { return { data: 'new' }; }")
    scene.now += 6
    scene.post(**UPLINK)
    scene.forward()
    assert [report["payload"] for report in published(scene)] == [{"n": 42, "port": 3}, "new"]


def test_drivers_are_read_once_for_many_chunks(scene: Flow) -> None:
    for _ in range(5):
        scene.post(**UPLINK)
        scene.forward()
    assert scene.drivers.reads == 1


def test_driver_that_was_created_a_moment_ago_is_found(scene: Flow) -> None:
    scene.post(**UPLINK)
    scene.forward()
    scene.drivers.put(TENANT, "acme:new:1", CODE)
    scene.flows.flows.clear()
    scene.flows.create(flow("n", driver="acme:new:1"), 200)
    scene.post(**UPLINK)
    scene.forward()
    assert "payload" in published(scene)[1]


def test_code_that_is_replaced_during_the_call_is_read_again(scene: Flow) -> None:
    # Given: the codec asks for code that is gone
    replaced: list[int] = []

    def replace() -> None:
        if not replaced:
            replaced.append(1)
            use(scene, "function decodeUplink() { return { data: 'new' }; }")

    scene.codec.on_call = replace
    scene.post(**UPLINK)
    scene.forward()
    assert [report["payload"] for report in published(scene)] == ["new"]


# Outages of the codec


def test_reports_wait_in_order_while_the_codec_is_down(scene: Flow) -> None:
    # Given
    scene.codec.down = True
    bodies = [scene.post(**UPLINK) for _ in range(3)]
    scene.forward()
    assert scene.bodies() == []
    state = scene.state()
    assert not state.breaker_open
    assert scene.broker.opened == 0
    assert events(scene) == []

    # When: it works again, after the reports are visible and their wake-up is due
    scene.codec.down = False
    scene.now += 61
    scene.reconciler.run()
    scene.forward()

    # Then
    counters = [json.loads(body)["DevEUI_uplink"]["FCntUp"] for body in bodies]
    assert [report["FCntUp"] for report in published(scene)] == counters
    assert all(report["payload"] == {"n": 42, "port": 3} for report in published(scene))
    assert len(scene.queues.receive("c1", 10)) == 0


def test_outage_of_the_codec_stops_no_other_connection(scene: Flow) -> None:
    scene.connect("c2")
    scene.codec.down = True
    body = scene.post(**UPLINK)
    scene.forward()
    assert [(message.headers["connectionId"], message.body.decode()) for message in scene.broker.received] == [
        ("c2", body)
    ]


def test_chunk_without_drivers_does_not_need_the_codec(scene: Flow) -> None:
    scene.flows.flows.clear()
    scene.codec.down = True
    body = scene.post(**UPLINK)
    scene.forward()
    assert scene.bodies() == [body]


def test_codec_is_called_again_for_what_its_time_did_not_suffice_for(scene: Flow) -> None:
    scene.codec.at_once = 2
    for device in range(5):
        scene.post(device, **UPLINK)
    scene.forward()
    assert scene.codec.calls == [5, 3, 1]
    assert all("payload" in report for report in published(scene))


def test_reports_that_the_time_did_not_suffice_for_are_sent_later_in_order(scene: Flow) -> None:
    # Given: one report a call, and a drain without more time after the first call
    published_at_once: list[int] = []
    scene.broker.on_publish = published_at_once.append
    scene.codec.at_once = 1
    scene.codec.on_call = lambda: setattr(scene, "elapsed", scene.elapsed + 1e9)
    scene.post(1, **UPLINK)
    for device in (2, 3, 2):
        scene.post(device, **UPLINK)
    scene.flows.flows.clear()
    scene.flows.create(flow("none"), 200)
    scene.post(2, **UPLINK)

    # When
    scene.forward()
    scene.codec.at_once = 1000
    scene.now += 61
    scene.reconciler.run()
    scene.forward()

    # Then: the report without a driver did not overtake those of its device
    assert published_at_once[0] == 1
    order = [report["FCntUp"] for report in published(scene) if report["DevEUI"].endswith("2")]
    assert order == sorted(order)
    assert len(published(scene)) == 5


def test_confirmed_reports_are_deleted_while_the_codec_works(scene: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given: a first chunk whose number is no multiple of ten
    left: list[bool] = []
    scene.codec.on_call = lambda: left.append(wait_until(lambda: sum(scene.queues.depth("c1")) <= 7, 2, 0.01))
    receive = scene.queues.receive
    monkeypatch.setattr(scene.queues, "receive", lambda name, number, seconds: receive(name, min(number, 7), seconds))
    for device in range(112):
        scene.post(device, **UPLINK)

    # When
    scene.forward()

    # Then: a codec that takes longer than their visibility timeout does not make them visible again
    assert scene.codec.calls == [105, 7]
    assert left == [False, True]
    assert len(published(scene)) == 112


def test_slow_driver_moves_its_connection_to_the_slow_lane(scene: Flow) -> None:
    # Given
    scene.connections.mark_fast(scene.state(), scene.now)
    scene.codec.on_call = lambda: setattr(scene, "elapsed", scene.elapsed + 1.5)
    scene.post(**UPLINK)

    # When
    scene.forward()

    # Then
    assert not scene.state().is_fast
