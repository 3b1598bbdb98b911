"""Management of connections: create, read, change, delete and restart."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.connections.management_context import ManagementContext
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_changes import again, any_secret, certificate_ends, first_state, fresh, old_bindings
from chalicelib.domain.downlink_overlaps import overlap_notices
from chalicelib.domain.notice import Notice
from chalicelib.domain.validation.connections import check_structure, parse_connection, split_secrets
from chalicelib.domain.work_items import PollJob, PollTarget, Wake
from chalicelib.errors import BrokerFault, Conflict, NotFound, PreconditionFailed, Unavailable
from chalicelib.kernel import cursors
from chalicelib.kernel.ids import is_id, new_id
from chalicelib.kernel.merge_patch import merge_patch
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import log
from chalicelib.vocabulary import ConnectionState

_REMOVAL_SECONDS = 5.0
"""Seconds that a delete waits for the broker."""
_SHORT_REMOVAL_SECONDS = 2.0
"""Seconds that a delete waits for a broker that may not answer, because most of these attempts time out."""
_UNSURE = {ConnectionState.OPENING, ConnectionState.AUTHENTICATING, ConnectionState.UNREACHABLE}
_TRIES = 12
"""Attempts to reapply a change that lost a race. Enough for twelve concurrent writers of one connection to all succeed.
"""

UNFINISHED_AFTER = 600.0
"""Seconds after which an unfinished create or delete counts as killed: no function runs that long."""


@dataclass(frozen=True)
class Filter:
    """Filter of a list of connections: a part of the name, ignoring case, and the state."""

    name: str | None = None
    state: ConnectionState | None = None

    def matches(self, connection: Connection) -> bool:
        """Return whether the connection passes the filter; an empty filter passes all."""
        named = self.name is None or self.name.casefold() in connection.name.casefold()
        return named and (self.state is None or connection.state == self.state)


class ConnectionService:
    """Creates, changes, deletes and restarts connections for the API.

    Record, secret and queue of a connection exist together or are cleaned up, even if a function is killed. The record
    is written last and deleted first, and a pending entry marks an unfinished create or delete until ``finish``.
    """

    def __init__(self, context: ManagementContext) -> None:
        self._context = context
        self._limit = context.settings.max_connections_per_tenant
        self._allowed = context.settings.allowed_private_networks

    def create(self, tenant: str, document: Any) -> Connection:
        """Create a connection and request an immediate connect.

        Raises InvalidRequest, or Conflict when the tenant's limit is reached.
        """
        now = self._context.clock()
        request = parse_connection(document, stored=None, now=now, allowed=self._allowed)
        configuration, secrets = split_secrets(request.configuration)
        connection_id = new_id(now)
        self._context.store.reserve(tenant, connection_id, self._limit)
        try:
            version = self._context.secrets.put(tenant, connection_id, secrets) if any_secret(secrets) else None
            # The queue comes before the record: ingress must never see a connection without a queue.
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
        """Return a connection, even if its record has a fault. Raises NotFound."""
        return self._context.store.find(tenant, connection_id)

    def notices(self, connection: Connection) -> list[Notice]:
        """Return remarks on a saved connection. Its save does not depend on them, so a failed read yields none."""
        try:
            others = self._context.store.newest_first(connection.tenant)
            return overlap_notices(connection, (each for each in others if not each.fault))
        except Unavailable as error:
            log.warning("connections not compared", extra={"connection": connection.id, "reason": str(error)})
            return []

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
        """Replace a connection (PUT). ``allowed_versions``: the versions in If-Match, None for any.

        Raises InvalidRequest, NotFound, PreconditionFailed, or Conflict after too many concurrent changes.
        """
        return self._change(tenant, connection_id, lambda _: document, allowed_versions)

    def patch(self, tenant: str, connection_id: str, patch: Any, allowed_versions: frozenset[str] | None) -> Connection:
        """Apply a JSON merge patch to the document that GET returns (PATCH). Raises as ``replace`` does."""
        return self._change(
            tenant, connection_id, lambda stored: merge_patch(stored.to_json(), patch), allowed_versions
        )

    def delete(
        self, tenant: str, connection_id: str, allowed_versions: frozenset[str] | None = None, *, force: bool = False
    ) -> None:
        """Delete a connection with its secret and its backlog; a delete that failed halfway can be repeated.

        ``force``: remove it from the flows that name it. Raises NotFound, PreconditionFailed, or Conflict when a flow
        names it.
        """
        try:
            stored = self._context.store.find(tenant, connection_id)
            _check_version(stored, allowed_versions)
            if not force:
                self._context.flows.check_unused(tenant, connection_id)
            self._context.store.delete(tenant, connection_id, None if allowed_versions is None else stored.version)
        except NotFound:
            if not self._context.store.is_pending(tenant, connection_id):
                raise
        else:
            # Without the record no function declares the downlink queue again; the login still needs the secret.
            if not stored.fault:
                self._remove_downlink_queue(stored)
            self._context.events.deleted(stored)
        self._clean_up(tenant, connection_id)

    def restart(self, tenant: str, connection_id: str) -> Connection:
        """Reset the retry schedule and request an immediate connect.

        Raises NotFound, Conflict when the connection is inactive, Unreadable when its record has a fault, Unavailable
        after too many concurrent changes.
        """
        for _ in range(_TRIES):
            stored = self._context.store.get(tenant, connection_id)
            if not stored.active:
                raise Conflict("the connection is inactive; set active to true instead")
            restarted = stored.model_copy(update={"epoch": stored.epoch + 1, **again(stored, self._context.clock())})
            if self._context.store.update_breaker(restarted, stored.epoch, restart=True):
                self._connect(restarted)
                self._context.events.restarted(restarted)
                return restarted
        raise Unavailable("too many concurrent changes of the connection; try again")

    def finish(self) -> int:
        """Finish the creates and deletes of killed functions and return the number of connections that were cleaned up.

        The reconciler calls this once a minute.
        """
        finished = 0
        for tenant, connection_id in self._context.store.unfinished(self._context.clock() - UNFINISHED_AFTER):
            try:
                self._context.store.find(tenant, connection_id)
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
            stored = self._context.store.find(tenant, connection_id)
            if allowed_versions is not None:
                # A document that no version could accept is reported first.
                check_structure(document_for(stored), stored)
            _check_version(stored, allowed_versions)
            # Another writer was faster: reapply the change to its version, if the caller allows that version.
            with suppress(PreconditionFailed):
                return self._write(stored, document_for(stored))
        raise Conflict("the connection was changed by other requests at the same time; read it again")

    def _write(self, stored: Connection, document: Any) -> Connection:
        tenant, connection_id, now = stored.tenant, stored.id, self._context.clock()
        had = self._stored_secrets(stored)
        request = parse_connection(document, stored=stored, stored_secrets=had, now=now, allowed=self._allowed)
        configuration, secrets = split_secrets(request.configuration)
        unchanged = secrets == had and not stored.fault
        version = stored.secret_version
        if not unchanged:
            # Store a version even without secrets: only a newer version replaces the old secrets.
            version = self._context.secrets.put(tenant, connection_id, secrets)
        changed = stored.model_copy(
            update={
                "name": request.name,
                "active": request.active,
                "alarms": request.alarms,
                "configuration": configuration,
                "secret_version": version,
                "certificate_ends": stored.certificate_ends
                if unchanged and not stored.fault
                else certificate_ends(secrets),
                "old_bindings": old_bindings(stored, configuration),
                "fault": None,
                "version": stored.version + 1,
                "updated_at": iso_time(now),
            }
        )
        reset = (
            bool(stored.fault)
            or request.active != stored.active
            or configuration != stored.configuration
            or not unchanged
        )
        if reset:
            changed = changed.model_copy(update=fresh(now, active=request.active))
        try:
            self._context.store.replace(changed, stored.version, reset=reset, whole=bool(stored.fault))
        except PreconditionFailed:
            # No record names the new version. This is certain here only: after a time-out, a record may name it.
            self._drop(stored, version)
            raise
        except NotFound:
            # The connection was deleted, and the put may have created its secret again.
            self._context.secrets.delete(tenant, connection_id)
            raise
        self._drop(changed, stored.secret_version)
        if reset:
            # The store increased the epoch, which the forwarder may have increased before.
            changed = changed.model_copy(update={"epoch": self._epoch(changed)})
            self._connect(changed)
        if changed.active and not stored.active:
            self._context.parked.release(changed)
        self._context.events.changed(stored, changed, secrets=not unchanged)
        return changed

    def _stored_secrets(self, stored: Connection) -> ConnectionSecrets:
        try:
            return self._context.secrets.of(stored)
        except NotFound as error:
            # Another writer or a delete was faster; reading the record again shows which one.
            raise PreconditionFailed("the connection was changed meanwhile") from error

    def _epoch(self, connection: Connection) -> int:
        try:
            return self._context.store.get(connection.tenant, connection.id).epoch
        except (NotFound, Unavailable):
            # The change is stored. Only the immediate connect needs the epoch, and the reconciler connects as well.
            return connection.epoch + 1

    def _drop(self, current: Connection, version: str | None) -> None:
        """Delete a version of the secret unless it is current. A failure leaves an unused version label behind."""
        if version is None or version == current.secret_version:
            return
        try:
            self._context.secrets.drop_version(current.tenant, current.id, version)
        except Unavailable as error:
            log.warning("secret version not dropped", extra={"connection": current.id, "reason": str(error)})

    def _connect(self, connection: Connection) -> None:
        """Send a probe to the forwarder and a poll job to the consumer.

        A failure does not fail the request: the record has ``probe_at``, so the reconciler probes within a minute.
        """
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
        """Try to delete the downlink queue at the broker, in any state of the connection.

        The attempt may succeed despite a fault: a wrong exchange or a missing permission need not prevent a delete.
        """
        seconds = _SHORT_REMOVAL_SECONDS if connection.state in _UNSURE else _REMOVAL_SECONDS
        try:
            secrets = self._stored_secrets(connection)
            self._context.remover.remove(connection, secrets, time.monotonic() + seconds)
        except (BrokerFault, PreconditionFailed, Unavailable) as error:
            log.warning("downlink queue not deleted", extra={"connection": connection.id, "reason": str(error)})

    def _undo(self, tenant: str, connection_id: str) -> None:
        """Delete the record, queue and secret of a failed create; if that fails, the pending entry stays."""
        try:
            # DynamoDB may have stored a record although its answer was lost.
            with suppress(NotFound):
                self._context.store.delete(tenant, connection_id)
            self._clean_up(tenant, connection_id)
        except Unavailable as error:
            log.warning("create not undone yet", extra={"connection": connection_id, "reason": str(error)})

    def _clean_up(self, tenant: str, connection_id: str) -> None:
        self._context.queues.delete(connection_id)
        # After the record and the queue: a connection that no flow names receives every report. This also removes a
        # name that a flow got after the check of this delete.
        self._context.flows.forget(tenant, connection_id)
        self._context.secrets.delete(tenant, connection_id)
        self._context.failed.purge(tenant, connection_id)
        self._context.store.forget_pending(tenant, connection_id)


def _check_version(stored: Connection, allowed: frozenset[str] | None) -> None:
    if allowed is not None and str(stored.version) not in allowed:
        raise PreconditionFailed(f"the connection is at version {stored.version}; read it again")
