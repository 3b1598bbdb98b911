"""Drivers and requests for the tests of the codec."""

from typing import Any

from chalicelib.adapters.codec.engine import Sandbox
from chalicelib.adapters.codec.handler import code_hash

HARMLESS = "function decodeUplink(input) { return { data: { bytes: input.bytes } }; }"


def decoder(body: str) -> str:
    """Return a driver whose ``decodeUplink(input)`` has this body."""
    return "function decodeUplink(input) {" + body + "}"


def message(
    code: str, operation: str = "decodeUplink", signature: str = "lora-alliance", **more: Any
) -> dict[str, Any]:
    given = {"bytes": "0102ff", "fPort": 5}
    return {"driver": code_hash(code), "signature": signature, "operation": operation, "input": given} | more


def run(code: str, operation: str = "decodeUplink", signature: str = "lora-alliance", **more: Any) -> dict[str, Any]:
    """Return the answer of a new context to one message."""
    return Sandbox(code).run(message(code, operation, signature, **more))


def failure(code: str, **more: Any) -> str:
    answer = run(code, **more)
    assert answer.keys().isdisjoint({"data", "bytes"})
    text: str = answer["failure"]["message"]
    return text
