"""Removal of a deleted connection's downlink queue from a real broker."""

import time

import pytest

from chalicelib.adapters.amqp.queue_remover import AmqpQueueRemover
from chalicelib.adapters.amqp.topology import downlink_queue
from chalicelib.domain.connection import Connection
from chalicelib.errors import BrokerMisconfigured, BrokerUnreachable
from tests.broker.support import LOCAL, Site, soon, unique


def make_queue(site: Site, connection: Connection) -> None:
    with site.channel() as channel:
        channel.queue_declare(downlink_queue(connection.id), durable=True)
        channel.basic_publish("", downlink_queue(connection.id), b"{}")


def queues(site: Site) -> list[str]:
    return [queue["name"] for queue in site.api("GET", "queues")]


@pytest.mark.parametrize("exchange", ["amq.topic", "is-gone"])
def test_queue_is_removed_with_its_messages_even_without_its_exchange(site: Site, exchange: str) -> None:
    connection = site.connection(exchange_name=exchange)
    make_queue(site, connection)
    AmqpQueueRemover(LOCAL).remove(connection, site.secrets, soon())
    assert downlink_queue(connection.id) not in queues(site)
    assert exchange == "amq.topic" or exchange not in [one["name"] for one in site.api("GET", "exchanges")]


def test_missing_queue_is_not_a_fault(site: Site) -> None:
    AmqpQueueRemover(LOCAL).remove(site.connection(), site.secrets, soon())


def test_user_with_only_configure_permission_can_remove_the_queue(site: Site) -> None:
    user, secrets = site.user_with(configure="^iot-flow\\..*$")
    connection = site.connection(username=user)
    make_queue(site, connection)
    AmqpQueueRemover(LOCAL).remove(connection, secrets, soon())
    assert downlink_queue(connection.id) not in queues(site)


def test_missing_configure_permission_is_a_misconfiguration(site: Site) -> None:
    user, secrets = site.user_with(write=".*")
    connection = site.connection(username=user, exchange_name=unique("exchange"))
    make_queue(site, connection)
    with pytest.raises(BrokerMisconfigured):
        AmqpQueueRemover(LOCAL).remove(connection, secrets, soon())


def test_frozen_broker_fails_the_removal_at_the_deadline(other_site: Site) -> None:
    other_site.broker.freeze()
    began = time.monotonic()
    try:
        with pytest.raises(BrokerUnreachable):
            AmqpQueueRemover(LOCAL).remove(other_site.connection(), other_site.secrets, soon(1))
    finally:
        other_site.broker.thaw()
    assert time.monotonic() - began < 4
