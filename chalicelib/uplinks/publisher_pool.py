"""The AMQP connections that stay open in a warm environment."""

import threading
from collections import OrderedDict

from chalicelib.domain.connection import Connection
from chalicelib.ports.publishing import Publisher, PublisherFactory
from chalicelib.ports.secrets import SecretStore

MAX_WARM = 64


class PublisherPool:
    """One publisher a connection, replaced when the configuration's version changes; the least recently used go first.

    Not shared between threads for one connection: the wakes of a connection are drained by one thread.
    """

    def __init__(self, factory: PublisherFactory, secrets: SecretStore) -> None:
        self._factory = factory
        self._secrets = secrets
        self._warm: OrderedDict[str, tuple[int, Publisher]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, connection: Connection, deadline: float) -> Publisher:
        """The publisher that is open already, or a new one. ``deadline``: time.monotonic(). Raises BrokerFault."""
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
        """Whether ``get`` would find a publisher that is open."""
        with self._lock:
            version, publisher = self._warm.get(connection.id, (0, None))
            return publisher is not None and publisher.usable and version == connection.version

    def discard(self, connection_id: str) -> None:
        """Resets the connection's socket, if there is one."""
        with self._lock:
            _, publisher = self._warm.pop(connection_id, (0, None))
        if publisher:
            publisher.abort()

    def close(self, connection_id: str) -> None:
        """Closes in order: the connection was deactivated or deleted."""
        with self._lock:
            _, publisher = self._warm.pop(connection_id, (0, None))
        if publisher:
            publisher.close()
