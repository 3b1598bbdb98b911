"""Removal of a deleted connection's downlink queue from its broker."""

import time

from chalicelib.adapters.amqp.connection import AmqpConnection, Role, end
from chalicelib.adapters.amqp.error_translation import translate
from chalicelib.adapters.amqp.loop import Loop
from chalicelib.adapters.amqp.topology import delete_queue, downlink_queue
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets


class AmqpQueueRemover:
    """Deletes the downlink queue over a short connection. Implements ``ports.DownlinkQueueRemover``."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.allowed_private_networks

    def remove(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> None:
        loop = Loop()
        amqp = AmqpConnection(loop, connection, secrets, role=Role.REMOVAL, allowed=self._allowed)
        seconds = connection.configuration.connection_timeout / 1000
        try:
            loop.run(amqp.open(), min(deadline, time.monotonic() + seconds))
            loop.run(delete_queue(amqp, downlink_queue(connection.id)), min(deadline, time.monotonic() + seconds))
        except Exception as error:
            raise translate(amqp.error or error, amqp.operation) from error
        finally:
            end(loop, amqp, in_order=True)
