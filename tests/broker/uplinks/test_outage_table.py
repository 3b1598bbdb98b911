"""What a fault of the broker, or of a configuration, shows as, and that it costs no report: a row each.

State, reason and event are those that the tenant sees. Then the fault ends, or the user mends the configuration, and
everything that was accepted meanwhile arrives, in order. The rows of our own side (time-outs, frozen environments,
duplicates, poison, throttling, changes mid-flight) are in test_outage_functions, those of downlinks (a queue that is
deleted, two schedules at once) in test_poll_outages.
"""

import os
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from chalicelib.domain.connection import Connection, ConnectionSecrets
from infra.local.delay_proxy import delaying_proxy
from tests.broker.outage import Outage
from tests.broker.passage import listening_with_tls, passing_on
from tests.broker.support import Site, bound_queue, unique

Faulty = tuple[Connection, ConnectionSecrets]


@pytest.fixture
def outage(site: Site) -> Iterator[Outage]:
    made = Outage(site)
    yield made
    made.close()


@pytest.fixture
def outage_elsewhere(other_site: Site) -> Iterator[Outage]:
    """At the broker that may be killed and frozen."""
    made = Outage(other_site)
    yield made
    made.close()


def changed(secrets: ConnectionSecrets, **update: str | None) -> ConnectionSecrets:
    return secrets.model_copy(update=update)


def _stranger(site: Site) -> Faulty:
    leaf = trustme.CA().issue_cert("x@localhost", common_name=site.user)
    certificate = leaf.cert_chain_pems[0].bytes().decode()
    key = leaf.private_key_pem.bytes().decode()
    return site.tls_connection(), changed(site.tls_secrets, certificate=certificate, private_key=key)


def _no_configure(site: Site) -> Faulty:
    user, secrets = site.user_with(write=".*", read=".*")
    return site.connection(username=user, exchange_name=unique("exchange")), secrets


def _no_write(site: Site) -> Faulty:
    user, secrets = site.user_with(configure=".*", read=".*")
    return site.connection(username=user), secrets


CONFIGURED: dict[str, tuple[Callable[[Site], Faulty], str, str, str]] = {
    # name: how it is configured, state, event, words of the reason
    "wrong CA": (
        lambda s: (
            s.tls_connection(),
            changed(s.tls_secrets, trusted_ca_certificate=trustme.CA().cert_pem.bytes().decode()),
        ),
        "UNREACHABLE",
        "CERTIFICATE_UNTRUSTED",
        "Set trustedCaCertificate",
    ),
    "client certificate refused": (
        _stranger,
        "AUTHENTICATION_FAILED",
        "CLIENT_CERTIFICATE_REFUSED",
        "an authority that the broker trusts",
    ),
    "client certificate missing": (
        lambda s: (s.tls_connection(), changed(s.tls_secrets, certificate=None, private_key=None)),
        "AUTHENTICATION_FAILED",
        "CLIENT_CERTIFICATE_MISSING",
        "Set certificate and privateKey",
    ),
    "TCP on the TLS port": (
        lambda s: (s.connection(host_name=f"127.0.0.1:{s.broker.config.tls_port}"), s.secrets),
        "UNREACHABLE",
        "PROTOCOL_MISMATCH",
        "choose protocol SSL",
    ),
    "SSL on the TCP port": (
        lambda s: (s.tls_connection(host_name=f"localhost:{s.broker.config.port}"), s.tls_secrets),
        "UNREACHABLE",
        "TLS_NOT_SPOKEN",
        "Choose protocol TCP",
    ),
    "bad login": (
        lambda s: (s.connection(), ConnectionSecrets(password="not-the-password")),
        "AUTHENTICATION_FAILED",
        "LOGIN_REFUSED",
        "Check username and password",
    ),
    "bad vhost": (
        lambda s: (s.connection(virtual_host="nowhere"), s.secrets),
        "CLOSED",
        "VIRTUAL_HOST_REFUSED",
        "Check virtualHost",
    ),
    "exchange missing and not to be made": (
        _no_configure,
        "CLOSED",
        "PERMISSION_REFUSED",
        "Create it, or grant configure",
    ),
    "no write permission": (_no_write, "CLOSED", "PERMISSION_REFUSED", "Grant write permission on it"),
    "DNS failure": (
        lambda s: (s.connection(host_name="no-such-host.invalid"), s.secrets),
        "UNREACHABLE",
        "DNS_FAILURE",
        "Check hostName",
    ),
    "refused": (
        lambda s: (s.connection(host_name="127.0.0.1:1"), s.secrets),
        "UNREACHABLE",
        "CONNECTION_REFUSED",
        "Check the port",
    ),
}


