"""Conversion between connections and the items of their table.

Another release may have stored an item, so reading checks no limit and keeps what this release does not know:
attributes stay because no update names them, and fields inside ``configuration`` and ``alarms`` are written again.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, TypeVar
from zlib import crc32

from pydantic import ValidationError

from chalicelib.adapters.aws.dynamodb import to_item
from chalicelib.domain.amqp_limits import MAX_CONNECTIONS
from chalicelib.domain.connection import Alarm, Connection, Outage
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.overview.entry import listed, listed_downlinks, listed_state
from chalicelib.kernel.stored_documents import read_stored, unread_fields
from chalicelib.monitoring import log
from chalicelib.monitoring.metrics import metrics
from chalicelib.vocabulary import ConnectionState, FaultScope, Metric

E = TypeVar("E", bound=StrEnum)

GENERATION = "#tenant"
"""The id of the item with a tenant's generation and number of connections."""

CHANGEABLE = (
    "name",
    "active",
    "alarms",
    "configuration",
    "secretVersion",
    "oldBindings",
    "certificateEnds",
    "version",
    "updatedAt",
    "listed",
)
BREAKER = (
    "state",
    "stateReason",
    "startupTime",
    "failures",
    "outageSince",
    "probeAt",
    "faultScope",
    "faultType",
    "fastSince",
    "openedAt",
    "listedState",
)
DOWNLINKS = (
    "downlinkState",
    "downlinkReason",
    "downlinkFaultType",
    "downlinkFailures",
    "downlinkSince",
    "downlinkProbeAt",
    "listedDownlinks",
)
OUTAGES = ("faultySince", "outages")
"""The history of the breaker, which a change of the configuration leaves alone."""

SHARDS = 8
"""Partitions of each index. A partition accepts 1,000 writes a second."""

SCHEMA = 1
"""The number of the item's format. A release that changes the meaning of an attribute increments it."""

_ATTRIBUTES = {
    "tenant": "tenant",
    "id": "id",
    "name": "name",
    "active": "active",
    "secret_version": "secretVersion",
    "certificate_ends": "certificateEnds",
    "old_bindings": "oldBindings",
    "version": "version",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "startup_time": "startupTime",
    "state_reason": "stateReason",
    "epoch": "epoch",
    "failures": "failures",
    "outage_since": "outageSince",
    "probe_at": "probeAt",
    "fault_type": "faultType",
    "downlink_reason": "downlinkReason",
    "downlink_fault_type": "downlinkFaultType",
    "downlink_since": "downlinkSince",
    "downlink_probe_at": "downlinkProbeAt",
    "wake_at": "wakeAt",
    "wake_token": "wakeToken",
    "fast_since": "fastSince",
    "opened_at": "openedAt",
    "faulty_since": "faultySince",
}
"""The fields of a connection that are attributes of the same value, with the attributes' names."""
_UNKNOWN_TO_FIRST_RELEASE = {"maxConnections": MAX_CONNECTIONS}
"""Fields with their defaults, which are not stored: the first release cannot read a configuration with them."""
_STAND_INS: dict[str, Any] = {"active": False, "created_at": "", "updated_at": "", "version": 0}
"""Values in place of unreadable mandatory attributes."""
_PLACEHOLDERS = {"hostName": "", "protocol": "TCP", "uplinkTopicPattern": ""}
"""Values with which a configuration is read whose mandatory fields are unreadable."""


def pending_id(connection_id: str) -> str:
    """Return the id of the item that records a create or delete in progress."""
    return f"#pending#{connection_id}"


def next_generation(tenant: str, difference: int) -> dict[str, Any]:
    """Return the action that increments the tenant's generation and adds to its number of connections."""
    return {
        "Update": {
            "Key": to_item({"tenant": tenant, "id": GENERATION}),
            "UpdateExpression": "ADD generation :one, connections :difference",
            "ExpressionAttributeValues": to_item({":one": 1, ":difference": difference}),
        }
    }


def shard_of(connection_id: str) -> str:
    """Return the index partition of a connection, from ``0`` to ``7``."""
    return str(crc32(connection_id.encode()) % SHARDS)


