"""Conversion between connections and the items of their table.

Another release may have stored an item, so reading checks no limit and keeps what this release does not know:
attributes stay because no update names them, and fields inside ``configuration`` and ``alarms`` are written again.
"""

import json
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from pydantic import ValidationError

from chalicelib.adapters.aws.dynamodb import to_item
from chalicelib.domain.connection import Alarm, Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.kernel.stored_documents import read_stored, unread_fields
from chalicelib.vocabulary import ConnectionState

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
)
BREAKER = ("state", "stateReason", "startupTime", "failures", "outageSince", "probeAt", "faultScope", "fastSince")
DOWNLINKS = ("downlinkState", "downlinkReason", "downlinkFailures", "downlinkSince", "downlinkProbeAt")

SHARDS = 8
"""Partitions of each index. A partition accepts 1,000 writes a second."""

SCHEMA = 1
"""The number of the item's format. A release that changes the meaning of an attribute increments it."""


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
        "downlinkState": None if connection.downlink_state is None else connection.downlink_state.value,
        "downlinkReason": connection.downlink_reason,
        # Left out when 0, as in records without the field.
        "downlinkFailures": connection.downlink_failures or None,
        "downlinkSince": connection.downlink_since,
        "downlinkProbeAt": connection.downlink_probe_at,
        "wakeAt": connection.wake_at,
        "wakeToken": connection.wake_token,
        "fastSince": connection.fast_since,
        "activeSince": connection.updated_at if connection.active else None,
    }


def connection_of(item: Mapping[str, Any]) -> Connection:
    """Return the connection of an item. Raises ValidationError if an attribute is unreadable."""
    configuration = read_stored(AmqpConfiguration, item["configuration"])
    alarms = [(alarm, _alarm_of(alarm)) for alarm in json.loads(item["alarms"])]
    return Connection(
        tenant=item["tenant"],
        id=item["id"],
        name=item["name"],
        active=item["active"],
        alarms=[alarm for _, alarm in alarms if alarm is not None],
        configuration=configuration,
        unread_configuration=unread_fields(configuration, item["configuration"]),
        unread_alarms=[fields for fields, alarm in alarms if alarm is None or unread_fields(alarm, fields)],
        secret_version=item.get("secretVersion"),
        certificate_ends=item.get("certificateEnds"),
        old_bindings=item.get("oldBindings", []),
        version=item["version"],
        created_at=item["createdAt"],
        updated_at=item["updatedAt"],
        startup_time=item.get("startupTime"),
        state=_state_of(item["state"]),
        state_reason=item.get("stateReason"),
        epoch=item["epoch"],
        failures=item["failures"],
        outage_since=item.get("outageSince"),
        probe_at=item.get("probeAt"),
        fault_scope=item.get("faultScope"),
        downlink_state=item.get("downlinkState"),
        downlink_reason=item.get("downlinkReason"),
        downlink_failures=item.get("downlinkFailures", 0),
        downlink_since=item.get("downlinkSince"),
        downlink_probe_at=item.get("downlinkProbeAt"),
        wake_at=item.get("wakeAt"),
        wake_token=item.get("wakeToken"),
        fast_since=item.get("fastSince"),
    )


def _state_of(value: Any) -> ConnectionState:
    """Return the state of a stored value. An unknown one reads as CLOSED until the breaker changes."""
    try:
        return ConnectionState(value)
    except ValueError:
        return ConnectionState.CLOSED


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
    return {name: value for name, value in known.items() if value is not None}
