"""Secrets in Secrets Manager: those of connections, and the keys of application servers."""

from typing import Protocol

from chalicelib.domain.application_server import ApplicationServer
from chalicelib.domain.connection import Connection, ConnectionSecrets


class SecretStore(Protocol):
    """One secret for each connection. Versions never overwrite each other."""

    def put(self, tenant: str, connection_id: str, secrets: ConnectionSecrets) -> str:
        """Store a new version and return its id."""

    def of(self, connection: Connection) -> ConnectionSecrets:
        """Return the connection's secrets, empty ones if it has none. Raises NotFound when the version is gone."""

    def drop_version(self, tenant: str, connection_id: str, version: str) -> None:
        """Delete a version that no record names any longer."""

    def delete(self, tenant: str, connection_id: str) -> None:
        """Delete all versions and AS keys at once, without recovery. Ignored when the secret does not exist."""

    def put_as_key(self, tenant: str, connection_id: str, as_key: str) -> str:
        """Store the AS key of a downlink and return its name; equal keys have equal names."""

    def get_as_key(self, name: str) -> str:
        """Return a downlink's AS key. Raises NotFound."""


class ApplicationServerStore(Protocol):
    """Application servers of the network server; their keys are in Secrets Manager."""

    def put(self, tenant: str, as_id: str, as_key: str) -> ApplicationServer:
        """Register an application server. Raises Conflict if it exists, or exists with this key at another tenant."""

    def of_tenant(self, tenant: str) -> list[ApplicationServer]:
        """Return the tenant's application servers."""

    def delete(self, tenant: str, as_id: str) -> None:
        """Delete an application server and its key. Raises NotFound."""

    def keys(self, as_id: str) -> list[tuple[str, str]]:
        """Return (tenant, AS key) of every tenant that registered this AS_ID."""

    def recent_keys(self, as_id: str) -> list[tuple[str, str]]:
        """Return the ``keys`` of this process's last read, none if it is older than a few seconds."""
