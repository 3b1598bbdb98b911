"""Connector types, one module each. A new connector is listed here; ``entry.adapters`` builds its adapters."""

from dataclasses import dataclass

from chalicelib.domain.connectors import amqp091
from chalicelib.kernel.documents import Document


@dataclass(frozen=True)
class Connector:
    """A connector type and the model of its configuration; ``GET /connectors`` lists it."""

    id: str
    name: str
    configuration: type[Document]


CONNECTORS = (Connector(amqp091.CONNECTOR_ID, amqp091.NAME, amqp091.AmqpConfiguration),)
