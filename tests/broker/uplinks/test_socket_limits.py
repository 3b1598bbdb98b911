"""Sockets at a broker with a limit of connections: many functions drain one connection."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.socket_slots import SocketSlots
from tests.broker.outage import Outage
from tests.broker.support import LOCAL, Site

ENVIRONMENTS = 8
REPORTS = 30


class Environments(Outage):
    """A connection that warm functions drain one after the other, each with its own sockets."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.user = ""
        self.pools = [
            PublisherPool(AmqpPublisherFactory(LOCAL), self.secrets, SocketSlots(self.slots, 60))
            for _ in range(ENVIRONMENTS)
        ]
        self.forwarders = [Forwarder(replace(self.parts, pool=pool), self.executor) for pool in self.pools]

    def limit(self, **configuration: object) -> None:
        """Start the connection with a separate user."""
        self.user, secrets = self.site.user_with(configure=".*", write=".*", read=".*")
        self.start(self.site.connection(username=self.user, **configuration), secrets)

    def sockets(self) -> int:
        return sum(pool.is_warm(self.state()) for pool in self.pools)

    def close(self) -> None:
        for pool in self.pools:
            pool.close("c1")
        super().close()


@pytest.fixture
def environments(site: Site) -> Iterator[Environments]:
    made = Environments(site)
    yield made
    made.close()


@pytest.mark.parametrize(("limit", "most"), [(4, 3), (2, 1), (3, 2)])
def test_connection_works_within_the_limit_of_connections_of_its_user(
    environments: Environments, site: Site, limit: int, most: int
) -> None:
    # Given: a user with a limit, one of whose connections is the consumer's
    environments.limit(max_connections=limit)
    site.api("PUT", f"user-limits/{environments.user}/max-connections", {"value": most})
    bodies = []

    # When: each report is drained by another function
    for number in range(REPORTS):
        bodies.append(environments.post(number % 3))
        environments.forwarder = environments.forwarders[number % ENVIRONMENTS]
        environments.forward()
        assert environments.sockets() <= most

    # Then
    assert [body for body, _ in environments.arrived()] == bodies
    assert environments.visible_state() == ("OPENED", None, ["OPENED"])


def test_refused_further_socket_is_no_outage(environments: Environments, site: Site) -> None:
    # Given: a broker that permits one connection, and a configuration that would open three
    environments.limit()
    site.api("PUT", f"user-limits/{environments.user}/max-connections", {"value": 1})
    first = environments.post(1)
    environments.forwarder = environments.forwarders[0]
    environments.forward()

    # When
    second = environments.post(2)
    environments.forwarder = environments.forwarders[1]
    environments.forward()

    # Then: the report waits for the function that has the socket
    assert environments.visible_state() == ("OPENED", None, ["OPENED"])
    environments.reconciler.run()
    environments.forwarder = environments.forwarders[0]
    environments.forward()
    assert [body for body, _ in environments.arrived()] == [first, second]


def test_user_without_any_connection_left_is_an_outage_that_names_the_limit(
    environments: Environments, site: Site
) -> None:
    environments.limit()
    site.api("PUT", f"user-limits/{environments.user}/max-connections", {"value": 0})
    environments.post(1)
    environments.forwarder = environments.forwarders[0]
    environments.forward()
    state, reason, events = environments.visible_state()
    assert (state, events) == ("UNREACHABLE", ["CONNECTION_LIMIT_REACHED"])
    assert "up to 4 sockets" in (reason or "")
