"""Configurations validated on their own."""

from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID, AmqpConfiguration
from chalicelib.domain.validation.connections import Networks, parse_connection


def parse_configuration(document: object, *, now: float, allowed: Networks = ()) -> AmqpConfiguration:
    whole = {"connectorId": CONNECTOR_ID, "name": "-", "configuration": document}
    return parse_connection(whole, stored=None, now=now, allowed=allowed).configuration
