"""Pool of AMQP connections that stay open between the invocations of a warm Lambda environment."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from chalicelib.domain.connection import Connection
from chalicelib.errors import BrokerFault
from chalicelib.ports.clock import Clock
from chalicelib.ports.publishing import Publisher, PublisherFactory
from chalicelib.ports.secrets import SecretStore
from chalicelib.uplinks.socket_slots import NoSlot, SocketSlots
from chalicelib.vocabulary import EventType

MAX_WARM = 64
"""Publishers kept open in one environment."""
IDLE = 10.0
"""Seconds without a drain after which a socket is closed if another function has one, too."""


@dataclass
class _Warm:
    """An open publisher. ``used_at``: monotonic time at which its last drain began."""

    version: int
    publisher: Publisher
    used_at: float


class PublisherPool:
    """An LRU pool with at most one publisher per connection, each of which holds a slot at the broker.

    ``get`` never returns a publisher of an older configuration version. Different threads may use different
    connections; only one thread at a time may use one connection, as ``Forwarder`` guarantees.
    """

    def __init__(
        self, factory: PublisherFactory, secrets: SecretStore, slots: SocketSlots, monotonic: Clock = time.monotonic
    ) -> None:
        self._factory = factory
        self._secrets = secrets
        self._slots = slots
        self._monotonic = monotonic
        self._warm: OrderedDict[str, _Warm] = OrderedDict()
        self._lock = threading.Lock()

    def reserve(self, connection: Connection, deadline: float) -> None:
        """Take a slot for the connection's publisher before ``deadline`` (monotonic), and close an outdated publisher.

        Raises NoSlot while other functions use all sockets that the connection may have.
        """
        if not self.is_warm(connection):
            self._abort(connection.id)
        try:
            self._slots.take(connection, deadline)
        except Exception:
            self.discard(connection.id)
            raise

    def get(self, connection: Connection, deadline: float) -> Publisher:
        """Return the open publisher, or open one before ``deadline`` (monotonic). Call ``reserve`` first.

        Raises BrokerFault, and NoSlot if the broker's limit of connections is reached while other functions have one.
        """
        with self._lock:
            warm = self._warm.get(connection.id)
            if warm:
                warm.used_at = self._monotonic()
                self._warm.move_to_end(connection.id)
                return warm.publisher
        try:
            publisher = self._factory.open(connection, self._secrets.of(connection), deadline)
        except Exception as error:
            further = self._slots.is_shared(connection.id)
            self._slots.give_back(connection.id)
            if isinstance(error, BrokerFault) and error.type is EventType.CONNECTION_LIMIT_REACHED and further:
                raise NoSlot from error
            raise
        with self._lock:
            self._warm[connection.id] = _Warm(connection.version, publisher, self._monotonic())
            surplus = [self._warm.popitem(last=False) for _ in range(len(self._warm) - MAX_WARM)]
        for connection_id, old in surplus:
            old.publisher.close()
            self._slots.give_back(connection_id)
        return publisher

    def is_warm(self, connection: Connection) -> bool:
        """Return whether ``get`` would find an open publisher."""
        with self._lock:
            warm = self._warm.get(connection.id)
            return warm is not None and warm.publisher.usable and warm.version == connection.version

    def rest(self, connection_id: str) -> None:
        """Give a slot back after a drain if no publisher uses it, or close the publisher if other functions need it."""
        with self._lock:
            is_used = connection_id in self._warm
        if not is_used or not self._slots.may_stay(connection_id):
            self.close(connection_id)

    def hand_over(self, connection_id: str) -> None:
        """Close the connection's publisher if other functions have one, and will need the slot.

        The only one stays open: its owner sees at the broker that the connection is open.
        """
        if self._slots.is_shared(connection_id):
            self.close(connection_id)

    def tidy(self) -> None:
        """Close idle publishers that other functions have beside this one, and those whose slot has ended."""
        now = self._monotonic()
        with self._lock:
            idle = [id_ for id_, warm in self._warm.items() if now - warm.used_at > IDLE]
        for connection_id in idle:
            if self._slots.ended(connection_id) or self._slots.is_shared(connection_id):
                # A reset, because a handshake with a broker that is gone would hold up the drains.
                self.discard(connection_id)

    def discard(self, connection_id: str) -> None:
        """Reset the connection's socket, if it has one."""
        self._abort(connection_id)
        self._slots.give_back(connection_id)

    def _abort(self, connection_id: str) -> None:
        with self._lock:
            warm = self._warm.pop(connection_id, None)
        if warm:
            warm.publisher.abort()

    def close(self, connection_id: str) -> None:
        """Close the connection's publisher with an AMQP handshake, after a deactivation or deletion."""
        with self._lock:
            warm = self._warm.pop(connection_id, None)
        if warm:
            warm.publisher.close()
        self._slots.give_back(connection_id)
