"""Messages that a broker's text names when it closes the channel."""

import pytest

from chalicelib.adapters.amqp.channel_closings import named_messages
from chalicelib.ports.publishing import OutgoingMessage

LONG = "t1." + "ü" * 120


def message(routing_key: str, size: int = 1) -> OutgoingMessage:
    return OutgoingMessage(routing_key, routing_key, routing_key, b"x" * size, routing_key, "DevEUI_uplink")


IN_FLIGHT = [
    message("t1.A.up", 10),
    message("t1.A", 20),
    message("it's' in x", 30),
    message(LONG, 40),
    message("b", 10),
]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ACCESS_REFUSED - access to topic 't1.A.up' in exchange 'e' in vhost '/' refused for user 'b'", ["t1.A.up"]),
        ("ACCESS_REFUSED - write access to topic 't1.A' in exchange 'e' in vhost '/' refused for user 'b'", ["t1.A"]),
        ("ACCESS_REFUSED - access to topic 'it's' in x' in exchange 'e' refused for user 'b'", ["it's' in x"]),
        (f"ACCESS_REFUSED - access to topic '{LONG[:110]}...", []),
        ("ACCESS_REFUSED - access to topic 't1.A' in exchange 'e' in vhost '/' refused for us...", []),
        ("access to topic 't1.A' in exchange 'e' refused for user 'b', backend x returned an error: 'expired'", []),
        ("ACCESS_REFUSED - not permitted: routing key 't1.A'", ["t1.A"]),
        ("ACCESS_REFUSED - access to topic 't1.B' in exchange 'e' in vhost '/' refused for user 'b'", []),
        ("ACCESS_REFUSED - access to exchange 'b' in vhost '/' refused for user 'b'", []),
        ("PRECONDITION_FAILED - message size 20 is larger than configured max size 1", ["t1.A"]),
        ("PRECONDITION_FAILED - message size 10 larger than max size 1", ["t1.A.up", "b"]),
        ("PRECONDITION_FAILED - message size 2 is larger than configured max size 10", []),
        ("ACCESS_REFUSED - Provided JWT token has expired at timestamp 20 (validated at 30)", []),
    ],
)  # fmt: skip
def test_text_names_messages_by_routing_key_or_size(text: str, keys: list[str]) -> None:
    assert [found.routing_key for found in named_messages(text, IN_FLIGHT)] == keys
