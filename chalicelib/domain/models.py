"""The documents of the API, the tables and the queues. Field names outside are the camelCase of those here."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chalicelib.kernel.durations import DURATION, parse_duration
from chalicelib.kernel.json_schema import TOGETHER, Whole
from chalicelib.state import ConnectionState

CONNECTOR_ID = "actility-amqp-0.9.1-iot"
MASK = "*****"
SECRET_FIELDS = ("password", "privateKey", "certificate", "trustedCaCertificate", "downlinkAsKey")


def iso(moment: datetime) -> str:
    """UTC with milliseconds, such as ``2026-11-23T09:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_time(seconds: float) -> str:
    """The same of Unix seconds."""
    return iso(datetime.fromtimestamp(seconds, UTC))


class Document(BaseModel):
    """Unknown fields are refused, so that a typing error is not lost."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


class Protocol(StrEnum):
    TCP = "TCP"
    SSL = "SSL"


class ReconnectStrategy(StrEnum):
    CALM = "CALM"
    NORMAL = "NORMAL"
    AGGRESSIVE = "AGGRESSIVE"


def _duration(value: str) -> str:
    parse_duration(value)
    return value


class AmqpConfiguration(Document):
    """How the tenant's broker is reached, and what is sent there.

    Source: the connector's specification. What the types cannot say (PEM, patterns, hosts) is in ``validation``.
    """

    model_config = ConfigDict(json_schema_extra={"allOf": TOGETHER})

    host_name: str = Field(min_length=1, max_length=260, description="host or host:port; IPv6 in brackets")
    protocol: Protocol
    uplink_topic_pattern: str = Field(min_length=1, max_length=1024)
    downlink_topic_pattern: str | None = Field(default=None, min_length=1, max_length=255)
    username: str | None = Field(default=None, min_length=1, max_length=255)
    password: str | None = Field(default=None, min_length=1, max_length=4096)
    certificate: str | None = Field(default=None, min_length=1, max_length=32768)
    private_key: str | None = Field(default=None, min_length=1, max_length=16384)
    trusted_ca_certificate: str | None = Field(default=None, min_length=1, max_length=32768)
    exchange_name: str = Field(default="amq.topic", max_length=255)
    virtual_host: str = Field(default="/", min_length=1, max_length=255)
    connection_timeout: Whole = Field(default=5000, ge=100, le=10000, description="milliseconds")
    action_timeout: Whole = Field(default=1000, ge=100, le=10000, description="milliseconds to wait for a confirm")
    description: str | None = Field(default=None, max_length=1024)
    send_metadata: bool = False
    send_raw_decoded_format: bool = False
    uplink_time_validity: (
        Annotated[str, AfterValidator(_duration), Field(json_schema_extra={"pattern": DURATION})] | None
    ) = None
    downlink_enabled: bool = True
    downlink_as_id: str | None = Field(default=None, min_length=1, max_length=255)
    downlink_as_key: str | None = Field(default=None, min_length=1, max_length=255)
    downlink_port: Whole | None = Field(default=None, ge=1, le=224)
    reconnect_strategy: ReconnectStrategy = ReconnectStrategy.NORMAL
    create_devices: bool = True


class PreviewConfiguration(AmqpConfiguration):
    """A configuration of which a preview needs no more than the pattern and what cuts the body."""

    model_config = ConfigDict(json_schema_extra=None)

    host_name: str | None = Field(default=None, max_length=260)  # type: ignore[assignment]
    protocol: Protocol | None = None  # type: ignore[assignment]


class PreviewRequest(Document):
    configuration: PreviewConfiguration
    uplink: dict[str, Any] = Field(description='a report, such as {"DevEUI_uplink": {...}}')


class PreviewProperties(BaseModel):
    """AMQP's properties, named as AMQP names them."""

    content_type: str
    content_encoding: str
    delivery_mode: int
    message_id: str
    timestamp: int | None = None
    type: str
    app_id: str


class Preview(Document):
    """What would be published. ``body`` is the text as it would be sent."""

    routing_key: str
    headers: dict[str, str | int]
    properties: PreviewProperties
    body: str


class Recurrence(Document):
    frequency: Literal["daily", "weekly"]
    by_days: list[Annotated[str, Field(max_length=16)]] = Field(default=[], max_length=7)


class Alarm(Document):
    start_time: str = Field(max_length=64)
    end_time: str = Field(max_length=64)
    timezone: str = Field(default="UTC", max_length=64)
    recurrence: list[Recurrence] = Field(default=[], max_length=7)
    uplink_rate_min_per_hour: Whole = Field(ge=0, le=1_000_000_000)
    message: str = Field(default="", max_length=1024)


class ConnectionRequest(Document):
    """The body of a create or a replace, without the read-only fields."""

    connector_id: Literal["actility-amqp-0.9.1-iot"]
    name: str = Field(min_length=1, max_length=128)
    active: bool = True
    alarms: list[Alarm] = []
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
    """Secrets Manager's version id; None when there is no secret field."""
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
    """What stands in Secrets Manager for one connection. Its text form never shows a value."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    password: str | None = Field(default=None, repr=False)
    private_key: str | None = Field(default=None, repr=False)
    certificate: str | None = Field(default=None, repr=False)
    trusted_ca_certificate: str | None = Field(default=None, repr=False)
    downlink_as_key: str | None = Field(default=None, repr=False)


class ApplicationServerRequest(Document):
    as_id: str = Field(min_length=1, max_length=255, pattern=r"^[\w.@:-]+$")
    as_key: str = Field(min_length=1, max_length=255, repr=False)


class ApplicationServer(BaseModel):
    """An application server as the network server knows it; its key is in Secrets Manager under ``secret_id``."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    as_id: str
    secret_id: str
    secret_version: str
    created_at: str


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Direction(StrEnum):
    UPLINK = "uplink"
    DOWNLINK = "downlink"


class Event(Document):
    id: str
    time: str
    level: Level
    type: str
    connection_id: str | None = None
    message: str
    details: dict[str, Any] = {}


class FailedMessage(Document):
    """A message that failed for good, with the reason and the body."""

    id: str
    time: str
    direction: Direction
    status: Literal["failed"] = "failed"
    reason: str
    detail: str
    dev_eui: Annotated[str | None, Field(alias="devEUI")] = None
    routing_key: str | None = None
    attempts: int = 1
    body: str
    message_id: Annotated[str, Field(exclude=True)] = ""
    """The AMQP ``message_id``, which a replay keeps."""
    as_key_secret: Annotated[str | None, Field(exclude=True)] = None
    """Secrets Manager's name of the AS key that came with a downlink."""


class EntryFault(Document):
    """One thing that is wrong with an entry: a JSON pointer into it and a sentence."""

    pointer: str
    detail: str


class EntryResult(Document):
    """What became of one report of an array."""

    status: Literal[200, 413, 422, 503]
    errors: list[EntryFault] | None = None


class MessageStatus(StrEnum):
    """Of messages that can be listed: what waits for the broker is in SQS, which cannot be looked into."""

    FAILED = "failed"


class ReplayIds(Document):
    ids: list[str] = Field(max_length=1000)


class ReplayAll(Document):
    all: Literal[True]


class CheckStep(Document):
    """One step of a connection's test; ``detail`` says what was found, or what to do about it."""

    name: Literal["resolve", "connect", "tls", "authenticate", "vhost", "exchange", "downlink"]
    ok: bool
    milliseconds: int = Field(ge=0)
    detail: str


class CheckResult(Document):
    """A connection's test: the steps up to the first that failed."""

    ok: bool
    steps: list[CheckStep]
