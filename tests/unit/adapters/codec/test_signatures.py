"""Calls of the codec into a driver: the function, its arguments and the treatment of its result."""

import json
from typing import Any

import pytest

from chalicelib.adapters.codec.engine import CompileError, Sandbox
from tests.unit.adapters.codec.cases import HARMLESS, decoder, failure, message, run

BODY = "{ return { data: { bytes: input.bytes, port: input.fPort } }; }"
DATA = {"bytes": [1, 2, 255], "port": 5}


@pytest.mark.parametrize(
    "code",
    [
        f"function decodeUplink(input) {BODY}",
        f"const decodeUplink = (input) => {BODY}",
        f"exports.decodeUplink = function (input) {BODY}",
        f"module.exports = {{ decodeUplink(input) {BODY} }}",
        f"module.exports.driver = {{ decodeUplink(input) {BODY} }}",
        f"var driver; (() => {{ driver = {{ decodeUplink: (input) => {BODY} }}; }})()",
        f"globalThis.decodeUplink = (input) => {BODY}",
        f"'use strict';\nfunction decodeUplink(input) {BODY}\n// the end",
    ],
)
def test_function_is_found_wherever_a_driver_defines_it(code: str) -> None:
    assert json.loads(run(code)["data"]) == DATA


def test_function_is_called_as_a_method_of_its_object() -> None:
    code = "var driver = { factor: 2, decodeUplink() { return { data: { f: this.factor } }; } };"
    assert run(code)["data"] == '{"f":2}'


@pytest.mark.parametrize(
    ("signature", "code", "expected"),
    [
        ("lora-alliance", f"function decodeUplink(input) {BODY}", DATA),
        ("ttn", "function Decoder(bytes, port) { return { bytes, port }; }", DATA),
        ("chirpstack", "function Decode(port, bytes, variables) { return { bytes, port, variables }; }", DATA),
        ("actility", f"function decodeUplink(input) {BODY}", {"bytes": "0102ff", "port": 5}),
        ("actility", "function decodeUplink(input) { return { hex: input.bytes }; }", {"hex": "0102ff"}),
    ],
)
def test_uplink_is_decoded_with_each_signature(signature: str, code: str, expected: dict[str, Any]) -> None:
    more: dict[str, Any] = {"variables": {}} if signature == "chirpstack" else {}
    assert json.loads(run(code, signature=signature)["data"]) == expected | more


@pytest.mark.parametrize(
    ("signature", "code", "port"),
    [
        ("lora-alliance", "function encodeDownlink(input) { return { bytes: [input.data.v, 255], fPort: 9 }; }", "9"),
        ("actility", "function encodeDownlink(data) { return { bytes: [data.v, 255], fPort: 9 }; }", "9"),
        ("ttn", "function Encoder(object, port) { return [object.v, 255]; }", None),
        ("chirpstack", "function Encode(port, object, variables) { return [object.v, variables.x]; }", None),
    ],
)
def test_downlink_is_encoded_with_each_signature(signature: str, code: str, port: str | None) -> None:
    given = {"data": {"v": 7}, "fPort": 3, "variables": {"x": 255}}
    answer = run(code, "encodeDownlink", signature, input=given)
    assert (answer["bytes"], answer.get("fPort")) == ("[7,255]", port)


@pytest.mark.parametrize("bytes_", ["new Uint8Array([7, 255])", "Buffer.from([7, 255])"])
def test_encoded_bytes_may_be_a_typed_array(bytes_: str) -> None:
    code = f"function encodeDownlink(input) {{ return {{ bytes: {bytes_}, fPort: 1 }}; }}"
    assert run(code, "encodeDownlink", input={"data": {}})["bytes"] == "[7,255]"


def test_downlink_is_decoded() -> None:
    code = "function decodeDownlink(input) { return { data: { first: input.bytes[0] } }; }"
    assert run(code, "decodeDownlink")["data"] == '{"first":1}'