def record_of(connection: Connection) -> dict[str, Any]:
    """Return the attributes of a connection's item. Attributes that are None must be left out of the item."""
    return {
        "tenant": connection.tenant,
        "id": connection.id,
        "schema": SCHEMA,
        "shard": shard_of(connection.id),
        "name": connection.name,
        "active": connection.active,
        # As text, because the API does not bound the numbers in alarms and a DynamoDB number has 38 digits.
        "alarms": json.dumps(_stored_alarms(connection), ensure_ascii=False),
        "configuration": _stored_configuration(connection),
        "secretVersion": connection.secret_version,
        "certificateEnds": connection.certificate_ends,
        "oldBindings": [list(binding) for binding in connection.old_bindings] or None,
        "version": connection.version,
        "createdAt": connection.created_at,
        "updatedAt": connection.updated_at,
        "startupTime": connection.startup_time,
        "state": connection.state.value,
        "stateReason": connection.state_reason,
        "epoch": connection.epoch,
        "failures": connection.failures,
        "outageSince": connection.outage_since,
        "probeAt": connection.probe_at,
        "faultScope": None if connection.fault_scope is None else connection.fault_scope.value,
        "faultType": connection.fault_type,
        "downlinkState": None if connection.downlink_state is None else connection.downlink_state.value,
        "downlinkReason": connection.downlink_reason,
        "downlinkFaultType": connection.downlink_fault_type,
        # Left out when 0, as in records without the field.
        "downlinkFailures": connection.downlink_failures or None,
        "downlinkSince": connection.downlink_since,
        "downlinkProbeAt": connection.downlink_probe_at,
        "wakeAt": connection.wake_at,
        "wakeToken": connection.wake_token,
        "fastSince": connection.fast_since,
        "openedAt": connection.opened_at,
        "faultySince": connection.faulty_since,
        # Left out when empty, as in records without the field.
        "outages": [outage.model_dump(exclude_none=True) for outage in connection.outages] or None,
        "activeSince": connection.updated_at if connection.active else None,
        "listed": listed(connection),
        "listedState": listed_state(connection),
        "listedDownlinks": listed_downlinks(connection),
    }


def connection_of(item: Mapping[str, Any]) -> Connection:
    """Return the connection of an item. An unreadable item gives a connection with a ``fault`` and is logged."""
    configuration, wrong = _configuration_of(item.get("configuration"))
    alarms, unread_alarms, listed = _alarms_of(item.get("alarms", "[]"))
    values = {attribute: item.get(name) for attribute, name in _ATTRIBUTES.items()}
    values |= {"configuration": configuration, "alarms": alarms, "unread_alarms": unread_alarms}
    values |= {"old_bindings": item.get("oldBindings", []), "state": _state_of(item.get("state"))}
    values |= {
        "outages": _outages_of(item.get("outages")),
        "fault_scope": _member(FaultScope, item.get("faultScope")),
        "downlink_state": _member(ConnectionState, item.get("downlinkState")),
        "downlink_failures": item.get("downlinkFailures", 0),
    }
    stored = item.get("configuration")
    if isinstance(stored, dict):
        values["unread_configuration"] = {
            name: value for name, value in unread_fields(configuration, stored).items() if name not in wrong
        }
    faults = [f"configuration.{name}" if name else "configuration" for name in wrong]
    if not listed:
        faults.append("alarms")
    if not faults:
        try:
            return Connection(**values)
        except ValidationError as error:
            faults = [_ATTRIBUTES.get(name, name) for name in _places(error)]
    return _with_fault(values, faults[0])


def _with_fault(values: dict[str, Any], fault: str) -> Connection:
    """Return a connection of the readable ``values``, with stand-ins for the others."""
    tenant, connection_id = values["tenant"], values["id"]
    metrics.add(Metric.UNREADABLE)
    log.error("unreadable record", extra={"tenant": tenant, "connection": connection_id, "field": fault})
    stand_ins = _STAND_INS | {"name": connection_id}
    try:
        Connection(**stand_ins | values)
    except ValidationError as error:
        values = {name: value for name, value in values.items() if name not in _places(error)}
    reason = (
        f"The stored record cannot be read by this release: {fault}. Update the connection, or contact the operator."
    )
    state = {"state": ConnectionState.CLOSED, "state_reason": reason, "probe_at": None, "fault": fault}
    return Connection(**stand_ins | values | state)


