"""A message for which the broker closes the channel fails alone; what every message causes is an outage."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from pika import spec

from chalicelib.adapters.amqp.channel_closings import MAX_CLOSINGS
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerRefused
from chalicelib.ports.publishing import OutgoingMessage
from chalicelib.vocabulary import EventType
from tests.broker.scripted_server import Answer, Peer, scripted_server
from tests.broker.support import Site, bound_queue, drain_queue, outgoing, results, soon, unique

DELIVERED, REFUSED = "DELIVERED", "REFUSED_BY_BROKER"
LONGEST_TEXT = 255
"""Bytes of a broker's text in AMQP. RabbitMQ cuts longer ones."""


def restricted(site: Site, **configuration: Any) -> tuple[Connection, ConnectionSecrets, str, str]:
    """A user who may write only ``<key>.good…``. Return its connection, secrets, key and a bound queue."""
    user, secrets = site.user_with(configure=".*", write=".*", read=".*")
    key = unique("key")
    permission = {"exchange": "amq.topic", "write": rf"^{key}\.good", "read": ".*"}
    site.api("PUT", f"topic-permissions/%2F/{user}", permission)
    return site.connection(username=user, **configuration), secrets, key, bound_queue(site, f"{key}.#")


def messages(key: str, kinds: Sequence[str]) -> list[OutgoingMessage]:
    """One message for each kind, each of another device, named ``<kind>-<number>``."""
    return [
        outgoing(f"{kind}-{number}", group=f"{number}", routing_key=f"{key}.{kind}.{number}", body=b"%d" % number)
        for number, kind in enumerate(kinds)
    ]


def of_kind(outcomes: dict[str, str], kind: str) -> set[str]:
    return {outcome for name, outcome in outcomes.items() if name.startswith(kind)}


@pytest.mark.parametrize(
    "kinds",
    [
        ["bad"] + ["good"] * 20,
        ["good"] * 100 + ["bad"],
        ["bad"] * 10 + ["good"] * 100,
        (["good"] * 9 + ["bad"]) * 10,
        ["bad"] * 10,
        ["bad"],
    ],
    ids=["first", "last", "ten first", "every tenth", "only", "single"],
)
def test_forbidden_topic_fails_its_message_only(site: Site, kinds: list[str]) -> None:
    # Given
    connection, secrets, key, queue = restricted(site)

    # When
    with site.publisher(connection, secrets) as publisher:
        result = publisher.publish(messages(key, kinds), soon(20))
        after = publisher.publish([outgoing("after", routing_key=f"{key}.good")], soon())

    # Then
    assert result.fault is None
    assert len(result.outcomes) == len(kinds)
    assert of_kind(results(result), "good") <= {DELIVERED}
    assert of_kind(results(result), "bad") == {REFUSED}
    assert results(after) == {"after": DELIVERED}
    received = [body for _, _, body in drain_queue(site, queue)]
    assert {int(body) for body in received if body.isdigit()} == {n for n, kind in enumerate(kinds) if kind == "good"}
    # Only the messages in flight at a closing can be there twice: the window grows anew from one message.
    assert max(Counter(received).values()) <= 3


def test_failed_message_quotes_the_broker_without_secrets(site: Site) -> None:
    connection, secrets, key, _ = restricted(site)
    with site.publisher(connection, secrets) as publisher:
        result = publisher.publish(messages(f"{key}.pw-of-user", ["bad"]), soon())
    detail = result.outcomes["bad-0"].detail
    assert f"access to topic '{key}.*****.bad.0' in exchange 'amq.topic'" in detail
    assert detail.endswith("Permit the user to write to this topic, then replay.")


def test_later_messages_of_the_refused_device_are_published_in_order(site: Site) -> None:
    # Given
    connection, secrets, key, queue = restricted(site)
    kinds = ["good", "bad", "good", "bad", "good"]
    sent = [
        outgoing(f"{kind}-{device}-{turn}", group=device, routing_key=f"{key}.{kind}", body=f"{device}{turn}".encode())
        for turn, kind in enumerate(kinds)
        for device in "ABC"
    ]

    # When
    with site.publisher(connection, secrets) as publisher:
        result = publisher.publish(sent, soon(20))

    # Then
    assert result.fault is None
    assert of_kind(results(result), "good") == {DELIVERED}
    assert of_kind(results(result), "bad") == {REFUSED}
    received = dict.fromkeys(body.decode() for _, _, body in drain_queue(site, queue))
    for device in "ABC":
        assert [body for body in received if body[0] == device] == [f"{device}{turn}" for turn in (0, 2, 4)]


