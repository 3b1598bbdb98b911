"""Flows of a tenant: the request and the stored record."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID, ConnectorId
from chalicelib.domain.connectors.common import duration
from chalicelib.kernel.documents import Document
from chalicelib.kernel.durations import DURATION

MAX_CONNECTORS = 50
MAX_MATCHERS = 100
MAX_TAGS = 50
"""Maximum number of tags of one matcher."""
MAX_KEYS = 10_000
"""Maximum number of keys in all matchers of a flow."""
KEY = r"^[Ll][Oo][Rr][Aa]:([0-9A-Fa-f]{16}|[0-9A-Fa-f]{6,16}\*)$"
"""A key: ``lora:`` and a DevEUI, or at least six of its digits and an asterisk, as a JSON Schema pattern."""

_KEY = re.compile(KEY)


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError(
            "write lora: and a DevEUI of 16 hex digits, or lora:, at least its first six digits, and *, such as "
            "lora:0018b200*"
        )
    return text


Key = Annotated[str, AfterValidator(_key), Field(json_schema_extra={"pattern": KEY})]
Tag = Annotated[str, Field(min_length=1, max_length=255)]


def _of_kind(kind: str, *required: str) -> dict[str, Any]:
    """Return the schema of a matcher with one of the fields ``required`` and without the others."""
    alternatives: list[Any] = [
        {
            "required": [name],
            "properties": {
                other: {"not": {"type": "null"}} if other == name else {"type": "null"}
                for other in ("tags", "key", "keys")
            },
        }
        for name in required
    ]
    return {"properties": {"type": {"const": kind}}, "anyOf": alternatives}


class Matcher(Document):
    """A condition on a report: all ``tags`` (type thing), or one of the devices in ``key`` or ``keys`` (type key)."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_of_kind("thing", "tags"), _of_kind("key", "key", "keys")]})

    type: Literal["thing", "key"]
    tags: list[Tag] | None = Field(default=None, min_length=1, max_length=MAX_TAGS)
    key: Key | None = None
    keys: list[Key] | None = Field(default=None, min_length=1, max_length=MAX_KEYS)

    @property
    def all_keys(self) -> list[str]:
        """The keys of ``key`` and ``keys``."""
        return [*([] if self.key is None else [self.key]), *(self.keys or [])]


class FlowConnector(Document):
    """A connection that a flow sends to; ``uplinkTimeValidity`` replaces the connection's."""

    id: ConnectorId = CONNECTOR_ID
    connection_id: str = Field(min_length=1, max_length=64)
    uplink_time_validity: (
        Annotated[str, AfterValidator(duration), Field(json_schema_extra={"pattern": DURATION})] | None
    ) = None


class FlowDriver(Document):
    """The driver that decodes the reports of a flow, ``producerId:moduleId:version``."""

    id: str = Field(min_length=1, max_length=255)


class FlowRequest(Document):
    """The body of a request that creates or replaces a flow, without the read-only fields."""

    name: str = Field(min_length=1, max_length=128)
    description: str | None = Field(default=None, max_length=1024)
    active: bool = True
    matchers: list[Matcher] = Field(
        default=[], max_length=MAX_MATCHERS, description="joined by OR; without matchers, every report matches"
    )
    driver: FlowDriver | None = None
    connectors: list[FlowConnector] = Field(default=[], max_length=MAX_CONNECTORS)


class Flow(BaseModel):
    """The stored record of a flow. The order of the ids is the order of creation.

    ``driver`` is the id as it was given, such as ``actility:auto:1``. Changes are conditional on ``version``.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    id: str
    name: str
    description: str | None = None
    active: bool = True
    matchers: list[Matcher] = []
    driver: str | None = None
    connectors: list[FlowConnector] = []
    version: int = 1
    created_at: str
    updated_at: str

    def names(self, connection_id: str) -> bool:
        """Return whether the connection is among the connectors."""
        return any(connector.connection_id == connection_id for connector in self.connectors)

    @property
    def size(self) -> int:
        """The number of keys and tags."""
        return sum(len(matcher.tags or []) + len(matcher.all_keys) for matcher in self.matchers)

    def to_json(self) -> dict[str, Any]:
        """Return the document of the API, without fields that are not set."""
        document: dict[str, Any] = {"id": self.id, "name": self.name}
        if self.description is not None:
            document["description"] = self.description
        document |= {
            "active": self.active,
            "matchers": [_without_nulls(matcher) for matcher in self.matchers],
            "connectors": [_without_nulls(connector) for connector in self.connectors],
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "version": self.version,
        }
        if self.driver is not None:
            document["driver"] = {"id": self.driver}
        return document


def _without_nulls(document: Document) -> dict[str, Any]:
    return document.model_dump(mode="json", by_alias=True, exclude_none=True)