def _places(error: ValidationError) -> list[str]:
    """Return the names of the top-level fields with an error."""
    places = (item["loc"] for item in error.errors(include_url=False, include_context=False, include_input=False))
    return list(dict.fromkeys(str(place[0]) if place else "" for place in places))


def _configuration_of(stored: Any) -> tuple[AmqpConfiguration, list[str]]:
    """Return the configuration of a stored value, without its unreadable fields, and the names of these.

    The name of a value that is no object is empty.
    """
    wrong: list[str] = []
    try:
        return read_stored(AmqpConfiguration, stored), wrong
    except ValidationError as error:
        wrong = _places(error)
    readable = {name: value for name, value in stored.items() if name not in wrong} if isinstance(stored, dict) else {}
    read = read_stored(AmqpConfiguration, _PLACEHOLDERS | readable)
    names = {field.alias: name for name, field in AmqpConfiguration.model_fields.items()}
    missing = {*wrong, *_PLACEHOLDERS} - readable.keys()
    fields = {name: value for name, value in read if name not in {names.get(alias) for alias in missing}}
    return AmqpConfiguration.model_construct(**fields), wrong


def _alarms_of(stored: Any) -> tuple[list[Alarm], list[Any], bool]:
    """Return the readable alarms, the stored fields of alarms that are not fully read, and False if it is no list."""
    try:
        given = json.loads(stored)
    except (TypeError, ValueError):
        given = None
    if not isinstance(given, list):
        return [], [], False
    alarms = [(fields, _alarm_of(fields)) for fields in given]
    readable = [alarm for _, alarm in alarms if alarm is not None]
    return readable, [fields for fields, alarm in alarms if alarm is None or unread_fields(alarm, fields)], True


def _state_of(value: Any) -> ConnectionState:
    """Return the state of a stored value. An unknown one reads as CLOSED until the breaker changes."""
    try:
        return ConnectionState(value)
    except ValueError:
        return ConnectionState.CLOSED


def _member(enumeration: type[E], value: Any) -> E | None:
    """Return the member of a stored value, None if it is absent or unknown."""
    try:
        return enumeration(value)
    except ValueError:
        return None


def _outages_of(stored: Any) -> list[Outage]:
    """Return the readable outages of a stored value."""
    outages = []
    for fields in stored if isinstance(stored, list) else ():
        with suppress(ValidationError):
            outages.append(Outage.model_validate(fields))
    return outages


def _alarm_of(fields: Any) -> Alarm | None:
    """Return the alarm in stored fields, None if it is unreadable."""
    try:
        return read_stored(Alarm, fields)
    except ValidationError:
        return None


def _stored_alarms(connection: Connection) -> list[Any]:
    """Return the alarms to store: those with unread fields keep them unless they change, unreadable ones stay."""
    unread = [(_alarm_of(fields), fields) for fields in connection.unread_alarms]
    alarms = [
        next((fields for known, fields in unread if known == alarm), alarm.to_json()) for alarm in connection.alarms
    ]
    return alarms + [fields for known, fields in unread if known is None]


def _stored_configuration(connection: Connection) -> dict[str, Any]:
    """Return the configuration to store, with its unread fields.

    A known field keeps its unread value, such as an unknown member of an enumeration, unless the field changes.
    """
    known, unread = connection.configuration.to_json(), connection.unread_configuration
    if unread:
        read = read_stored(AmqpConfiguration, known | unread).to_json()
        known |= {name: value for name, value in unread.items() if name not in read or read[name] == known[name]}
    return {
        name: value
        for name, value in known.items()
        if value is not None and value != _UNKNOWN_TO_FIRST_RELEASE.get(name)
    }
