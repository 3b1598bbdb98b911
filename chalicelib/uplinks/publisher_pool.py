"""Pool of AMQP connections that stay open between the invocations of a warm Lambda environment."""

import threading
from collections import OrderedDict

from chalicelib.domain.connection import Connection
from chalicelib.ports.publishing import Publisher, PublisherFactory
from chalicelib.ports.secrets import SecretStore

MAX_WARM = 64
"""Publishers kept open in one environment."""


class PublisherPool:
    """An LRU pool with at most one publisher per connection.

    ``get`` never returns a publisher of an older configuration version. Different threads may use different
    connections; only one thread at a time may use one connection, as ``Forwarder`` guarantees.
    """

    def __init__(self, factory: PublisherFactory, secrets: SecretStore) -> None:
        self._factory = factory
        self._secrets = secrets
        self._warm: OrderedDict[str, tuple[int, Publisher]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, connection: Connection, deadline: float) -> Publisher:
        """Return the open publisher, or open one before ``deadline`` (time.monotonic()). Raises BrokerFault."""
        with self._lock:
            version, publisher = self._warm.get(connection.id, (0, None))
            if publisher and publisher.usable and version == connection.version:
                self._warm.move_to_end(connection.id)
                return publisher
        if publisher:
            self.discard(connection.id)
        publisher = self._factory.open(connection, self._secrets.of(connection), deadline)
        with self._lock:
            self._warm[connection.id] = (connection.version, publisher)
            surplus = [self._warm.popitem(last=False)[1][1] for _ in range(len(self._warm) - MAX_WARM)]
        for old in surplus:
            old.close()
        return publisher

    def is_warm(self, connection: Connection) -> bool:
        """Return whether ``get`` would find an open publisher."""
        with self._lock:
            version, publisher = self._warm.get(connection.id, (0, None))
            return publisher is not None and publisher.usable and version == connection.version

    def discard(self, connection_id: str) -> None:
        """Reset the connection's socket, if it has one."""
        with self._lock:
            _, publisher = self._warm.pop(connection_id, (0, None))
        if publisher:
            publisher.abort()

    def close(self, connection_id: str) -> None:
        """Close the connection's publisher with an AMQP handshake, after a deactivation or deletion."""
        with self._lock:
            _, publisher = self._warm.pop(connection_id, (0, None))
        if publisher:
            publisher.close()