def test_missing_function_is_named() -> None:
    assert "no function encodeDownlink" in failure(HARMLESS, operation="encodeDownlink", input={"data": {}})
    assert "no decodeDownlink" in failure("function Decoder() {}", operation="decodeDownlink", signature="ttn")


def test_errors_of_the_driver_replace_its_data_and_warnings_accompany_it() -> None:
    failed = run(decoder("return { data: { a: 1 }, errors: ['bad frame', { code: 3 }] };"))
    warned = run(decoder("return { data: { a: 1 }, warnings: ['low battery'] };"))
    assert (failed["errors"], "data" in failed) == (["bad frame", '{"code":3}'], False)
    assert (warned["warnings"], warned["data"]) == (["low battery"], '{"a":1}')


def test_time_is_a_string_with_the_methods_of_a_date() -> None:
    # Given: drivers of the incumbent expect a string, those of TS013 a Date
    time = "2023-07-19T07:51:25.508306410Z"
    body = "const t = input.recvTime; return { data: [t, t.getTime(), new Date(t).getTime(), t.toISOString()] };"
    answer = run(decoder(body), input={"bytes": "00", "fPort": 1, "recvTime": time})
    assert json.loads(answer["data"]) == [time, 1689753085508, 1689753085508, "2023-07-19T07:51:25.508Z"]


def test_other_members_of_the_input_arrive_as_they_are() -> None:
    thing = {"key": "lora:0018b20000000b20", "setup": {"k": 1.5}}
    answer = run(decoder("return { data: input.thing };"), input={"bytes": "00", "fPort": 1, "thing": thing})
    assert json.loads(answer["data"]) == thing


def test_whole_result_and_console_are_returned_on_request() -> None:
    code = decoder("console.log('a', 1, { b: 2 }); console.warn('c'); return { data: 1, extra: true };")
    answer = run(code, whole=True, console=True)
    assert (answer["result"], answer["console"]) == ('{"data":1,"extra":true}', ['a 1 {"b":2}', "c"])
    assert {"result", "console"}.isdisjoint(run(code))


@pytest.mark.parametrize(
    ("code", "line", "column"),
    [
        ("function decodeUplink(input) {\n  let x = ;\n}", 2, 11),
        ("var a = 1;\n\n\nfunction (", 4, 10),
        ("function decodeUplink(input) {\n  return {};\n", 3, 1),
    ],
)
def test_syntax_error_has_line_and_column(code: str, line: int, column: int) -> None:
    with pytest.raises(CompileError) as caught:
        Sandbox(code)
    assert caught.value.message.startswith("SyntaxError: ")
    assert (caught.value.line, caught.value.column) == (line, column)


def test_error_at_run_time_has_the_line_in_the_driver() -> None:
    answer = run("function decodeUplink(input) {\n  const x = 1;\n  return x.y.z;\n}")
    assert answer["failure"]["line"] == 3
    assert answer["failure"]["message"].startswith("TypeError: ")


def test_code_that_throws_when_it_is_loaded_fails_each_message() -> None:
    sandbox = Sandbox("throw new Error('not today');")
    answers = [sandbox.run(message(HARMLESS)) for _ in range(2)]
    assert [answer["failure"]["message"] for answer in answers] == ["not today"] * 2


@pytest.mark.parametrize("result", ["5", "null", "undefined", "'text'"])
def test_result_must_be_an_object(result: str) -> None:
    assert "return an object" in failure(decoder(f"return {result};"))


def test_result_must_have_data_and_must_not_be_a_promise() -> None:
    assert "no data" in failure(decoder("return {};"))
    assert "promise" in failure("async " + HARMLESS)


def test_modern_syntax_is_understood() -> None:
    body = "const { fPort = 0, ...rest } = input; const m = new Map([['a', fPort ?? 1]]);"
    body += (
        "return { data: { a: m.get('a')?.toFixed(1), n: Object.keys(rest).length, b: 2 ** 3, f: [1, [2]].flat() } };"
    )
    assert json.loads(run(decoder(body))["data"]) == {"a": "5.0", "n": 1, "b": 8, "f": [1, 2]}
