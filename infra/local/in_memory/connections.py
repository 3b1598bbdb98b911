"""The connections' table with conditional writes and eventually consistent indexes."""

import threading
from collections import defaultdict
from collections.abc import Collection, Iterator

from chalicelib.domain.connection import Connection
from chalicelib.errors import Conflict, NotFound, PreconditionFailed

_BREAKER = (
    "state",
    "state_reason",
    "startup_time",
    "failures",
    "outage_since",
    "probe_at",
    "fault_scope",
    "fault_type",
    "fast_since",
    "opened_at",
)
_OUTAGES = ("faulty_since", "outages")
_DOWNLINKS = (
    "downlink_state",
    "downlink_reason",
    "downlink_fault_type",
    "downlink_failures",
    "downlink_since",
    "downlink_probe_at",
)
_STATE = (*_BREAKER, *_DOWNLINKS)
_CHANGED = ("name", "active", "alarms", "configuration", "secret_version", "old_bindings", "version", "updated_at")


class MemoryConnectionStore:
    """An in-memory ``connections_store``. Reads by key see every write. Between ``lag`` and ``catch_up``, the indexes
    (pending wakes, probes, active) show the table as it was at ``lag``."""

    def __init__(self) -> None:
        self.connections: dict[tuple[str, str], Connection] = {}
        self.pending: set[tuple[str, str]] = set()
        self._generations: dict[str, int] = defaultdict(int)
        self._index: dict[tuple[str, str], Connection] | None = None
        self._lock = threading.RLock()

    def lag(self) -> None:
        self._index = dict(self.connections)

    def catch_up(self) -> None:
        self._index = None

    # For the API

    def reserve(self, tenant: str, connection_id: str, limit: int) -> None:
        with self._lock:
            self._check_limit(tenant, limit)
            self.pending.add((tenant, connection_id))

    def create(self, connection: Connection, limit: int) -> None:
        with self._lock:
            self._check_limit(connection.tenant, limit)
            self.connections[connection.tenant, connection.id] = connection
            self.pending.discard((connection.tenant, connection.id))
            self._generations[connection.tenant] += 1

    def _check_limit(self, tenant: str, limit: int) -> None:
        if len(self.of_tenant(tenant)) >= limit:
            raise Conflict(f"a tenant has at most {limit} connections")

    def get(self, tenant: str, connection_id: str) -> Connection:
        if (tenant, connection_id) not in self.connections:
            raise NotFound("no such connection")
        return self.connections[tenant, connection_id]

    def find(self, tenant: str, connection_id: str) -> Connection:
        return self.get(tenant, connection_id)

    def of_tenant(self, tenant: str) -> list[Connection]:
        return list(self.newest_first(tenant))

    def newest_first(self, tenant: str, before: str | None = None) -> Iterator[Connection]:
        found = [c for c in self.connections.values() if c.tenant == tenant and (before is None or c.id < before)]
        yield from sorted(found, key=lambda c: c.id, reverse=True)

    def replace(
        self, connection: Connection, expected_version: int, *, reset: bool = False, whole: bool = False
    ) -> None:
        if whole:
            raise NotImplementedError("every record in memory is readable")
        with self._lock:
            current = self.get(connection.tenant, connection.id)
            if current.version != expected_version:
                raise PreconditionFailed("the connection was changed meanwhile")
            changes = {name: getattr(connection, name) for name in (*_CHANGED, *(_STATE if reset else ()))}
            self._change(current, **changes, epoch=current.epoch + reset)
            self._generations[connection.tenant] += 1

    def delete(self, tenant: str, connection_id: str, version: int | None = None) -> None:
        with self._lock:
            stored = self.get(tenant, connection_id)
            if version not in {None, stored.version}:
                raise PreconditionFailed(f"not at version {version}")
            del self.connections[tenant, connection_id]
            self.pending.add((tenant, connection_id))
            self._generations[tenant] += 1

    def is_pending(self, tenant: str, connection_id: str) -> bool:
        return (tenant, connection_id) in self.pending

    def forget_pending(self, tenant: str, connection_id: str) -> None:
        self.pending.discard((tenant, connection_id))

    def unfinished(self, before: float) -> Iterator[tuple[str, str]]:  # noqa: ARG002  # the tests need no minimum age
        yield from sorted(self.pending)

    def generation(self, tenant: str) -> int:
        return self._generations[tenant]

    def generations(self, tenants: Collection[str]) -> dict[str, int]:
        return {tenant: self._generations[tenant] for tenant in tenants}

    def next_generation(self, tenant: str) -> None:
        """Record a change of the tenant's flows."""
        with self._lock:
            self._generations[tenant] += 1

    def _change(self, current: Connection, **changes: object) -> None:
        self.connections[current.tenant, current.id] = current.model_copy(update=changes)

    # For the forwarder and the reconciler

    def update_breaker(self, connection: Connection, expected_epoch: int, *, restart: bool = False) -> bool:
        with self._lock:
            current = self.connections.get((connection.tenant, connection.id))
            if current is None or current.epoch != expected_epoch:
                return False
            marks = ("wake_at", "wake_token") if connection.wake_at is not None else ()
            downlinks = _DOWNLINKS if restart else ()
            changes = {name: getattr(connection, name) for name in (*_BREAKER, *_OUTAGES, "epoch", *marks, *downlinks)}
            self._change(current, **changes)
            return True

    def update_downlinks(self, connection: Connection, expected_failures: int) -> bool:
        with self._lock:
            current = self.connections.get((connection.tenant, connection.id))
            stored = None if current is None else (current.version, current.downlink_failures)
            if current is None or stored != (connection.version, expected_failures):
                return False
            self._change(current, **{name: getattr(connection, name) for name in _DOWNLINKS})
            return True

    def set_pending_wake(self, tenant: str, connection_id: str, wake_at: float, token: str) -> None:
        with self._lock:
            current = self.connections.get((tenant, connection_id))
            if current:
                first = wake_at if current.wake_at is None else min(wake_at, current.wake_at)
                self._change(current, wake_at=first, wake_token=token)

    def clear_pending_wake(self, tenant: str, connection_id: str, token: str) -> None:
        with self._lock:
            current = self.connections.get((tenant, connection_id))
            if current and current.wake_token == token:
                self._change(current, wake_at=None, wake_token=None)

    def mark_fast(self, connection: Connection, now: float) -> None:
        with self._lock:
            current = self.connections.get((connection.tenant, connection.id))
            if current and current.epoch == connection.epoch and current.fast_since is None:
                self._change(current, fast_since=now)

    def mark_slow(self, tenant: str, connection_id: str) -> None:
        with self._lock:
            current = self.connections.get((tenant, connection_id))
            if current:
                self._change(current, fast_since=None)

    def postpone_probe(self, connection: Connection, probe_at: float) -> None:
        with self._lock:
            current = self.connections.get((connection.tenant, connection.id))
            if current and current.epoch == connection.epoch and current.probe_at is not None:
                self._change(current, probe_at=probe_at)

    def forget_old_bindings(self, connection: Connection) -> None:
        with self._lock:
            current = self.connections.get((connection.tenant, connection.id))
            if current and current.version == connection.version:
                self._change(current, old_bindings=[])

    @property
    def _indexed(self) -> list[Connection]:
        return list((self.connections if self._index is None else self._index).values())

    def pending_wakes_due(self, now: float) -> Iterator[Connection]:
        yield from [c for c in self._indexed if c.wake_at is not None and c.wake_at <= now]

    def probes_due(self, now: float) -> Iterator[Connection]:
        yield from [c for c in self._indexed if c.probe_at is not None and c.probe_at <= now]

    def all_active(self) -> Iterator[Connection]:
        yield from [c for c in self._indexed if c.active]
