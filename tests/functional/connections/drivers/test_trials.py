"""Trials of drivers: decode, encode, tests of code that is not saved, and examples."""

import time
from typing import Any

import pytest

from chalicelib.kernel.times import iso_time
from tests.functional.connection_cases import expect_problem
from tests.functional.doubles import Api, CodecFunction
from tests.functional.driver_cases import CODE, DRIVER, post_driver

PATH = f"/drivers/{DRIVER['id']}"
EXAMPLES: list[dict[str, Any]] = [
    {
        "type": "uplink",
        "description": "two degrees",
        "input": {"bytes": "00c864", "fPort": 1, "recvTime": "2026-01-01T00:00:00.000Z"},
        "output": {"data": {"temperature": 2.0, "battery": 100}, "warnings": []},
        "points": {},
    },
    {
        "type": "downlink-encode",
        "input": {"data": {"interval": 60}},
        "output": {"bytes": "3C", "fPort": 10, "warnings": []},
    },
    {"type": "downlink-decode", "input": {"bytes": "3c", "fPort": 1}, "output": {"data": {"interval": 60}}},
    {"type": "uplink", "input": {"bytes": "00", "fPort": 1}, "output": {"errors": ["The payload is too short."]}},
]


def test_uplink_is_decoded_with_a_saved_driver(api: Api) -> None:
    post_driver(api)
    answer = api.call("POST", f"{PATH}/decode-uplink", {"bytes": "00C864", "fPort": 17, "recvTime": "x", "thing": {}})
    assert answer.status == 200
    assert answer.json.pop("milliseconds") >= 0
    assert answer.json | {"milliseconds": 0} == {
        "data": {"temperature": 2, "battery": 100},
        "warnings": [],
        "errors": [],
        "milliseconds": 0,
    }


def test_failure_of_a_driver_is_an_answer_with_errors(api: Api) -> None:
    post_driver(api)
    short = api.call("POST", f"{PATH}/decode-uplink", {"bytes": "00"}).json
    assert (short["data"], short["errors"]) == (None, ["The payload is too short."])
    thrown = api.call("POST", f"{PATH}/encode-downlink", {"data": {}}).json
    assert (thrown["bytes"], thrown["errors"]) == (None, ["interval is missing (line 11)"])


def test_downlink_is_encoded_and_decoded_with_a_saved_driver(api: Api) -> None:
    post_driver(api)
    encoded = api.call("POST", f"{PATH}/encode-downlink", {"data": {"interval": 60}}).json
    assert (encoded["bytes"], encoded["fPort"]) == ("3C", 10)
    decoded = api.call("POST", f"{PATH}/decode-downlink", {"bytes": "3C", "fPort": 10}).json
    assert decoded["data"] == {"interval": 60}


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ("{ bytes: [256] }", "0 to 255"),
        ("{ bytes: [-1] }", "0 to 255"),
        ("{ bytes: [1.5] }", "0 to 255"),
        ("{ bytes: 'xy' }", "hexadecimal"),
        ("{ bytes: new Array(243).fill(0) }", "243 bytes"),
        ("{ bytes: [1], fPort: 225 }", "1 to 224"),
        ("{ fPort: 1 }", "no bytes"),
    ],
)
def test_result_of_an_encoder_is_checked(api: Api, result: str, error: str) -> None:
    code = f"function encodeDownlink(input) {{ return {result}; }}"
    answer = api.call("POST", "/drivers/test", {"code": code, "data": {}}).json
    assert answer["bytes"] is None
    assert error in answer["errors"][0]


def test_code_that_is_not_saved_is_run_with_its_console(api: Api) -> None:
    code = "function Decoder(bytes, port) { console.log('port', port); return { n: bytes.length }; }"
    request = {"code": code, "signature": "ttn", "bytes": "0102", "fPort": 3}
    answer = api.call("POST", "/drivers/test", request).json
    assert (answer["data"], answer["console"], answer["examples"]) == ({"n": 2}, ["port 3"], [])
    assert api.call("GET", "/drivers").json == []


