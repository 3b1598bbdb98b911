"""The corpus of hosts: each is refused when saved and when opened, and no connection is made."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from ipaddress import ip_address, ip_network

import pytest

from chalicelib.adapters.amqp.connection import AmqpConnection, Role, end
from chalicelib.adapters.amqp.loop import Loop
from chalicelib.adapters.amqp.operation import AddressForbidden
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.validation.broker_addresses import Network, forbidden, literal_address, parse_host_port
from chalicelib.errors import InvalidRequest
from chalicelib.vocabulary import ConnectionState
from tests.corpora.hosts import LOCAL, MALFORMED, NAMES, PUBLIC, spelled
from tests.unit.domain.validation.configurations import parse_configuration

NOW = 1_800_000_000.0
SILENCE, REFUSAL = 0.5, 30.0
"""Seconds that an opening may take."""
LITERALS = [pytest.param(host, id=f"{kind}: {host!a}") for kind, hosts in spelled().items() for host in hosts]
BROKEN = [pytest.param(host, id=f"{kind}: {host!a}") for kind, hosts in MALFORMED.items() for host in hosts]
NAMED = [pytest.param(host, id=f"{kind}: {host!a}") for kind, hosts in NAMES.items() for host in hosts]
GOOD = [pytest.param(host, id=f"{kind}: {host!a}") for kind, hosts in PUBLIC.items() for host in hosts]
ANSWERS = [*LOCAL, "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1%lo", "64:ff9b::7f00:1"]  # noqa: S104


class Listener:
    """A socket that listens on every address of this machine, and counts who came."""

    def __init__(self, host: str = "") -> None:
        dual = not host and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family, backlog=128, dualstack_ipv6=dual)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()

    def callers(self) -> int:
        """Number of connects since the last call."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                self._socket.accept()[0].close()
                count += 1
        return count


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with closing(Listener()) as one:
        yield one


class Resolver:
    """Stands for the system's: answers with the next of the given addresses, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = answers
        self.asked = 0

    def __call__(self, _host: object, port: int, *_hints: object, **_named: object) -> list[tuple[object, ...]]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [(2, 1, 6, "", (address, port)) for address in answer]


def configuration(host: str) -> dict[str, object]:
    return {
        "hostName": host,
        "protocol": "TCP",
        "uplinkTopicPattern": "{DevEUI}",
        "downlinkEnabled": False,
        "connectionTimeout": 500,
    }


def opened(host: str, allowed: tuple[Network, ...] = (), seconds: float = REFUSAL) -> BaseException | None:
    """The fault that ends the opening of a connection, however it was saved."""
    connection = Connection(
        tenant="acme",
        id="01C",
        name="Plant",
        active=True,
        configuration=AmqpConfiguration.model_validate(configuration(host)),
        created_at="2026-01-01T00:00:00.000Z",
        updated_at="2026-01-01T00:00:00.000Z",
        state=ConnectionState.OPENING,
    )
    loop = Loop()
    link = AmqpConnection(loop, connection, ConnectionSecrets(), role=Role.TEST, allowed=allowed)
    try:
        loop.run(link.open(), time.monotonic() + seconds)
    except Exception as error:  # noqa: BLE001  # whatever it is, is compared
        return error
    finally:
        end(loop, link)
    return None


@pytest.mark.parametrize("host", LITERALS)
def test_an_address_that_is_not_public_is_refused_however_it_is_spelled(host: str, listener: Listener) -> None:
    for text in (host, f"{host}:{listener.port}"):
        with pytest.raises(InvalidRequest) as refused:
            parse_configuration(configuration(text), now=NOW)
        assert [violation.pointer for violation in refused.value.violations] == ["/configuration/hostName"]
        assert "This address is not public" in refused.value.violations[0].detail
    assert isinstance(opened(f"{host}:{listener.port}"), AddressForbidden)
    assert listener.callers() == 0


@pytest.mark.parametrize("host", BROKEN)
def test_what_is_no_host_is_refused(host: str, listener: Listener) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_configuration(configuration(host), now=NOW)
    assert {violation.pointer for violation in refused.value.violations} == {"/configuration/hostName"}
    assert listener.callers() == 0


@pytest.mark.parametrize("host", NAMED)
def test_a_name_is_judged_by_every_address_that_it_stands_for(
    host: str, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse_configuration(configuration(host), now=NOW)
    for answer in ANSWERS:
        for answers in ([answer], ["8.8.8.8", answer]):
            monkeypatch.setattr(socket, "getaddrinfo", Resolver(answers))
            assert isinstance(opened(f"{host}:{listener.port}"), AddressForbidden)
    assert listener.callers() == 0


@pytest.mark.parametrize("host", GOOD)
def test_a_public_host_is_taken(host: str) -> None:
    taken = parse_configuration(configuration(host), now=NOW)
    assert taken.host_name == host
    address = literal_address(parse_host_port(host, 5672)[0])
    assert address is None or not forbidden(address, ())


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::ffff:127.0.0.1]"])
def test_the_listener_sees_a_connection_that_is_allowed(host: str, listener: Listener) -> None:
    allowed = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert not isinstance(opened(f"{host}:{listener.port}", allowed, SILENCE), AddressForbidden)
    assert listener.callers() >= 1


def test_a_name_that_changes_between_check_and_connection_leads_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 127.0.0.2 stands for a public address here: allowed, and of this machine, so that no packet leaves it.
    with closing(Listener("127.0.0.1")) as inner:
        resolver = Resolver(["127.0.0.2"], ["127.0.0.1"])
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        opened(f"rebinding.example:{inner.port}", (ip_network("127.0.0.2/32"),), SILENCE)
        assert resolver.asked == 1
        assert inner.callers() == 0
        # Asked again it is checked again.
        again = opened(f"rebinding.example:{inner.port}", (ip_network("127.0.0.2/32"),))
        assert isinstance(again, AddressForbidden)
        assert inner.callers() == 0


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    refused = {host for kinds in (spelled(), MALFORMED, NAMES) for hosts in kinds.values() for host in hosts}
    taken = {host for hosts in PUBLIC.values() for host in hosts}
    assert len(refused) >= 200
    assert len(spelled()) + len(MALFORMED) + len(NAMES) >= 30
    assert len(taken) >= 50
    assert ip_address("127.0.0.1") in {literal_address(host.strip("[]")) for host in refused}