def test_forbidden_topic_longer_than_the_brokers_text_fails_its_message(site: Site) -> None:
    connection, secrets, key, queue = restricted(site)
    long = f"{key}.bad." + "ü" * 100
    sent = [outgoing("bad", group="B", routing_key=long), *messages(key, ["good"] * 5)]
    with site.publisher(connection, secrets) as publisher:
        result = publisher.publish(sent, soon())
    assert result.fault is None
    assert results(result).pop("bad") == REFUSED
    assert of_kind(results(result), "good") == {DELIVERED}
    assert len(drain_queue(site, queue)) == 5


def test_topic_that_several_devices_share_fails_the_message_of_each(site: Site) -> None:
    connection, secrets, key, _ = restricted(site)
    shared = [outgoing(f"bad-{number}", group=f"bad{number}", routing_key=f"{key}.bad") for number in range(3)]
    with site.publisher(connection, secrets) as publisher:
        result = publisher.publish([*shared, *messages(key, ["good"] * 5)], soon())
    assert result.fault is None
    assert of_kind(results(result), "bad") == {REFUSED}
    assert of_kind(results(result), "good") == {DELIVERED}


def test_forbidden_topic_of_every_message_is_an_outage(site: Site) -> None:
    connection, secrets, key, _ = restricted(site)
    pattern = f"{key}.bad"
    connection = connection.model_copy(
        update={"configuration": connection.configuration.model_copy(update={"uplink_topic_pattern": pattern})}
    )
    with site.publisher(connection, secrets) as publisher:
        result = publisher.publish([outgoing("1", routing_key=pattern)], soon())
    assert isinstance(result.fault, BrokerMisconfigured)
    assert results(result) == {"1": "PERMISSION_REFUSED"}


def test_flood_of_refused_messages_is_settled_in_parts(site: Site) -> None:
    # Given more refused messages than one publish may lose channels for
    connection, secrets, key, _ = restricted(site)
    sent = messages(key, ["bad"] * (MAX_CLOSINGS + 5))

    # When
    with site.publisher(connection, secrets) as publisher:
        first = publisher.publish(sent, soon(20))
        rest = [message for message in sent if results(first)[message.key] != REFUSED]
        second = publisher.publish(rest, soon(20))

    # Then
    assert (first.fault, second.fault) == (None, None)
    assert Counter(results(first).values()) == {REFUSED: MAX_CLOSINGS, "DEADLINE": 5}
    assert set(results(second).values()) == {REFUSED}


@contextmanager
def largest_message(site: Site, size: int) -> Iterator[None]:
    """Let the broker refuse messages above ``size`` bytes."""
    set_size = "application:set_env(rabbit, max_message_size, {})."
    site.broker.ctl("eval", set_size.format(size))
    try:
        yield
    finally:
        site.broker.ctl("eval", set_size.format(134217728))


def test_message_above_the_brokers_limit_fails_alone(site: Site) -> None:
    # Given two messages of the same refused size, and a third one
    key = unique("key")
    queue = bound_queue(site, key)
    sizes = [10, 5000, 20, 5000, 30, 6000, 40]
    sent = [outgoing(f"{n}", group=f"{n}", routing_key=key, body=b"x" * size) for n, size in enumerate(sizes)]

    # When
    with largest_message(site, 1000), site.publisher() as publisher:
        result = publisher.publish(sent, soon(20))

    # Then
    assert result.fault is None
    assert [results(result)[f"{n}"] for n in range(7)] == [REFUSED if size > 1000 else DELIVERED for size in sizes]
    assert "message size 5000 is larger" in result.outcomes["1"].detail
    assert "limit of the message size" in result.outcomes["1"].detail
    assert {len(body) for _, _, body in drain_queue(site, queue)} == {10, 20, 30, 40}


