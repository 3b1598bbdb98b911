"""Properties of messages, read without their table of headers."""

from datetime import UTC, datetime

from pika import BasicProperties

from chalicelib.adapters.amqp.frames import readable_properties

TEXTS = ("content_type", "correlation_id", "reply_to", "expiration", "message_id", "type", "app_id", "cluster_id")


def test_texts_are_read_as_pika_writes_them() -> None:
    written = BasicProperties(
        headers={"at": datetime(2026, 1, 1, tzinfo=UTC), "deep": {"a": [1, {"b": "c"}]}},
        delivery_mode=2,
        priority=1,
        timestamp=1,
        **{name: f"{name} é" for name in TEXTS},
    )
    read = readable_properties(b"".join(written.encode()))
    assert {name: getattr(read, name) for name in TEXTS} == {name: f"{name} é" for name in TEXTS}
    assert read.headers is None


def test_every_prefix_of_properties_is_readable() -> None:
    encoded = b"".join(BasicProperties(headers={"a": 1}, message_id="id", app_id="app").encode())
    assert readable_properties(encoded).app_id == "app"
    for end in range(len(encoded)):
        assert readable_properties(encoded[:end]).app_id is None
