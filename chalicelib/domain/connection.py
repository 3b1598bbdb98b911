"""Connections to the tenants' brokers: request, record and secrets."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID, AmqpConfiguration, ConnectorId
from chalicelib.kernel.documents import Document
from chalicelib.kernel.json_schema import Whole
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import ConnectionState, FaultScope


class Recurrence(Document):
    """The days of an alarm's windows: every day, or the days of the week in ``byDays``."""

    frequency: Literal["daily", "weekly"]
    by_days: list[Annotated[str, Field(max_length=16)]] = Field(default=[], max_length=7)


class Alarm(Document):
    """A minimum uplink rate within time windows; a lower rate raises an event with ``message``.

    ``startTime`` and ``endTime`` are ISO 8601 dates with times, or times of day. They are local to ``timezone``
    unless they have an offset.
    """

    start_time: str = Field(max_length=64)
    end_time: str = Field(max_length=64)
    timezone: str = Field(default="UTC", max_length=64)
    recurrence: list[Recurrence] = Field(default=[], max_length=7)
    uplink_rate_min_per_hour: Whole = Field(ge=0, le=1_000_000_000)
    message: str = Field(default="", max_length=1024)


class ConnectionRequest(Document):
    """The body of a create or replace request, without the read-only fields."""

    connector_id: ConnectorId
    name: str = Field(min_length=1, max_length=128)
    active: bool = True
    alarms: list[Alarm] = Field(default=[])
    configuration: AmqpConfiguration


class Outage(BaseModel):
    """A time that ended in which a connection was not open. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    since: float
    until: float
    reason: str | None = None
    """The last fault; None if a restart or a change of the configuration forgot it."""


class Connection(BaseModel):
    """The stored record of a connection, including the state of its breaker. It contains no secret value.

    Changes through the API are conditional on ``version``, breaker changes on ``epoch`` and changes of the downlinks'
    state on ``downlink_failures``, so concurrent changes cannot overwrite each other.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    id: str
    name: str
    active: bool
    alarms: list[Alarm] = []
    configuration: AmqpConfiguration
    """The configuration with ``MASK`` in place of each secret."""
    unread_configuration: dict[str, Any] = {}
    """Stored fields of the configuration that this release does not know; every write keeps them."""
    unread_alarms: list[Any] = []
    """Stored alarms with fields that this release does not know, as JSON values; every write keeps them."""
    fault: str | None = None
    """The part of the record that is unreadable, such as ``configuration.hostName``; None for a readable record.
    With a fault, unreadable fields have stand-ins, the configuration lacks them, and nothing may connect."""
    secret_version: str | None = None
    """The version id in Secrets Manager; None if the configuration has no secret field."""
    old_bindings: list[tuple[str, str]] = []
    """Obsolete bindings of the downlink queue as (exchange, binding key); the next poll unbinds them."""
    certificate_ends: float | None = None
    """The expiry of the client certificate in Unix seconds; None if there is no certificate."""
    version: int = 1
    created_at: str
    updated_at: str
    startup_time: str | None = None
    state: ConnectionState
    state_reason: str | None = None
    epoch: int = 0
    """Incremented by each change of the breaker or of the configuration; breaker changes are conditional on it."""
    failures: int = 0
    """The number of failed attempts since the outage began."""
    outage_since: float | None = None
    """The start of the outage in Unix seconds; None while the breaker is closed."""
    probe_at: float | None = None
    """The due time of the next probe in Unix seconds; None if no probe is scheduled."""
    fault_scope: FaultScope | None = None
    """The scope of the fault that opened the breaker; None counts as the whole connection."""
    fault_type: str | None = None
    """The event type of that fault; None without a fault and in records of a release that did not store it."""
    downlink_state: ConnectionState | None = None
    """``OPENED`` or ``CLOSED`` after the first poll, None before it."""
    downlink_reason: str | None = None
    downlink_fault_type: str | None = None
    """The event type of the downlinks' own fault."""
    downlink_failures: int = 0
    """The number of failed polls since the fault of the downlinks began."""
    downlink_since: float | None = None
    """The start of the downlinks' own fault in Unix seconds; None without such a fault."""
    downlink_probe_at: float | None = None
    """The due time of the next poll in Unix seconds during such a fault; None if none is scheduled."""
    wake_at: float | None = None
    """The due time of the pending wake-up in Unix seconds; None if no wake-up is pending."""
    wake_token: str | None = None
    """The token of the pending wake-up; its removal is conditional on the token."""

    opened_at: float | None = None
    """Unix seconds at which the connection opened first since it was created, activated or changed."""
    faulty_since: float | None = None
    """The start of the time without a connection in Unix seconds. Unlike ``outage_since``, a restart and a change of
    the configuration keep it; None while the connection is open, or before its first fault."""
    outages: list[Outage] = []
    """The longest of the last day's outages that ended, the oldest first, for notifications."""
    fast_since: float | None = None
    """Unix seconds at which a drain proved that the broker is fast; None if the slow lane serves the connection."""

    @property
    def is_fast(self) -> bool:
        """Return whether the fast lane serves the connection."""
        return self.fast_since is not None

    @property
    def breaker_open(self) -> bool:
        """Return whether only a probe may connect to the broker."""
        return self.outage_since is not None

    @property
    def is_down(self) -> bool:
        """Return whether a fault of the whole connection opened the breaker, so that downlinks wait, too."""
        return self.breaker_open and self.fault_scope is not FaultScope.DIRECTION

    @property
    def full_reason(self) -> str | None:
        """The sentence of ``stateReason``. A fault of only one direction begins with the name of the direction.

        The same fault of both, such as a missing exchange, is given once.
        """
        if self.is_down or (self.breaker_open and self.state_reason == self.downlink_reason):
            return self.state_reason
        own = f"Uplinks: {self.state_reason}" if self.breaker_open else self.state_reason
        downlinks = None if self.downlink_since is None else f"Downlinks: {self.downlink_reason}"
        return " ".join(reason for reason in (own, downlinks) if reason) or None

    @property
    def _downlinks(self) -> tuple[ConnectionState | None, str | None]:
        """The state of the downlinks and its reason."""
        if not self.active or not self.configuration.downlink_enabled:
            return None, None
        if self.is_down:
            return ConnectionState.CLOSED, self.state_reason
        return self.downlink_state, self.downlink_reason

    def to_json(self) -> dict[str, Any]:
        """Return the document of the API; it has ``nextAttempt`` only while a probe is scheduled."""
        downlink_state, downlink_reason = self._downlinks
        document = {
            "id": self.id,
            "connectorId": CONNECTOR_ID,
            "name": self.name,
            "active": self.active,
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "configuration": {k: v for k, v in self.configuration.to_json().items() if v is not None},
            "state": self.state.value,
            "stateReason": self.full_reason,
            "downlinkState": None if downlink_state is None else downlink_state.value,
            "downlinkStateReason": downlink_reason,
            "startupTime": self.startup_time,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "version": self.version,
        }
        if self.active and self.breaker_open and self.probe_at is not None:
            document["nextAttempt"] = iso_time(self.probe_at)
        return document


class ConnectionSecrets(BaseModel):
    """The secrets of one connection, stored as one secret in Secrets Manager. ``repr`` shows no value."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    password: str | None = Field(default=None, repr=False)
    private_key: str | None = Field(default=None, repr=False)
    certificate: str | None = Field(default=None, repr=False)
    trusted_ca_certificate: str | None = Field(default=None, repr=False)
    downlink_as_key: str | None = Field(default=None, repr=False)
