"""Connections: requests, records and secrets."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID, AmqpConfiguration, ConnectorId
from chalicelib.kernel.documents import Document
from chalicelib.kernel.json_schema import Whole
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import ConnectionState


class Recurrence(Document):
    """Days on which an alarm applies."""

    frequency: Literal["daily", "weekly"]
    by_days: list[Annotated[str, Field(max_length=16)]] = Field(default=[], max_length=7)


class Alarm(Document):
    """An alarm on a low rate of uplinks within a daily or weekly window."""

    start_time: str = Field(max_length=64)
    end_time: str = Field(max_length=64)
    timezone: str = Field(default="UTC", max_length=64)
    recurrence: list[Recurrence] = Field(default=[], max_length=7)
    uplink_rate_min_per_hour: Whole = Field(ge=0, le=1_000_000_000)
    message: str = Field(default="", max_length=1024)


class ConnectionRequest(Document):
    """The body of a create or a replace, without the read-only fields."""

    connector_id: ConnectorId
    name: str = Field(min_length=1, max_length=128)
    active: bool = True
    alarms: list[Alarm] = Field(default=[])
    configuration: AmqpConfiguration


class Connection(BaseModel):
    """A connection as it is kept: secrets are elsewhere, only their names and version are here."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    id: str
    name: str
    active: bool
    alarms: list[Alarm] = []
    configuration: AmqpConfiguration
    """``MASK`` stands where a secret is."""
    secret_version: str | None = None
    """Secrets Manager's version id; None for a connection without secrets."""
    old_bindings: list[tuple[str, str]] = []
    """(exchange, binding key) pairs that the downlink queue may still have and is to be freed of."""
    certificate_ends: float | None = None
    """Unix seconds; None without a client certificate."""
    version: int = 1
    created_at: str
    updated_at: str
    startup_time: str | None = None
    state: ConnectionState
    state_reason: str | None = None
    epoch: int = 0
    """Grows with each change of the breaker; conditional writes are made on it."""
    failures: int = 0
    """Attempts that failed since the outage began."""
    outage_since: float | None = None
    """Unix seconds; None while the breaker is closed."""
    probe_at: float | None = None
    wake_at: float | None = None
    wake_token: str | None = None

    @property
    def breaker_open(self) -> bool:
        return self.outage_since is not None

    def to_json(self) -> dict[str, Any]:
        """As the API shows it; ``nextAttempt`` only while the broker is about to be tried again."""
        document = {
            "id": self.id,
            "connectorId": CONNECTOR_ID,
            "name": self.name,
            "active": self.active,
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "configuration": {k: v for k, v in self.configuration.to_json().items() if v is not None},
            "state": self.state.value,
            "stateReason": self.state_reason,
            "startupTime": self.startup_time,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "version": self.version,
        }
        if self.active and self.breaker_open and self.probe_at is not None:
            document["nextAttempt"] = iso_time(self.probe_at)
        return document


class ConnectionSecrets(BaseModel):
    """Secrets of one connection in Secrets Manager. The text form never shows a value."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    password: str | None = Field(default=None, repr=False)
    private_key: str | None = Field(default=None, repr=False)
    certificate: str | None = Field(default=None, repr=False)
    trusted_ca_certificate: str | None = Field(default=None, repr=False)
    downlink_as_key: str | None = Field(default=None, repr=False)