class Script:
    """A scripted server that confirms each published message, or closes the channel as ``refuse`` answers.

    ``refuse`` gets the routing key and returns the code and the text of the closing, or None.
    """

    def __init__(self, refuse: Callable[[str], tuple[int, str] | None]) -> None:
        self.refuse = refuse
        self.refuse_channels: tuple[int, str] | None = None
        self.published: list[str] = []
        self.channels = 0
        self._tag = 0
        self._closed = False
        self._key = ""
        self._lock = threading.Lock()

    @property
    def answer(self) -> Answer:
        return self._answer

    def _answer(self, peer: Peer, received: Any) -> bool:
        with self._lock:
            return self._respond(peer, received)

    def _respond(self, peer: Peer, received: Any) -> bool:
        name = getattr(getattr(received, "method", None), "NAME", "")
        channel = received.channel_number
        if name == "Confirm.Select":
            self._tag, self._closed = 0, False
            self.channels += 1
        elif name == "Channel.Open" and self.refuse_channels is not None:
            self._close(peer, channel, self.refuse_channels)
            return True
        elif name == "Basic.Publish":
            self._key = received.method.routing_key
        elif type(received).__name__ == "Body" and not self._closed:
            self.published.append(self._key)
            self._tag += 1
            refused = self.refuse(self._key)
            if refused is None:
                peer.send(channel, spec.Basic.Ack(self._tag))
            else:
                self._closed = True
                self._close(peer, channel, refused)
        return False

    @staticmethod
    def _close(peer: Peer, channel: int, reason: tuple[int, str]) -> None:
        text = reason[1] if len(reason[1]) <= LONGEST_TEXT else f"{reason[1][: LONGEST_TEXT - 3]}..."
        peer.send(channel, spec.Channel.Close(reason[0], text, 60, 40))


def published(site: Site, script: Script, kinds: Sequence[str], seconds: float = 20.0) -> tuple[dict[str, str], Any]:
    """Publish one message of each kind at the scripted server and return the outcomes and the fault."""
    with (
        scripted_server(script.answer) as port,
        site.publisher(site.connection(host_name=f"127.0.0.1:{port}")) as publisher,
    ):
        result = publisher.publish(messages("k", kinds), soon(seconds))
    return results(result), result.fault


UNNAMED = (406, "PRECONDITION_FAILED - not with me")


@pytest.mark.parametrize(
    "kinds",
    [
        ["bad"] + ["good"] * 20,
        ["good"] * 5 + ["bad"] + ["good"] * 5,
        ["bad"] * 10 + ["good"] * 100,
        ["bad", "good"],
    ],
)
def test_message_that_the_text_does_not_name_is_found_by_publishing_one_by_one(site: Site, kinds: list[str]) -> None:
    script = Script(lambda key: UNNAMED if "bad" in key else None)
    outcomes, fault = published(site, script, kinds)
    assert fault is None
    assert of_kind(outcomes, "good") == {DELIVERED}
    assert of_kind(outcomes, "bad") == {REFUSED}


def test_unnamed_message_without_another_one_to_compare_is_an_outage(site: Site) -> None:
    # Given confirms of the old channel only, which do not show that the broker still accepts anything
    script = Script(lambda key: UNNAMED if "bad" in key else None)
    outcomes, fault = published(site, script, ["good", "bad"])
    assert fault.type is EventType.PRECONDITION_FAILED
    assert outcomes == {"good-0": DELIVERED, "bad-1": "PRECONDITION_FAILED"}


def test_message_that_is_refused_only_once_is_delivered(site: Site) -> None:
    refusals = iter([UNNAMED])
    script = Script(lambda key: next(refusals, None) if "bad" in key else None)
    outcomes, fault = published(site, script, ["good", "bad", "good"])
    assert fault is None
    assert set(outcomes.values()) == {DELIVERED}


@pytest.mark.parametrize("number", [1, 5, 60])
def test_refusal_of_every_message_is_an_outage(site: Site, number: int) -> None:
    script = Script(lambda _key: UNNAMED)
    outcomes, fault = published(site, script, ["good"] * number)
    assert isinstance(fault, BrokerFault)
    assert fault.type is EventType.PRECONDITION_FAILED
    assert set(outcomes.values()) <= {"PRECONDITION_FAILED"}
    assert script.channels <= MAX_CLOSINGS + 1