def test_examples_pass_or_fail_with_their_differences(api: Api) -> None:
    wrong = EXAMPLES[0] | {"output": {"data": {"temperature": 3, "humidity": 1}, "warnings": []}}
    answer = api.call("POST", "/drivers/test", {"code": CODE, "examples": [*EXAMPLES, wrong]})
    assert answer.status == 200
    results = answer.json["examples"]
    assert [each["passed"] for each in results] == [True] * 4 + [False]
    assert results[0]["description"] == "two degrees"
    assert results[4]["differences"] == [
        {"pointer": "/data/temperature", "expected": 3, "actual": 2},
        {"pointer": "/data/humidity", "expected": 1},
        {"pointer": "/data/battery", "actual": 100},
    ]


def test_example_whose_driver_fails_shows_the_error(api: Api) -> None:
    example = {"type": "downlink-encode", "input": {"data": {}}, "output": {"bytes": []}}
    [result] = api.call("POST", "/drivers/test", {"code": CODE, "examples": [example]}).json["examples"]
    assert (result["passed"], result["differences"]) == (False, [])
    assert result["errors"] == ["interval is missing"]


@pytest.mark.parametrize(
    ("expected", "result", "passes"),
    [
        ("'2020-01-01T00:00:00.000Z'", "new Date()", True),
        ("'XXXX-XX-XXTXX:XX:XX.XXXZ'", "new Date(0).toISOString()", True),
        ("'SKIP_NUMBER'", "Math.random()", True),
        ("'2026-01-01T01:00:00+01:00'", "'2026-01-01T00:00:00Z'", True),
        ("1700000000000", "Date.now()", True),
        ("'2020-01-01T00:00:00.000Z'", "'2021-01-01T00:00:00.000Z'", False),
        ("5", "Date.now()", False),
        ("true", "1", False),
        ("1.0", "1", True),
        ("null", "undefined", False),
    ],
)
def test_current_time_and_placeholders_are_set_aside(api: Api, expected: str, result: str, *, passes: bool) -> None:
    code = f"function decodeUplink() {{ return {{ data: {{ v: {result} }} }}; }}"
    value = {"null": None, "true": True, "5": 5, "1.0": 1.0, "1700000000000": 1700000000000}.get(
        expected, expected.strip("'")
    )
    example = {"type": "uplink", "input": {"bytes": "00"}, "output": {"data": {"v": value}}}
    [outcome] = api.call("POST", "/drivers/test", {"code": code, "examples": [example]}).json["examples"]
    assert outcome["passed"] is passes, outcome


def test_time_of_reception_is_now_by_default(api: Api) -> None:
    code = "function decodeUplink(input) { return { data: { t: input.recvTime } }; }"
    before = iso_time(time.time())
    answer = api.call("POST", "/drivers/test", {"code": code, "bytes": ""}).json
    assert before <= answer["data"]["t"] <= iso_time(time.time())


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        ({"bytes": "0"}, "/bytes"),
        ({"bytes": "xx"}, "/bytes"),
        ({"fPort": 1}, "/bytes"),
        ({"bytes": "00", "fPort": 256}, "/fPort"),
        ({"bytes": "00", "thing": 1}, "/thing"),
        ({"bytes": "00", "port": 1}, "/port"),
    ],
)
def test_invalid_trial_is_named(api: Api, request_: dict[str, Any], pointer: str) -> None:
    post_driver(api)
    refused = api.call("POST", f"{PATH}/decode-uplink", request_)
    expect_problem(refused, 422)
    assert pointer in refused.pointers


def test_syntax_error_of_a_test_has_line_and_column(api: Api) -> None:
    refused = api.call("POST", "/drivers/test", {"code": "let x = ;", "bytes": "00"})
    expect_problem(refused, 422)
    assert refused.json["errors"][0] | {"detail": ""} == {"pointer": "/code", "detail": "", "line": 1, "column": 9}


def test_trials_need_an_existing_driver(api: Api) -> None:
    for call in ("decode-uplink", "decode-downlink"):
        expect_problem(api.call("POST", f"{PATH}/{call}", {"bytes": "00"}), 404)
    expect_problem(api.call("POST", f"{PATH}/encode-downlink", {"data": {}}), 404)


def test_code_is_sent_to_the_codec_once(api: Api, functions: CodecFunction) -> None:
    post_driver(api)
    functions.requests.clear()
    for _ in range(3):
        api.call("POST", f"{PATH}/decode-uplink", {"bytes": "00c864"})
    assert [len(request["codes"]) for request in functions.requests] == [0, 0, 0]
