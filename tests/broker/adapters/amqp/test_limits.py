"""A broker that takes no further connection, channel or queue says so in the fault, with the limit to raise."""

from typing import Any

import pytest
from pika import spec

from chalicelib.domain.connection import Connection
from chalicelib.errors import BrokerFault, BrokerUnreachable
from tests.broker.scripted_server import Peer, scripted_server
from tests.broker.support import Run, Site, refusal, unique


@pytest.mark.parametrize(
    ("limit", "type_", "words"),
    [
        ("max-connections", "CONNECTION_LIMIT_REACHED", "up to 4 sockets of this connection"),
        ("max-channels", "CHANNEL_LIMIT_REACHED", "Raise the user's max-channels: the connector opens at most 2"),
    ],
)
def test_limit_of_the_user_is_named(site: Site, limit: str, type_: str, words: str) -> None:
    user, secrets = site.user_with(configure=".*", write=".*", read=".*")
    site.api("PUT", f"user-limits/{user}/{limit}", {"value": 0})
    fault = refusal(site.connection(username=user), secrets)
    assert isinstance(fault, BrokerUnreachable)
    assert (fault.type, fault.scope) == (type_, "CONNECTION")
    assert str(fault).startswith(f"The user {user} has reached the limit of ")
    assert words in str(fault)
    assert "(0)" in str(fault)


def vhost(site: Site) -> str:
    name = unique("vhost")
    site.api("PUT", f"vhosts/{name}")
    site.api("PUT", f"permissions/{name}/{site.user}", {"configure": ".*", "write": ".*", "read": ".*"})
    return name


def test_limit_of_the_virtual_host_is_named(site: Site) -> None:
    name = vhost(site)
    site.api("PUT", f"vhost-limits/{name}/max-connections", {"value": 0})
    fault = refusal(site.connection(virtual_host=name), site.secrets)
    assert isinstance(fault, BrokerUnreachable)
    assert fault.type == "CONNECTION_LIMIT_REACHED"
    assert str(fault).startswith(f"The virtual host {name} has reached its limit of connections (")
    assert "Raise max-connections of the virtual host" in str(fault)


def test_virtual_host_that_is_down_is_named(site: Site) -> None:
    name = vhost(site)
    site.broker.ctl("eval", f'rabbit_vhost_sup_sup:stop_and_delete_vhost(<<"{name}">>).')
    fault = refusal(site.connection(virtual_host=name), site.secrets)
    assert isinstance(fault, BrokerUnreachable)
    assert fault.type == "VIRTUAL_HOST_DOWN"
    assert str(fault).startswith(f"The virtual host {name} is down at the broker (")


def closing(code: int, text: str, at: str) -> Any:
    """Return a script that closes the connection in answer to the method ``at``."""

    def answer(peer: Peer, received: Any) -> bool:
        if getattr(getattr(received, "method", None), "NAME", "") != at:
            return False
        peer.send(0, spec.Connection.Close(code, text, 0, 0))
        return True

    return answer


@pytest.mark.parametrize("at", ["Connection.Open", "Channel.Open"])
@pytest.mark.parametrize(
    ("code", "text", "type_", "words"),
    [
        (
            530,
            "NOT_ALLOWED - connection refused: node connection limit (10) is reached",
            "CONNECTION_LIMIT_REACHED",
            "Raise connection_max of the node",
        ),
        (
            320,
            "CONNECTION_FORCED - Node was put into maintenance mode",
            "BROKER_IN_MAINTENANCE",
            "Wait until it ends, or set hostName to another node.",
        ),
        (
            320,
            "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
            "CONNECTION_CLOSED",
            "Check whether the broker was shut down.",
        ),
        (541, "INTERNAL_ERROR - access to vhost '/' refused: vhost '/' is down", "VIRTUAL_HOST_DOWN", "restart_vhost"),
    ],
    ids=["node limit", "maintenance", "shutdown", "virtual host down"],
)
def test_close_that_may_pass_by_itself_is_no_misconfiguration(
    site: Site, at: str, code: int, text: str, type_: str, words: str
) -> None:
    with scripted_server(closing(code, text, at)) as port:
        fault = refusal(site.connection(host_name=f"127.0.0.1:{port}"), site.secrets)
    assert isinstance(fault, BrokerUnreachable)
    assert (fault.type, fault.scope) == (type_, "CONNECTION")
    assert f"({text})" in str(fault)
    assert words in str(fault)


def feed_fault(site: Site, connection: Connection) -> BrokerFault:
    """Return the fault of consuming downlinks, which must fail."""
    run = Run(lambda r: bool(r.faults))
    run.consumer.open(connection, site.secrets)
    run()
    ((_id, fault),) = run.faults
    return fault


def test_downlink_queue_at_a_node_that_is_down_names_the_node(site: Site) -> None:
    text = "NOT_FOUND - home node 'rabbit@node2' of durable queue 'q' in vhost '/' is down or inaccessible"

    def answer(peer: Peer, received: Any) -> bool:
        if getattr(getattr(received, "method", None), "NAME", "") != "Queue.Declare":
            return False
        peer.send(received.channel_number, spec.Channel.Close(404, text, 50, 10))
        return True

    # When
    with scripted_server(answer) as port:
        connection = site.connection(host_name=f"127.0.0.1:{port}")
        fault = feed_fault(site, connection)
        with site.publisher(connection) as publisher:
            assert publisher.usable

    # Then
    assert (fault.type, fault.scope) == ("QUEUE_UNAVAILABLE", "DIRECTION")
    assert str(fault).startswith("The broker node rabbit@node2, which has the downlink queue, is down (")
    assert str(fault).endswith("). Wait until it runs again, or repair it.")


def test_silence_about_the_downlink_queue_is_no_fault_of_the_connection(site: Site) -> None:
    def answer(_peer: Peer, received: Any) -> bool:
        return getattr(getattr(received, "method", None), "NAME", "") == "Queue.Declare"

    with scripted_server(answer) as port:
        fault = feed_fault(site, site.connection(host_name=f"127.0.0.1:{port}", connection_timeout=500))
    assert (fault.type, fault.scope) == ("QUEUE_UNAVAILABLE", "DIRECTION")
    assert "does not answer a request for the downlink queue: timeout in step downlink. " in str(fault)