EXPIRED = "Provided JWT token has expired at timestamp 1790000000 (validated at 1790000001)"
TOPIC = "ACCESS_REFUSED - access to topic 'k.bad.2' in exchange 'amq.topic' in vhost '/' refused for user 'u'"
BACKEND_ERROR = ", backend rabbit_auth_backend_oauth2 returned an error: "


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        (f"ACCESS_REFUSED - {EXPIRED}", "LOGIN_REFUSED"),
        (f"ACCESS_REFUSED - access to exchange 'e' refused for user 'u'{BACKEND_ERROR}{EXPIRED}", "LOGIN_REFUSED"),
        (f"{TOPIC}{BACKEND_ERROR}{EXPIRED}", "LOGIN_REFUSED"),
        (f"{TOPIC}, backend rabbit_auth_backend_http returned an error: {{failed_connect,[]}}", "PERMISSION_REFUSED"),
        (f"{TOPIC}, backend rabbit_auth_bac...", "PERMISSION_REFUSED"),
    ],
)
def test_refusal_of_the_login_or_of_its_check_fails_no_message(site: Site, text: str, type_: str) -> None:
    # Given a channel that confirms other messages, as RabbitMQ does for topics that it checked before
    script = Script(lambda key: None if script.channels == 1 and "bad" not in key else (403, text))

    # When
    outcomes, fault = published(site, script, ["good", "good", "bad", "good"])

    # Then
    assert fault.type == type_
    assert isinstance(fault, BrokerRefused if type_ == "LOGIN_REFUSED" else BrokerMisconfigured)
    assert outcomes == {"good-0": DELIVERED, "good-1": DELIVERED, "bad-2": type_, "good-3": type_}


def test_refused_channel_after_a_refused_message_is_an_outage(site: Site) -> None:
    # Given a token that expires after a message was refused for its topic
    def refuse(key: str) -> tuple[int, str] | None:
        if "bad" not in key:
            return None
        script.refuse_channels = (403, f"ACCESS_REFUSED - {EXPIRED}")
        return 403, TOPIC

    script = Script(refuse)

    # When
    outcomes, fault = published(site, script, ["good", "good", "bad", "good"])

    # Then
    assert fault.type is EventType.LOGIN_REFUSED
    assert EXPIRED in str(fault)
    assert outcomes == {"good-0": DELIVERED, "good-1": DELIVERED, "bad-2": REFUSED, "good-3": "LOGIN_REFUSED"}


@pytest.mark.parametrize(
    ("reason", "type_"),
    [
        (
            (403, "ACCESS_REFUSED - write access to exchange 'e' in vhost '/' refused for user 'u'"),
            "PERMISSION_REFUSED",
        ),
        ((403, "ACCESS_REFUSED - cannot publish to internal exchange 'e' in vhost '/'"), "PERMISSION_REFUSED"),
        ((404, "NOT_FOUND - no exchange 'e' in vhost '/'"), "EXCHANGE_MISSING"),
    ],
)
def test_refusal_of_the_exchange_is_an_outage_at_once(site: Site, reason: tuple[int, str], type_: str) -> None:
    script = Script(lambda key: reason if "bad" in key else None)
    outcomes, fault = published(site, script, ["bad", "good", "good"])
    assert fault.type == type_
    assert set(outcomes.values()) == {type_}
    assert script.channels == 1


def test_refusal_shortly_before_the_deadline_is_no_outage(site: Site) -> None:
    # Given a server that does not answer when a channel is opened again
    script = Script(lambda key: UNNAMED if "bad" in key else None)

    def answer(peer: Peer, received: Any) -> bool:
        name = getattr(getattr(received, "method", None), "NAME", "")
        return (name == "Channel.Open" and bool(script.published)) or script.answer(peer, received)

    with (
        scripted_server(answer) as port,
        site.publisher(site.connection(host_name=f"127.0.0.1:{port}")) as publisher,
    ):
        result = publisher.publish(messages("k", ["good", "bad", "good"]), soon(1))
        assert not publisher.usable
    assert result.fault is None
    assert results(result) == {"good-0": DELIVERED, "bad-1": "DEADLINE", "good-2": "DEADLINE"}
