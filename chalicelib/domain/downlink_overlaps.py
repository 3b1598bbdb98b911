"""Connections of one tenant that consume the same downlinks, which the network server then gets several times."""

from collections.abc import Iterable
from functools import cache

from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import DEFAULT_PORTS
from chalicelib.domain.notice import Notice
from chalicelib.domain.topic_patterns import binding_key
from chalicelib.domain.validation.broker_addresses import parse_host_port

_SHOWN = 3


def overlap_notices(connection: Connection, others: Iterable[Connection]) -> list[Notice]:
    """Return a notice if another active connection in ``others`` consumes downlinks that this one consumes, too."""
    if not _consumes(connection):
        return []
    found = [each for each in others if each.id != connection.id and _consumes(each) and _overlap(connection, each)]
    if not found:
        return []
    names = ", ".join(f"{each.name} ({each.id})" for each in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    detail = (
        f"The connection {names}{more} consumes the same downlinks: each sends a downlink that both patterns match to "
        "the network server. Change downlinkTopicPattern, or set downlinkEnabled to false in all but one."
    )
    return [Notice(pointer="/configuration/downlinkTopicPattern", detail=detail)]


def _consumes(connection: Connection) -> bool:
    configuration = connection.configuration
    return connection.active and configuration.downlink_enabled and bool(configuration.downlink_topic_pattern)


def _overlap(one: Connection, other: Connection) -> bool:
    first, second = one.configuration, other.configuration
    if (first.virtual_host, first.exchange_name) != (second.virtual_host, second.exchange_name):
        return False
    (host, port), (other_host, other_port) = _address(one), _address(other)
    # A broker has one port for TCP and another for SSL. Two ports of one protocol are two brokers.
    if host != other_host or (port != other_port and first.protocol == second.protocol):
        return False
    keys = (binding_key(each.downlink_topic_pattern or "") for each in (first, second))
    return keys_overlap(*keys)


def _address(connection: Connection) -> tuple[str, int]:
    configuration = connection.configuration
    host, port = parse_host_port(configuration.host_name, DEFAULT_PORTS[configuration.protocol])
    return host.lower().removesuffix("."), port


def keys_overlap(one: str, other: str) -> bool:
    """Return whether a routing key exists that both binding keys match: ``*`` is one word, ``#`` any number of them."""
    first, second = one.split("."), other.split(".")

    @cache
    def meet(at: int, place: int) -> bool:
        head, tail = first[at : at + 1], second[place : place + 1]
        if not head and not tail:
            return True
        if head == ["#"]:
            return meet(at + 1, place) or (bool(tail) and meet(at, place + 1))
        if tail == ["#"]:
            return meet(at, place + 1) or (bool(head) and meet(at + 1, place))
        if not head or not tail:
            return False
        return ("*" in (*head, *tail) or head == tail) and meet(at + 1, place + 1)

    return meet(0, 0)
