"""Documents that only the API's description uses as models."""

from typing import Annotated, Any, Literal

from pydantic import Field

from chalicelib.connections.preview import PreviewConfiguration
from chalicelib.domain.connection import Alarm, ConnectionRequest
from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID, AmqpConfiguration, ConnectorId
from chalicelib.kernel.documents import Document
from chalicelib.vocabulary import ConnectionState

_IGNORED = "read-only: taken, so that what was read can be sent back, and ignored"


class ConnectionReplacement(ConnectionRequest):
    """A connection as it is to be; ``*****`` keeps a stored secret."""

    id: Annotated[str | None, Field(description="if given, the connection's own")] = None
    state: Annotated[Any, Field(description=_IGNORED)] = None
    state_reason: Annotated[Any, Field(description=_IGNORED)] = None
    startup_time: Annotated[Any, Field(description=_IGNORED)] = None
    next_attempt: Annotated[Any, Field(description=_IGNORED)] = None
    created_at: Annotated[Any, Field(description=_IGNORED)] = None
    updated_at: Annotated[Any, Field(description=_IGNORED)] = None
    version: Annotated[Any, Field(description=_IGNORED)] = None


class NamedConnectionReplacement(ConnectionReplacement):
    """The same, with the connection's id, which is mandatory here."""

    id: Annotated[str, Field(min_length=1)]


class ConnectionTrialRequest(Document):
    """A connection as it would be created, or no more than its configuration."""

    connector_id: ConnectorId = CONNECTOR_ID
    name: str = Field(default="-", min_length=1, max_length=128)
    active: bool = True
    alarms: list[Alarm] = Field(default=[])
    configuration: AmqpConfiguration


class ReadConfiguration(PreviewConfiguration):
    """A configuration as it is read: each secret that is set is ``*****``, what is not set is absent."""


class ReadConnection(Document):
    """A connection as it is read."""

    id: str
    connector_id: ConnectorId
    name: str
    active: bool
    alarms: list[Alarm]
    configuration: ReadConfiguration
    state: ConnectionState
    state_reason: str | None
    startup_time: str | None
    next_attempt: Annotated[str | None, Field(description="absent unless the broker waits to be tried again")] = None
    created_at: str
    updated_at: str
    version: int


class ReadApplicationServer(Document):
    """An application server as it is read; its key is masked."""

    as_id: str
    as_key: Literal["*****"]
    created_at: str


class ConnectorConnection(Document):
    """The part of a connector that describes its connections."""

    configuration_schema: dict[str, Any] = Field(description="the JSON Schema that a configuration is held to")


class Connector(Document):
    """A connector type."""

    id: str
    name: str
    connection: ConnectorConnection


class Accepted(Document):
    """The report is stored for every connection that it is for."""

    status: Literal[200]


class Replayed(Document):
    """The number of replayed messages."""

    replayed: int = Field(ge=0)


class Health(Document):
    """The state of the API."""

    status: Literal["ok"]


class ProblemFault(Document):
    """A violation in a problem document."""

    pointer: str = Field(description="a JSON pointer (RFC 6901); that of a query parameter is its name")
    detail: str


class Problem(Document):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[ProblemFault] | None = None
    request_id: str | None = Field(
        default=None, description="id of a request that ended in a 500, to find it in the log"
    )


class GatewayError(Document):
    """Answer of the gateway itself."""

    code: Annotated[str | None, Field(alias="Code")] = None
    message: Annotated[str, Field(alias="Message")]
