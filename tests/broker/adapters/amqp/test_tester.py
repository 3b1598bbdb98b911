"""The connection test reports each step and leaves nothing behind."""

import time

import pytest

from chalicelib.adapters.amqp.tester import AmqpConnectionTester
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckStep
from tests.broker.support import LOCAL, Site, unique

PLAIN = ["resolve", "connect", "authenticate", "vhost", "exchange", "downlink"]


def steps(connection: Connection, secrets: ConnectionSecrets) -> list[CheckStep]:
    return AmqpConnectionTester(LOCAL).test(connection, secrets, time.monotonic() + 10)


def test_good_connection_reports_all_steps_and_leaves_nothing_behind(site: Site) -> None:
    before = site.api("GET", "queues?columns=name"), site.api("GET", "exchanges?columns=name")
    plain = steps(site.connection(), site.secrets)
    assert [step.name for step in plain] == PLAIN
    assert all(step.ok and step.detail.endswith(".") for step in plain)
    tls = steps(site.tls_connection(), site.tls_secrets)
    assert [step.name for step in tls] == [*PLAIN[:2], "tls", *PLAIN[2:]]
    assert all(step.ok for step in tls)
    assert (site.api("GET", "queues?columns=name"), site.api("GET", "exchanges?columns=name")) == before


def test_connection_without_downlinks_has_no_downlink_step(site: Site) -> None:
    found = steps(site.connection(downlink_enabled=False, downlink_topic_pattern=None), site.secrets)
    assert [step.name for step in found] == PLAIN[:-1]


def test_connection_test_stops_at_the_failed_step(site: Site) -> None:
    user, secrets = site.user_with(configure="", write=".*", read="")
    cases = {
        "resolve": (site.connection(host_name="no-such-host.invalid"), site.secrets),
        "connect": (site.connection(host_name="127.0.0.1:1"), site.secrets),
        "tls": (site.tls_connection(host_name=f"localhost:{site.broker.config.port}"), site.tls_secrets),
        "authenticate": (site.connection(), ConnectionSecrets(password="wrong")),
        "vhost": (site.connection(virtual_host="nowhere"), site.secrets),
        "exchange": (site.connection(exchange_name=unique("missing")), site.secrets),
        "downlink": (site.connection(username=user), secrets),
    }
    for name, (connection, of_case) in cases.items():
        found = steps(connection, of_case)
        assert found[-1].name == name
        assert not found[-1].ok
        assert found[-1].detail.endswith(".")
        assert all(step.ok for step in found[:-1])
    exchange = cases["exchange"][0].configuration.exchange_name
    assert exchange not in [one["name"] for one in site.api("GET", "exchanges")]


def test_frozen_broker_fails_the_unfinished_step_before_the_deadline(other_site: Site) -> None:
    other_site.broker.freeze()
    try:
        began = time.monotonic()
        plain = AmqpConnectionTester(LOCAL).test(other_site.connection(), other_site.secrets, began + 0.5)
        tls = AmqpConnectionTester(LOCAL).test(other_site.tls_connection(), other_site.tls_secrets, began + 1)
        assert time.monotonic() - began < 2
    finally:
        other_site.broker.thaw()
    assert [(step.name, step.ok) for step in plain[-1:]] == [("authenticate", False)]
    assert [(step.name, step.ok) for step in tls[-1:]] == [("tls", False)]


def test_test_says_that_it_does_not_publish_and_what_it_cannot_see(site: Site) -> None:
    own = unique("own")
    site.api("PUT", f"exchanges/%2F/{own}", {"type": "topic", "internal": True})
    found = {step.name: step for step in steps(site.connection(exchange_name=own), site.secrets)}
    assert "publishes nothing" in found["exchange"].detail
    assert "internal" in found["exchange"].detail
    assert "topic permissions" in found["exchange"].detail
    # An exchange of the broker with this name is never internal.
    found = {step.name: step for step in steps(site.connection(exchange_name="amq.topic"), site.secrets)}
    assert "internal" not in found["exchange"].detail
    assert "topic permissions" in found["exchange"].detail


@pytest.mark.parametrize(
    ("exchange", "pattern", "words"),
    [
        ("amq.direct", "down.{DevEUI}", "amq.direct is a direct exchange"),
        ("own", "down.{DevEUI}", "On a direct exchange down.* matches no routing key"),
        ("own", "down.#", "On a direct exchange down.# matches no routing key"),
        ("own", "down", None),
        ("amq.topic", "down.{DevEUI}", None),
        ("amq.fanout", "down.{DevEUI}", None),
    ],
)
def test_test_warns_of_wildcards_on_a_direct_exchange(
    site: Site, exchange: str, pattern: str, words: str | None
) -> None:
    if exchange == "own":
        exchange = unique("direct")
        site.api("PUT", f"exchanges/%2F/{exchange}", {"type": "direct"})
    found = steps(site.connection(exchange_name=exchange, downlink_topic_pattern=pattern), site.secrets)[-1]
    assert (found.name, found.ok) == ("downlink", True)
    assert (words or "Bound a test queue") in found.detail
    assert ("direct exchange" in found.detail) == (words is not None)


def test_exchange_of_rabbitmq_itself_fails_the_step(site: Site) -> None:
    found = steps(site.connection(exchange_name="amq.rabbitmq.trace"), site.secrets)[-1]
    assert (found.name, found.ok) == ("exchange", False)
    assert "internal" in found.detail
