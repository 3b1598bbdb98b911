"""In-memory implementations of the other tables and of the secrets."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from chalicelib.domain.application_server import ApplicationServer
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.event import Event
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.messages.entries import LogEntry
from chalicelib.errors import InvalidRequest, NotFound


class MemorySecretStore:
    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], dict[str, ConnectionSecrets]] = defaultdict(dict)
        self._as_keys: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def put(self, tenant: str, connection_id: str, secrets: ConnectionSecrets) -> str:
        version = f"v{next(self._numbers)}"
        self._versions[tenant, connection_id][version] = secrets
        return version

    def get(self, tenant: str, connection_id: str, version: str) -> ConnectionSecrets:
        """The secrets of a version. Raises NotFound when the version or the secret is gone."""
        versions = self._versions.get((tenant, connection_id), {})
        if version not in versions:
            raise NotFound("the secret is gone")
        return versions[version]

    def of(self, connection: Connection) -> ConnectionSecrets:
        """Return the connection's secrets, empty ones if it has none. Raises NotFound when the version is gone."""
        if connection.secret_version is None:
            return ConnectionSecrets()
        return self.get(connection.tenant, connection.id, connection.secret_version)

    def drop_version(self, tenant: str, connection_id: str, version: str) -> None:
        self._versions.get((tenant, connection_id), {}).pop(version, None)

    def delete(self, tenant: str, connection_id: str) -> None:
        self._versions.pop((tenant, connection_id), None)
        self._as_keys = {k: v for k, v in self._as_keys.items() if not k.startswith(f"{tenant}/{connection_id}/")}

    def put_as_key(self, tenant: str, connection_id: str, as_key: str) -> str:
        name = f"{tenant}/{connection_id}/{hashlib.sha256(as_key.encode()).hexdigest()}"
        self._as_keys[name] = as_key
        return name

    def get_as_key(self, name: str) -> str:
        """The key of an application server. Raises NotFound when the connection was deleted."""
        if name not in self._as_keys:
            raise NotFound("the secret is gone")
        return self._as_keys[name]


class MemoryFailedMessages:
    def __init__(self) -> None:
        self.messages: dict[tuple[str, str], list[FailedMessage]] = defaultdict(list)

    def add(self, tenant: str, connection_id: str, messages: Sequence[FailedMessage]) -> None:
        kept = self.messages[tenant, connection_id]
        known = {message.id for message in kept}
        kept += [message for message in messages if message.id not in known]

    def page(
        self, tenant: str, connection_id: str, limit: int, cursor: str | None
    ) -> tuple[list[FailedMessage], str | None]:
        if cursor is not None:
            raise InvalidRequest([])
        return self.messages[tenant, connection_id][::-1][:limit], None

    def purge(self, tenant: str, connection_id: str, direction: Direction | None = None) -> None:
        kept = self.messages.pop((tenant, connection_id), [])
        if direction is not None:
            self.messages[tenant, connection_id] = [message for message in kept if message.direction is not direction]


class MemoryEventLog:
    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def add(self, tenant: str, event: Event) -> None:
        self.events.append((tenant, event))

    def add_up(self, tenant: str, event: Event, number: int) -> None:
        for owner, stored in self.events:
            if (owner, stored.id) == (tenant, event.id):
                stored.details["count"] += number
                return
        self.add(tenant, event.model_copy(update={"details": {**event.details, "count": number}}))


class MemoryStatistics:
    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.devices: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.log: dict[tuple[str, str], list[LogEntry]] = defaultdict(list)
        self._waiting: dict[tuple[str, str, str], bool] = {}
        """By downlink: True while it waits, False when it is done."""

    def mark_waiting(self, tenant: str, connection_id: str, names: Sequence[str]) -> None:
        for name in names:
            self._waiting.setdefault((tenant, connection_id, name), True)

    def clear_waiting(self, tenant: str, connection_id: str, name: str) -> None:
        self._waiting[tenant, connection_id, name] = False

    def waiting_downlinks(self, tenant: str, connection_id: str) -> int:
        return sum(waits for key, waits in self._waiting.items() if key[:2] == (tenant, connection_id))

    def add(
        self,
        tenant: str,
        connection_id: str,
        counts: Mapping[str, int],
        devices: Collection[str] = (),
        log: Sequence[LogEntry] = (),
    ) -> None:
        self.devices[tenant, connection_id] |= set(devices)
        self.log[tenant, connection_id] += log
        for name, number in counts.items():
            self.counts[tenant, connection_id][name] += number


class MemoryApplicationServerStore:
    def __init__(self) -> None:
        self._servers: dict[tuple[str, str], tuple[ApplicationServer, str]] = {}

    def put(self, tenant: str, as_id: str, as_key: str) -> ApplicationServer:
        server = ApplicationServer(tenant=tenant, as_id=as_id, secret_id="", secret_version="", created_at="")
        self._servers[tenant, as_id] = (server, as_key)
        return server

    def of_tenant(self, tenant: str) -> list[ApplicationServer]:
        return [server for (owner, _), (server, _) in self._servers.items() if owner == tenant]

    def delete(self, tenant: str, as_id: str) -> None:
        if self._servers.pop((tenant, as_id), None) is None:
            raise NotFound("no such application server")

    def keys(self, as_id: str) -> list[tuple[str, str]]:
        return [(owner, key) for (owner, name), (_, key) in self._servers.items() if name == as_id]

    def recent_keys(self, _as_id: str) -> list[tuple[str, str]]:
        return []


class MemoryParkedReceipts:
    """Receipts of parked downlinks. ``parked`` has those of each (tenant, connection, name)."""

    def __init__(self) -> None:
        self.parked: dict[tuple[str, str, str], list[str]] = {}

    def park(self, tenant: str, connection_id: str, name: str, receipts: Sequence[str]) -> None:
        self.parked[tenant, connection_id, name] = list(receipts)

    def receipts(self, tenant: str, connection_id: str) -> list[str]:
        return [r for key, receipts in self.parked.items() if key[:2] == (tenant, connection_id) for r in receipts]


class MemoryDownlinkLedger:
    def __init__(self) -> None:
        self.sent: set[str] = set()

    def was_sent(self, message_id: str) -> bool:
        return message_id in self.sent

    def record(self, message_id: str) -> None:
        self.sent.add(message_id)
