"""Frames of a publish: the same bytes as pika's own, and the same refusals."""

import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pika import BasicProperties, spec
from pika.frame import Body, Header, Method

from chalicelib.adapters.amqp.frames import PublishEncoder
from chalicelib.adapters.amqp.publisher import ENCODING_ERRORS
from chalicelib.ports.publishing import OutgoingMessage, amqp_properties

FRAME_MAX = 4096
"""The smallest size that AMQP permits."""
TEXT = st.text(max_size=80)
"""Without the surrogates that UTF-8 cannot encode; the longest ones exceed a short string's 255 bytes."""
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**31) - 1, -(2**31), 2**31 - 1, 2**31])
MESSAGES = st.builds(
    OutgoingMessage,
    key=st.just("k"),
    group=st.just("g"),
    routing_key=TEXT,
    body=st.binary(max_size=40) | st.integers(0, 3 * FRAME_MAX).map(bytes),
    message_id=TEXT,
    type=TEXT,
    timestamp=st.none() | st.integers(0, 2**64 - 1),
    headers=st.dictionaries(TEXT, TEXT | NUMBERS | st.booleans(), max_size=6),
)


def encoded_by_pika(channel: int, exchange: str, message: OutgoingMessage) -> bytes:
    publish = spec.Basic.Publish(exchange=exchange, routing_key=message.routing_key, mandatory=True)
    properties = BasicProperties(headers=dict(message.headers), **amqp_properties(message))
    largest = FRAME_MAX - spec.FRAME_HEADER_SIZE - spec.FRAME_END_SIZE
    parts = range(math.ceil(len(message.body) / largest))
    frames: list[Any] = [
        Method(channel, publish),
        Header(channel, len(message.body), properties),
        *(Body(channel, message.body[part * largest : (part + 1) * largest]) for part in parts),
    ]
    return b"".join(frame.marshal() for frame in frames)


def result(encode: Callable[[], bytes]) -> bytes | type[Exception]:
    try:
        return encode()
    except ENCODING_ERRORS as error:
        return type(error)


@given(message=MESSAGES, channel=st.integers(1, 65535), exchange=TEXT.filter(lambda name: len(name.encode()) <= 255))
def test_frames_are_those_of_pika(message: OutgoingMessage, channel: int, exchange: str) -> None:
    encoder = PublishEncoder(channel, exchange, FRAME_MAX)
    expected = result(lambda: encoded_by_pika(channel, exchange, message))
    assert result(lambda: encoder.encode(message)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"routing_key": "k" * 256},
        {"routing_key": "\ud800"},
        {"message_id": "é" * 128},
        {"type": "t" * 256},
        {"timestamp": -1},
        {"headers": {"n" * 256: 1}},
        {"headers": {"n": 2**63}},
        {"headers": {"n": "\udfff"}},
        {"headers": {"n": 1.5}},
    ],
    ids=str,
)
def test_message_that_amqp_cannot_carry_is_refused_as_by_pika(changes: dict[str, Any]) -> None:
    fields = {"key": "k", "group": "g", "routing_key": "r", "body": b"{}", "message_id": "m", "type": "t", **changes}
    message = OutgoingMessage(**fields)
    refused = result(lambda: PublishEncoder(1, "x", FRAME_MAX).encode(message))
    assert isinstance(refused, type)
    assert refused == result(lambda: encoded_by_pika(1, "x", message))
