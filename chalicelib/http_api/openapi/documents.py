"""Models of request and response bodies that only the OpenAPI document uses."""

from typing import Annotated, Any, Literal

from pydantic import Field

from chalicelib.connections.flows.preview import RoutingMode
from chalicelib.connections.preview import PreviewConfiguration
from chalicelib.domain.connection import Alarm, ConnectionRequest
from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID, AmqpConfiguration, ConnectorId
from chalicelib.domain.drivers.driver import DriverRequest, Model, Signature
from chalicelib.domain.flows.flow import FlowRequest
from chalicelib.domain.notice import Notice
from chalicelib.kernel.documents import Document
from chalicelib.vocabulary import ConnectionState

_IGNORED = "read-only: accepted and ignored, so that a client can send back a document that it has read"


class ConnectionReplacement(ConnectionRequest):
    """The new state of a connection; ``*****`` keeps a stored secret."""

    id: Annotated[str | None, Field(description="if present, the connection's id")] = None
    state: Annotated[Any, Field(description=_IGNORED)] = None
    state_reason: Annotated[Any, Field(description=_IGNORED)] = None
    downlink_state: Annotated[Any, Field(description=_IGNORED)] = None
    downlink_state_reason: Annotated[Any, Field(description=_IGNORED)] = None
    startup_time: Annotated[Any, Field(description=_IGNORED)] = None
    next_attempt: Annotated[Any, Field(description=_IGNORED)] = None
    created_at: Annotated[Any, Field(description=_IGNORED)] = None
    updated_at: Annotated[Any, Field(description=_IGNORED)] = None
    version: Annotated[Any, Field(description=_IGNORED)] = None
    routing: Annotated[Any, Field(description=_IGNORED)] = None
    warnings: Annotated[Any, Field(description=_IGNORED)] = None


class NamedConnectionReplacement(ConnectionReplacement):
    """The new state of a connection, with the mandatory id of the connection."""

    id: Annotated[str, Field(min_length=1)]


class ConnectionTrialRequest(Document):
    """A connection as in a request to create it, or its configuration only."""

    connector_id: ConnectorId = CONNECTOR_ID
    name: str = Field(default="-", min_length=1, max_length=128)
    active: bool = True
    alarms: list[Alarm] = Field(default=[])
    configuration: AmqpConfiguration


class ReadConfiguration(PreviewConfiguration):
    """A configuration in responses: each stored secret is ``*****``, and unset fields are absent."""


class ReadConnection(Document):
    """A connection in responses."""

    id: str
    connector_id: ConnectorId
    name: str
    active: bool
    alarms: list[Alarm]
    configuration: ReadConfiguration
    state: ConnectionState
    state_reason: Annotated[
        str | None,
        Field(
            description="the failure and its remedy; begins with Uplinks: or Downlinks: if the other direction works"
        ),
    ]
    downlink_state: Annotated[
        Literal["OPENED", "CLOSED"] | None,
        Field(description="null while downlinks are disabled or before the first poll"),
    ]
    downlink_state_reason: str | None
    startup_time: str | None
    next_attempt: Annotated[
        str | None, Field(description="the next attempt to connect; absent while the breaker is closed")
    ] = None
    created_at: str
    updated_at: str
    version: int
    routing: Annotated[
        RoutingMode, Field(description="all: no flow names the connection, so it receives every report; else flows")
    ]
    warnings: list[Notice] = Field(
        default=[], description="effects of a create or change that may not be intended; absent if there are none"
    )


class FlowReplacement(FlowRequest):
    """The new state of a flow."""

    id: Annotated[str | None, Field(description="if present, the flow's id")] = None
    created_at: Annotated[Any, Field(description=_IGNORED)] = None
    updated_at: Annotated[Any, Field(description=_IGNORED)] = None
    version: Annotated[Any, Field(description=_IGNORED)] = None


class NamedFlowReplacement(FlowReplacement):
    """The new state of a flow, with the mandatory id of the flow."""

    id: Annotated[str, Field(min_length=1)]


class ReadFlow(FlowRequest):
    """A flow in responses; fields that are not set are absent."""

    id: str
    created_at: str
    updated_at: str
    version: int


class DriverReplacement(DriverRequest):
    """The new state of a driver."""

    id: Annotated[str | None, Field(description="if present, the driver's id")] = None  # type: ignore[assignment]
    code_size: Annotated[Any, Field(description=_IGNORED)] = None
    created_at: Annotated[Any, Field(description=_IGNORED)] = None
    updated_at: Annotated[Any, Field(description=_IGNORED)] = None
    version: Annotated[Any, Field(description=_IGNORED)] = None


class ListedDriver(Document):
    """A driver in a list; ``description`` is absent if it is not set."""

    id: str
    name: str
    description: str | None = None
    signature: Signature
    models: list[Model]
    code_size: int = Field(description="the size of the code in bytes of UTF-8")
    created_at: str
    updated_at: str
    version: int


class ReadDriver(ListedDriver):
    """A driver in responses, with its code."""

    code: str


class ReadApplicationServer(Document):
    """An application server in responses, with its key masked."""

    as_id: str
    as_key: Literal["*****"]
    created_at: str


class ConnectorConnection(Document):
    """The schema of a connector's connections."""

    configuration_schema: dict[str, Any] = Field(description="the JSON Schema of a configuration")


class Connector(Document):
    """A connector type."""

    id: str
    name: str
    connection: ConnectorConnection


class Accepted(Document):
    """The report is stored in the queue of every matching connection."""

    status: Literal[200]


class Replayed(Document):
    """The number of messages that were put back in the queue."""

    replayed: int = Field(ge=0)
    remaining: Annotated[
        int | None, Field(ge=1, description="ids that the time did not suffice for: send them again; absent if none")
    ] = None
    under_way: Annotated[
        Literal[True] | None, Field(description="with all: the other messages follow within minutes; absent if none")
    ] = None


class Health(Document):
    """The answer of an API with usable settings."""

    status: Literal["ok"]
    release: str = Field(description="the release of the functions")


class ProblemFault(Document):
    """One violation of a request."""

    pointer: str = Field(description="a JSON pointer (RFC 6901); for a query parameter, a slash and its name")
    detail: str
    line: int | None = Field(default=None, description="a syntax error in code only: the line, from 1")
    column: int | None = None


class Problem(Document):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[ProblemFault] | None = None
    request_id: str | None = Field(default=None, description="status 500 only: the id of the request in the log")


class GatewayError(Document):
    """An error that API Gateway answers itself."""

    code: Annotated[str | None, Field(alias="Code")] = None
    message: Annotated[str, Field(alias="Message")]
