"""Removing the downlink queue of a connection that is deleted, at a real broker."""

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
def test_the_queue_goes_with_what_is_in_it_whatever_became_of_the_exchange(site: Site, exchange: str) -> None:
    connection = site.connection(exchange_name=exchange)
    make_queue(site, connection)
    AmqpQueueRemover(LOCAL).remove(connection, site.secrets, soon())
    assert downlink_queue(connection.id) not in queues(site)
    assert exchange == "amq.topic" or exchange not in [one["name"] for one in site.api("GET", "exchanges")]


def test_a_queue_that_was_never_made_is_no_fault(site: Site) -> None:
    AmqpQueueRemover(LOCAL).remove(site.connection(), site.secrets, soon())


def test_a_user_who_may_do_nothing_else_can_have_it_removed(site: Site) -> None:
    user, secrets = site.user_with(configure="^iot-flow\\..*$")
    connection = site.connection(username=user)
    make_queue(site, connection)
    AmqpQueueRemover(LOCAL).remove(connection, secrets, soon())
    assert downlink_queue(connection.id) not in queues(site)


def test_a_broker_that_does_not_let_us_is_told_of(site: Site) -> None:
    user, secrets = site.user_with(write=".*")
    connection = site.connection(username=user, exchange_name=unique("exchange"))
    make_queue(site, connection)
    with pytest.raises(BrokerMisconfigured):
        AmqpQueueRemover(LOCAL).remove(connection, secrets, soon())


def test_a_frozen_broker_is_waited_for_until_the_deadline_and_no_longer(other_site: Site) -> None:
    other_site.broker.freeze()
    began = time.monotonic()
    try:
        with pytest.raises(BrokerUnreachable):
            AmqpQueueRemover(LOCAL).remove(other_site.connection(), other_site.secrets, soon(1))
    finally:
        other_site.broker.thaw()
    assert time.monotonic() - began < 4