@pytest.mark.parametrize(("configured", "state", "event", "words"), CONFIGURED.values(), ids=CONFIGURED)
def test_a_configuration_that_does_not_work_costs_no_report(
    outage: Outage, configured: Callable[[Site], Faulty], state: str, event: str, words: str
) -> None:
    # When
    outage.start(*configured(outage.site))
    outage.accept()
    outage.forward()

    # Then
    told_state, reason, events = outage.told()
    assert (told_state, events) == (state, [event])
    assert words in (reason or "")
    assert "not-the-password" not in (reason or "")
    assert outage.queues.depth("c1") == (6, 0)

    # When the user mends it
    good = outage.site.connection().configuration.model_copy(update={"uplink_topic_pattern": outage.pattern})
    outage.change(outage.site.secrets, **{name: getattr(good, name) for name in type(good).model_fields})
    outage.forward()
    outage.settle()

    # Then
    assert outage.told() == ("OPENED", None, [event, "OPENED"])
    outage.assert_all_arrived()


@pytest.mark.parametrize(
    ("valid_until", "name", "event", "words"),
    [
        (datetime.now(UTC) - timedelta(days=1), "localhost", "CERTIFICATE_UNTRUSTED", "expired"),
        (None, "elsewhere.example", "CERTIFICATE_NAME", "another name"),
    ],
    ids=["expired certificate", "wrong-name certificate"],
)
def test_a_broker_whose_certificate_is_not_good_gets_nothing(
    outage: Outage, valid_until: datetime | None, name: str, event: str, words: str
) -> None:
    # Given
    authority = trustme.CA()
    leaf = authority.issue_cert(name, not_after=valid_until)
    secrets = changed(outage.site.tls_secrets, trusted_ca_certificate=authority.cert_pem.bytes().decode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    with listening_with_tls(context) as listener:
        # When
        outage.start(outage.site.tls_connection(host_name=f"localhost:{listener.port}"), secrets)
        outage.accept()
        outage.forward()
    assert listener.received == b""

    # Then
    state, reason, events = outage.told()
    assert (state, events) == ("UNREACHABLE", [event])
    assert words in (reason or "")

    # When the right one is shown at last, as by the site's own broker
    outage.change(outage.site.tls_secrets, host_name=f"localhost:{outage.site.broker.config.tls_port}")
    outage.forward()
    outage.settle()
    outage.assert_all_arrived()


@contextmanager
def _frozen(site: Site) -> Iterator[None]:
    site.broker.freeze()
    try:
        yield
    finally:
        site.broker.thaw()


@contextmanager
def _killed(site: Site) -> Iterator[None]:
    site.remember()
    site.broker.kill()
    yield
    site.broker.start()


@contextmanager
def _alarmed(site: Site) -> Iterator[None]:
    site.broker.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        site.broker.ctl("set_vm_memory_high_watermark", "0.4")


@contextmanager
def refusing_queue(site: Site, key: str) -> Iterator[None]:
    """A full queue, which the broker answers for with a nack."""
    full = bound_queue(site, key, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    with site.channel() as channel:
        channel.confirm_delivery()
        channel.basic_publish("", full, b"", mandatory=True)
    yield
    site.api("DELETE", f"queues/%2F/{full}")


TROUBLED: dict[str, tuple[Callable[[Site], AbstractContextManager[None]], set[str], str]] = {
    # A frozen broker has taken the messages; one that is killed has perhaps closed the connection.
    "frozen": (_frozen, {"CONFIRM_TIMEOUT"}, "did not confirm"),
    "killed": (_killed, {"CONNECTION_REFUSED"}, "connection refused"),
    "alarm": (_alarmed, {"BROKER_BLOCKED"}, "memory or disk alarm"),
}


@pytest.mark.parametrize(("trouble", "types", "words"), TROUBLED.values(), ids=TROUBLED)
def test_a_broker_in_trouble_is_named_and_gets_everything_afterwards(
    outage_elsewhere: Outage,
    trouble: Callable[[Site], AbstractContextManager[None]],
    types: set[str],
    words: str,
) -> None:
    outage = outage_elsewhere.good()

    # When
    with trouble(outage.site):
        outage.accept()
        outage.forward()

        # Then
        state, reason, events = outage.told()
        assert state == "UNREACHABLE"
        assert set(events) == types
        assert words in (reason or "")
        assert outage.queues.depth("c1") == (6, 0)

    # When it is over, and the broker is tried again
    outage.probe()
    outage.settle()

    # Then
    assert outage.told()[0] == "OPENED"
    # What a frozen or blocked broker had been sent, it may have kept.
    outage.assert_all_arrived(repeats=3)


def test_a_broker_killed_mid_batch_gets_the_rest_afterwards(outage_elsewhere: Outage) -> None:
    # Given
    outage = outage_elsewhere.good()
    outage.accept(rounds=30)
    outage.site.remember()
    pid = outage.site.broker.pid

    # When it is killed while a part is confirmed, perhaps, and a part is not
    killer = threading.Timer(0.01, os.kill, (pid, signal.SIGKILL))
    outage.publishers.before = lambda: None if killer.is_alive() or killer.finished.is_set() else killer.start()
    outage.forward()
    killer.join()
    outage.site.broker.kill()

    # Then
    if outage.queues.depth("c1") != (0, 0):
        state, reason, events = outage.told()
        # A port that still listens for a moment ends the next connection before it says anything.
        assert (state, len(events)) == ("UNREACHABLE", 1)
        assert events[0] in {"CONNECTION_REFUSED", "PROTOCOL_MISMATCH", "CONNECTION_LOST"}
        assert "broker is running" in (reason or "") or "Check the broker" in (reason or "")

    # When
    outage.site.broker.start()
    outage.accept()
    outage.probe()
    outage.settle()

    # Then
    assert outage.told()[0] == "OPENED"
    outage.assert_all_arrived(repeats=3)


def test_half_open_a_connection_is_given_up_and_opened_anew(outage: Outage) -> None:
    with passing_on(outage.site.broker.config.port) as passage:
        # Given
        outage.start(
            outage.site.connection(host_name=f"127.0.0.1:{passage.port}", action_timeout=300), outage.site.secrets
        )
        outage.accept()
        outage.forward()

        # When the way swallows everything
        passage.open.clear()
        outage.accept()
        outage.forward()

        # Then
        state, reason, events = outage.told()
        assert (state, events) == ("UNREACHABLE", ["OPENED", "CONFIRM_TIMEOUT"])
        assert "actionTimeout" in (reason or "")
        passage.open.set()

    # When
    outage.change(host_name=f"127.0.0.1:{outage.site.broker.config.port}")
    outage.forward()
    outage.settle()

    # Then
    assert outage.told()[0] == "OPENED"
    outage.assert_all_arrived(repeats=3)


def test_a_slow_broker_is_waited_for(outage: Outage) -> None:
    with delaying_proxy(outage.site.broker.config.port, 0.3) as port:
        outage.start(outage.site.connection(host_name=f"127.0.0.1:{port}"), outage.site.secrets)
        outage.accept()
        outage.forward()
        outage.settle()
    assert outage.told() == ("OPENED", None, ["OPENED"])
    outage.assert_all_arrived()


def test_a_missing_exchange_is_named_once_it_is_gone(outage: Outage) -> None:
    # Given
    exchange = unique("exchange")
    outage.start(outage.site.connection(exchange_name=exchange), outage.site.secrets)
    outage.wake(probe=0)
    outage.forward()

    # When it is deleted under the open connection
    outage.site.api("DELETE", f"exchanges/%2F/{exchange}")
    outage.accept()
    outage.forward()

    # Then
    state, reason, events = outage.told()
    assert (state, events) == ("CLOSED", ["OPENED", "EXCHANGE_MISSING"])
    assert exchange in (reason or "")

    # When its binding is back, too
    outage.change(exchange_name="amq.topic")
    outage.forward()
    outage.settle()
    outage.assert_all_arrived()


def test_an_exchange_of_another_type_is_used_as_it_is(outage: Outage) -> None:
    outage.site.api(
        "POST", f"bindings/%2F/e/amq.fanout/q/{outage.queue}", {"routing_key": "", "arguments": {}}
    )  # fmt: skip
    outage.start(outage.site.connection(exchange_name="amq.fanout"), outage.site.secrets)
    outage.accept()
    outage.forward()
    assert outage.told() == ("OPENED", None, ["OPENED"])
    outage.assert_all_arrived()


def test_an_unroutable_report_is_kept_as_failed_while_the_connection_stays_open(outage: Outage) -> None:
    # Given nobody listens to this key
    outage.good()
    outage.change(uplink_topic_pattern=f"nobody.{outage.key}.{{DevEUI}}")
    outage.forward()
    before = len(outage.accepted)

    # When
    outage.accept()
    outage.forward()

    # Then
    failed = [message for kept in outage.failed.messages.values() for message in kept]
    assert sorted(message.body for message in failed) == sorted(outage.accepted[before:])
    assert {message.reason for message in failed} == {"UNROUTABLE"}
    state, reason, events = outage.told()
    assert (state, reason) == ("OPENED", None)
    assert set(events) == {"OPENED", "UNROUTABLE"}
    assert outage.queues.depth("c1") == (0, 0)


def test_a_nacked_report_waits_with_its_device_while_the_connection_stays_open(outage: Outage) -> None:
    # Given a queue that refuses what device 2 sends
    outage.good()
    with refusing_queue(outage.site, f"{outage.key}.{2:016X}"):
        # When
        outage.accept()
        outage.forward()

        # Then
        assert outage.told() == ("OPENED", None, [])
        assert sum(outage.queues.depth("c1")) == 2

    # When the queue takes messages again
    outage.settle()

    # Then: the tenant's other queue had got the refused one, too
    assert outage.told() == ("OPENED", None, [])
    outage.assert_all_arrived(repeats=1)
