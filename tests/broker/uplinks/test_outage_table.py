"""Faults of a broker or a configuration lose no report; each row is one fault.

Each test checks the state, the reason and the events that the tenant sees. Then the fault ends, or the user corrects
the configuration, and every accepted report arrives in order. test_outage_functions has the faults of our functions,
test_poll_outages those of downlinks.
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
from infra.local.broker.delay_proxy import delaying_proxy
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
    """An outage at the broker that tests may kill and freeze."""
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
    # name: (configuration, state, event, words of the reason)
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
    "exchange missing and not allowed to declare it": (
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
def test_faulty_configuration_loses_no_report(
    outage: Outage, configured: Callable[[Site], Faulty], state: str, event: str, words: str
) -> None:
    # When
    outage.start(*configured(outage.site))
    outage.accept()
    outage.forward()

    # Then
    shown_state, reason, events = outage.visible_state()
    assert (shown_state, events) == (state, [event])
    assert words in (reason or "")
    assert "not-the-password" not in (reason or "")
    assert outage.queues.depth("c1") == (6, 0)

    # When the user corrects it
    good = outage.site.connection().configuration.model_copy(update={"uplink_topic_pattern": outage.pattern})
    outage.change(outage.site.secrets, **{name: getattr(good, name) for name in type(good).model_fields})
    outage.forward()
    outage.run_until_delivered()

    # Then
    assert outage.visible_state() == ("OPENED", None, [event, "OPENED"])
    outage.assert_all_arrived()


@pytest.mark.parametrize(
    ("valid_until", "name", "event", "words"),
    [
        (datetime.now(UTC) - timedelta(days=1), "localhost", "CERTIFICATE_UNTRUSTED", "expired"),
        (None, "elsewhere.example", "CERTIFICATE_NAME", "another name"),
    ],
    ids=["expired certificate", "wrong-name certificate"],
)
def test_broker_with_invalid_certificate_receives_nothing(
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
    state, reason, events = outage.visible_state()
    assert (state, events) == ("UNREACHABLE", [event])
    assert words in (reason or "")

    # When the connection moves to a broker with a valid certificate
    outage.change(outage.site.tls_secrets, host_name=f"localhost:{outage.site.broker.config.tls_port}")
    outage.forward()
    outage.run_until_delivered()
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
    """Bind a full queue, which makes the broker nack."""
    full = bound_queue(site, key, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    with site.channel() as channel:
        channel.confirm_delivery()
        channel.basic_publish("", full, b"", mandatory=True)
    yield
    site.api("DELETE", f"queues/%2F/{full}")


TROUBLED: dict[str, tuple[Callable[[Site], AbstractContextManager[None]], set[str], str]] = {
    # name: (fault, event types, words of the reason)
    "frozen": (_frozen, {"CONFIRM_TIMEOUT"}, "did not confirm"),
    "killed": (_killed, {"CONNECTION_REFUSED"}, "connection refused"),
    "alarm": (_alarmed, {"BROKER_BLOCKED"}, "memory or disk alarm"),
}


@pytest.mark.parametrize(("trouble", "types", "words"), TROUBLED.values(), ids=TROUBLED)
def test_broker_outage_is_reported_and_loses_no_report(
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
        state, reason, events = outage.visible_state()
        assert state == "UNREACHABLE"
        assert set(events) == types
        assert words in (reason or "")
        assert outage.queues.depth("c1") == (6, 0)

    # When the fault is over and a probe tries the broker
    outage.probe()
    outage.run_until_delivered()

    # Then
    assert outage.visible_state()[0] == "OPENED"
    # A frozen or blocked broker may keep messages that it did not confirm.
    outage.assert_all_arrived(repeats=3)


def test_broker_killed_during_a_batch_gets_the_rest_afterwards(outage_elsewhere: Outage) -> None:
    # Given
    outage = outage_elsewhere.good()
    outage.accept(rounds=30)
    outage.site.remember()
    pid = outage.site.broker.pid

    # When the broker is killed during the publish, with only some messages confirmed
    killer = threading.Timer(0.01, os.kill, (pid, signal.SIGKILL))
    outage.publishers.before = lambda: None if killer.is_alive() or killer.finished.is_set() else killer.start()
    outage.forward()
    killer.join()
    outage.site.broker.kill()

    # Then
    if outage.queues.depth("c1") != (0, 0):
        state, reason, events = outage.visible_state()
        # The port can still listen for a moment and close the next connection without an answer.
        assert (state, len(events)) == ("UNREACHABLE", 1)
        assert events[0] in {"CONNECTION_REFUSED", "PROTOCOL_MISMATCH", "CONNECTION_LOST"}
        assert "broker is running" in (reason or "") or "Check the broker" in (reason or "")

    # When
    outage.site.broker.start()
    outage.accept()
    outage.probe()
    outage.run_until_delivered()

    # Then
    assert outage.visible_state()[0] == "OPENED"
    outage.assert_all_arrived(repeats=3)


def test_connection_through_a_silent_network_is_replaced(outage: Outage) -> None:
    with passing_on(outage.site.broker.config.port) as passage:
        # Given
        outage.start(
            outage.site.connection(host_name=f"127.0.0.1:{passage.port}", action_timeout=300), outage.site.secrets
        )
        outage.accept()
        outage.forward()

        # When the network drops everything
        passage.open.clear()
        outage.accept()
        outage.forward()

        # Then
        state, reason, events = outage.visible_state()
        assert (state, events) == ("UNREACHABLE", ["OPENED", "CONFIRM_TIMEOUT"])
        assert "actionTimeout" in (reason or "")
        passage.open.set()

    # When
    outage.change(host_name=f"127.0.0.1:{outage.site.broker.config.port}")
    outage.forward()
    outage.run_until_delivered()

    # Then
    assert outage.visible_state()[0] == "OPENED"
    outage.assert_all_arrived(repeats=3)


def test_slow_broker_stays_opened(outage: Outage) -> None:
    with delaying_proxy(outage.site.broker.config.port, 0.3) as port:
        outage.start(outage.site.connection(host_name=f"127.0.0.1:{port}"), outage.site.secrets)
        outage.accept()
        outage.forward()
        outage.run_until_delivered()
    assert outage.visible_state() == ("OPENED", None, ["OPENED"])
    outage.assert_all_arrived()


def test_exchange_deleted_under_an_open_connection_is_reported(outage: Outage) -> None:
    # Given
    exchange = unique("exchange")
    outage.start(outage.site.connection(exchange_name=exchange), outage.site.secrets)
    outage.wake(probe=0)
    outage.forward()

    # When the exchange is deleted under the open connection
    outage.site.api("DELETE", f"exchanges/%2F/{exchange}")
    outage.accept()
    outage.forward()

    # Then
    state, reason, events = outage.visible_state()
    assert (state, events) == ("CLOSED", ["OPENED", "EXCHANGE_MISSING"])
    assert exchange in (reason or "")

    # When the connection uses an exchange with a binding
    outage.change(exchange_name="amq.topic")
    outage.forward()
    outage.run_until_delivered()
    outage.assert_all_arrived()


def test_exchange_of_another_type_is_used_unchanged(outage: Outage) -> None:
    outage.site.api(
        "POST", f"bindings/%2F/e/amq.fanout/q/{outage.queue}", {"routing_key": "", "arguments": {}}
    )  # fmt: skip
    outage.start(outage.site.connection(exchange_name="amq.fanout"), outage.site.secrets)
    outage.accept()
    outage.forward()
    assert outage.visible_state() == ("OPENED", None, ["OPENED"])
    outage.assert_all_arrived()


def test_unroutable_report_fails_and_the_connection_stays_open(outage: Outage) -> None:
    # Given a routing key without a bound queue
    outage.good()
    outage.change(uplink_topic_pattern=f"unbound.{outage.key}.{{DevEUI}}")
    outage.forward()
    before = len(outage.accepted)

    # When
    outage.accept()
    outage.forward()

    # Then
    failed = [message for kept in outage.failed.messages.values() for message in kept]
    assert sorted(message.body for message in failed) == sorted(outage.accepted[before:])
    assert {message.reason for message in failed} == {"UNROUTABLE"}
    state, reason, events = outage.visible_state()
    assert (state, reason) == ("OPENED", None)
    assert set(events) == {"OPENED", "UNROUTABLE"}
    assert outage.queues.depth("c1") == (0, 0)


def test_nacked_report_holds_back_its_device_and_the_connection_stays_open(outage: Outage) -> None:
    # Given a full queue for the reports of device 2
    outage.good()
    with refusing_queue(outage.site, f"{outage.key}.{2:016X}"):
        # When
        outage.accept()
        outage.forward()

        # Then
        assert outage.visible_state() == ("OPENED", None, [])
        assert sum(outage.queues.depth("c1")) == 2

    # When the queue takes messages again
    outage.run_until_delivered()

    # Then one report may arrive twice, because the tenant's other queue accepted the nacked one
    assert outage.visible_state() == ("OPENED", None, [])
    outage.assert_all_arrived(repeats=1)
