"""The connections as their owners manage them: made, read, changed, deleted, restarted."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.config import Settings
from chalicelib.connections.events import ConnectionEvents
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_changes import any_secret, certificate_ends, first_state, fresh, old_bindings
from chalicelib.domain.validation.connections import check_structure, parse_connection, split_secrets
from chalicelib.domain.work_items import PollJob, PollTarget, Wake
from chalicelib.errors import BrokerFault, Conflict, NotFound, PreconditionFailed, Unavailable
from chalicelib.kernel import cursors
from chalicelib.kernel.ids import is_id, new_id
from chalicelib.kernel.merge_patch import merge_patch
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import log
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ManagedConnections
from chalicelib.ports.consuming import DownlinkQueueRemover
from chalicelib.ports.history import FailedMessages
from chalicelib.ports.queues import PollQueue, UplinkQueues, WakeQueue
from chalicelib.ports.secrets import SecretStore
from chalicelib.vocabulary import ConnectionState

_REMOVAL_SECONDS = 5.0
"""The longest that a delete waits for the broker."""
_SHORT_REMOVAL_SECONDS = 2.0
"""The same for a connection whose broker may not answer; most of these attempts would only wait."""
_UNSURE = {ConnectionState.OPENING, ConnectionState.AUTHENTICATING, ConnectionState.UNREACHABLE}
_TRIES = 12
"""Attempts to reapply a change that lost a race. Enough for twelve concurrent writers of one connection to all succeed.
"""

UNFINISHED_AFTER = 600.0
"""Seconds after which an unfinished create or delete counts as killed: no function runs that long."""


@dataclass(frozen=True)
class Filter:
    """Filter of a list: a part of the name in any case, and the state."""

    name: str | None = None
    state: ConnectionState | None = None

    def matches(self, connection: Connection) -> bool:
        named = self.name is None or self.name.casefold() in connection.name.casefold()
        return named and (self.state is None or connection.state == self.state)


@dataclass(frozen=True)
class ManagementContext:
    """Dependencies of ``ConnectionService``."""

    store: ManagedConnections
    secrets: SecretStore
    queues: UplinkQueues
    wakes: WakeQueue
    polls: PollQueue
    failed: FailedMessages
    remover: DownlinkQueueRemover
    events: ConnectionEvents
    clock: Clock
    settings: Settings


class ConnectionService:
    """Record, secret and queue of a connection come and go together, whatever fails or is killed in between:
    a record is written last and removed first, and a note of what was begun stays until it ended."""

    def __init__(self, context: ManagementContext) -> None:
        self._context = context
        self._limit = context.settings.max_connections_per_tenant
        self._allowed = context.settings.allowed_private_networks

    def create(self, tenant: str, document: Any) -> Connection:
        """Makes a connection; it connects at once. Raises InvalidRequest, Conflict at the tenant's limit."""
        now = self._context.clock()
        request = parse_connection(document, stored=None, now=now, allowed=self._allowed)
        configuration, secrets = split_secrets(request.configuration)
        connection_id = new_id(now)
        self._context.store.reserve(tenant, connection_id, self._limit)
        try:
            version = self._context.secrets.put(tenant, connection_id, secrets) if any_secret(secrets) else None
            # Before the record: ingress must never see a connection that has no queue.
            self._context.queues.create(connection_id)
            connection = Connection(
                tenant=tenant,
                id=connection_id,
                name=request.name,
                active=request.active,
                alarms=request.alarms,
                configuration=configuration,
                secret_version=version,
                certificate_ends=certificate_ends(secrets),
                created_at=iso_time(now),
                updated_at=iso_time(now),
                state=first_state(request.active),
                epoch=1,
                probe_at=now if request.active else None,
            )
            self._context.store.create(connection, self._limit)
        except Exception:
            self._undo(tenant, connection_id)
            raise
        self._connect(connection)
        self._context.events.created(connection)
        return connection

    def get(self, tenant: str, connection_id: str) -> Connection:
        """Raises NotFound."""
        return self._context.store.get(tenant, connection_id)

    def page(self, tenant: str, wanted: Filter, limit: int, cursor: str | None) -> tuple[list[Connection], str | None]:
        """Return connections, newest first, and the next page's cursor. Raises InvalidRequest for a foreign cursor."""
        scope = f"connections#{tenant}"
        before = None if cursor is None else cursors.decode(scope, cursor)
        if before is not None and not is_id(before):
            return [], None
        found: list[Connection] = []
        for connection in self._context.store.newest_first(tenant, before):
            if wanted.matches(connection):
                if len(found) == limit:
                    return found, cursors.encode(scope, found[-1].id)
                found.append(connection)
        return found, None

    def replace(
        self, tenant: str, connection_id: str, document: Any, allowed_versions: frozenset[str] | None
    ) -> Connection:
        """PUT. ``allowed_versions``: those of If-Match, None for any. Raises InvalidRequest, NotFound,
        PreconditionFailed."""
        return self._change(tenant, connection_id, lambda _: document, allowed_versions)

    def patch(self, tenant: str, connection_id: str, patch: Any, allowed_versions: frozenset[str] | None) -> Connection:
        """PATCH: a JSON merge patch of what is read. Raises as ``replace`` does."""
        return self._change(
            tenant, connection_id, lambda stored: merge_patch(stored.to_json(), patch), allowed_versions
        )

    def delete(self, tenant: str, connection_id: str, allowed_versions: frozenset[str] | None = None) -> None:
        """Deletes it with its secret and its backlog. One that failed halfway can be repeated. Raises NotFound,
        PreconditionFailed."""
        try:
            stored = self._context.store.get(tenant, connection_id)
            _check_version(stored, allowed_versions)
            self._context.store.delete(tenant, connection_id, None if allowed_versions is None else stored.version)
        except NotFound:
            if not self._context.store.is_pending(tenant, connection_id):
                raise
        else:
            # Without the record no function creates the queue again; the secret still exists for the login.
            self._remove_downlink_queue(stored)
            self._context.events.deleted(stored)
        self._clean_up(tenant, connection_id)

    def restart(self, tenant: str, connection_id: str) -> Connection:
        """Forgets the retry schedule and connects at once. Raises NotFound, Conflict when it is not active."""
        for _ in range(_TRIES):
            stored = self._context.store.get(tenant, connection_id)
            if not stored.active:
                raise Conflict("the connection is inactive; set active to true instead")
            restarted = stored.model_copy(
                update={"epoch": stored.epoch + 1, **fresh(self._context.clock(), active=True)}
            )
            if self._context.store.update_breaker(restarted, stored.epoch):
                self._connect(restarted)
                self._context.events.restarted(restarted)
                return restarted
        raise Unavailable("too many concurrent changes of the connection; try again")

    def finish(self) -> int:
        """Ends the creates and deletes that were killed; returns how many. For the reconciler."""
        finished = 0
        for tenant, connection_id in self._context.store.unfinished(self._context.clock() - UNFINISHED_AFTER):
            try:
                self._context.store.get(tenant, connection_id)
            except NotFound:
                self._clean_up(tenant, connection_id)
                finished += 1
            else:
                self._context.store.forget_pending(tenant, connection_id)
        return finished

    def _change(
        self,
        tenant: str,
        connection_id: str,
        document_for: Callable[[Connection], Any],
        allowed_versions: frozenset[str] | None,
    ) -> Connection:
        for _ in range(_TRIES):
            stored = self._context.store.get(tenant, connection_id)
            if allowed_versions is not None:
                # A document that no version could accept is reported first.
                check_structure(document_for(stored), stored)
            _check_version(stored, allowed_versions)
            # Another writer was faster: try again on top of its change, if the caller allows it.
            with suppress(PreconditionFailed):
                return self._write(stored, document_for(stored))
        raise Conflict("the connection was changed by other requests at the same time; read it again")

    def _write(self, stored: Connection, document: Any) -> Connection:
        tenant, connection_id, now = stored.tenant, stored.id, self._context.clock()
        had = self._stored_secrets(stored)
        request = parse_connection(document, stored=stored, stored_secrets=had, now=now, allowed=self._allowed)
        configuration, secrets = split_secrets(request.configuration)
        unchanged = secrets == had
        version = stored.secret_version
        if not unchanged:
            # Even if none is left: the old ones go away only when a newer version takes their place.
            version = self._context.secrets.put(tenant, connection_id, secrets)
        changed = stored.model_copy(
            update={
                "name": request.name,
                "active": request.active,
                "alarms": request.alarms,
                "configuration": configuration,
                "secret_version": version,
                "certificate_ends": stored.certificate_ends if unchanged else certificate_ends(secrets),
                "old_bindings": old_bindings(stored, configuration),
                "version": stored.version + 1,
                "updated_at": iso_time(now),
            }
        )
        reset = request.active != stored.active or configuration != stored.configuration or not unchanged
        if reset:
            changed = changed.model_copy(update=fresh(now, active=request.active))
        try:
            self._context.store.replace(changed, stored.version, reset=reset)
        except PreconditionFailed:
            # It is sure that no record names it; after a time-out one may.
            self._drop(stored, version)
            raise
        except NotFound:
            # The connection was deleted, and the put may have created its secret again.
            self._context.secrets.delete(tenant, connection_id)
            raise
        self._drop(changed, stored.secret_version)
        if reset:
            # The epoch grew on top of what the forwarder may have written meanwhile.
            changed = changed.model_copy(update={"epoch": self._epoch(changed)})
            self._connect(changed)
        self._context.events.changed(stored, changed, secrets=not unchanged)
        return changed

    def _stored_secrets(self, stored: Connection) -> ConnectionSecrets:
        try:
            return self._context.secrets.of(stored)
        except NotFound as error:
            # Another writer, or a delete, was faster: the record says which.
            raise PreconditionFailed("the connection was changed meanwhile") from error

    def _epoch(self, connection: Connection) -> int:
        try:
            return self._context.store.get(connection.tenant, connection.id).epoch
        except (NotFound, Unavailable):
            # The change is made; connecting at once is all that depends on it, and the reconciler sees to that, too.
            return connection.epoch + 1

    def _drop(self, current: Connection, version: str | None) -> None:
        """Delete a version of the secret unless it is current. A failure leaves only a label behind."""
        if version is None or version == current.secret_version:
            return
        try:
            self._context.secrets.drop_version(current.tenant, current.id, version)
        except Unavailable as error:
            log.warning("secret version not dropped", extra={"connection": current.id, "reason": str(error)})

    def _connect(self, connection: Connection) -> None:
        """Asks the forwarder and the consumer to connect now. If that fails, the request does not: ``probe_at`` is
        in the record, so the reconciler asks within a minute."""
        if not connection.active:
            return
        tenant, connection_id = connection.tenant, connection.id
        try:
            self._context.wakes.send([Wake(tenant=tenant, connection_id=connection_id, probe=connection.epoch)])
            if connection.configuration.downlink_enabled:
                target = PollTarget(tenant=tenant, connection_id=connection_id)
                self._context.polls.send(PollJob(sent_at=self._context.clock(), targets=[target]))
        except (Unavailable, NotFound) as error:
            log.warning("not connected at once", extra={"connection": connection_id, "reason": str(error)})

    def _remove_downlink_queue(self, connection: Connection) -> None:
        """As far as the broker lets us, in whatever state the connection is: a fault of the exchange or a permission
        that is missing need not hinder this."""
        seconds = _SHORT_REMOVAL_SECONDS if connection.state in _UNSURE else _REMOVAL_SECONDS
        try:
            secrets = self._stored_secrets(connection)
            self._context.remover.remove(connection, secrets, time.monotonic() + seconds)
        except (BrokerFault, PreconditionFailed, Unavailable) as error:
            log.warning("downlink queue left at its broker", extra={"connection": connection.id, "reason": str(error)})

    def _undo(self, tenant: str, connection_id: str) -> None:
        """Removes what a failed create made; the note of it stays where that fails, too."""
        try:
            # A write whose answer was lost may have been made.
            with suppress(NotFound):
                self._context.store.delete(tenant, connection_id)
            self._clean_up(tenant, connection_id)
        except Unavailable as error:
            log.warning("create not undone yet", extra={"connection": connection_id, "reason": str(error)})

    def _clean_up(self, tenant: str, connection_id: str) -> None:
        self._context.queues.delete(connection_id)
        self._context.secrets.delete(tenant, connection_id)
        self._context.failed.purge(tenant, connection_id)
        self._context.store.forget_pending(tenant, connection_id)


def _check_version(stored: Connection, allowed: frozenset[str] | None) -> None:
    if allowed is not None and str(stored.version) not in allowed:
        raise PreconditionFailed(f"the connection is at version {stored.version}; read it again")
