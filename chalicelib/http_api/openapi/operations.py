"""The table of all operations for the OpenAPI document: bodies, parameters, answers, scopes and examples."""

from typing import Any

from chalicelib.connections.drivers.trials import (
    Decoded,
    DecodeRequest,
    EncodedDownlink,
    EncodeRequest,
    TestRequest,
    TestResult,
)
from chalicelib.connections.flows.preview import FlowPreview, FlowPreviewRequest
from chalicelib.connections.overview.listing import MOST_NUMBERS, Numbers
from chalicelib.connections.overview.summary import Summary
from chalicelib.connections.preview import Preview, PreviewRequest
from chalicelib.connections.replay import ReplayAll, ReplayIds
from chalicelib.connections.statistics import Period, Statistics
from chalicelib.domain.application_server import ApplicationServerRequest
from chalicelib.domain.connection import ConnectionRequest
from chalicelib.domain.connection_test import CheckResult
from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID
from chalicelib.domain.drivers.driver import DriverRequest
from chalicelib.domain.event import Event, Level
from chalicelib.domain.failed_message import Direction, FailedMessage, MessageStatus
from chalicelib.domain.flows.flow import FlowRequest
from chalicelib.domain.messages.history import TracedMessage, TraceStatus
from chalicelib.domain.overview.groups import Order
from chalicelib.http_api.auth import READ, UPLINKS, WRITE
from chalicelib.http_api.bodies import DEFAULT_LIMIT, MAX_LIMIT
from chalicelib.http_api.notifications.operations import NOTIFICATION_OPERATIONS
from chalicelib.http_api.openapi import documents as doc
from chalicelib.http_api.openapi.operation import Operation
from chalicelib.http_api.overview.overview_api import MAX_OFFSET
from chalicelib.uplinks.bulk import EntryResult
from chalicelib.vocabulary import ConnectionState


def _enumeration(values: Any) -> dict[str, Any]:
    return {"type": "string", "enum": [value.value for value in values]}


_CURSOR = {"type": "string", "pattern": "^[A-Za-z0-9_-]{12,}$"}
_STATE = "|".join(ConnectionState)
_STATES = {"type": "string", "pattern": f"^({_STATE})(,({_STATE}))*$"}
_WORDS = {"type": "string", "pattern": "^[A-Z0-9_]+(,[A-Z0-9_]+)*$", "maxLength": 200}
_TIME = {"type": "string", "format": "date-time"}
PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "name": ("a part of the name; upper and lower case are equal", {"type": "string"}),
    "state": ("only connections in these states, separated by commas", _STATES),
    "limit": ("entries on a page", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
    "cursor": ("the start of the page, from the Link header of the previous page", _CURSOR),
    "q": ("a part of the name, the host or the id; upper and lower case are equal", {"type": "string"}),
    "protocol": ("only these protocols, separated by commas", {"type": "string"}),
    "cause": ("only connections with a fault of these causes, as in the summary, separated by commas", _WORDS),
    "sort": ("the order: worst first, or by a column; newest first without it", _enumeration(Order)),
    "descending": ("true: the reverse order", {"type": "boolean", "default": False}),
    "offset": ("connections of the sorted list to leave out", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET}),
    "ids": (f"up to {MOST_NUMBERS} ids of connections, separated by commas", {"type": "string"}),
    "from": ("only events at or after this time", _TIME),
    "to": ("only events at or before this time", _TIME),
    "level": ("only events of this level", _enumeration(Level)),
    "direction": ("only messages of this direction", _enumeration(Direction)),
    "status": ("only messages with this status", _enumeration(MessageStatus)),
    "period": ("the period, up to now", _enumeration(Period) | {"default": Period.HOUR.value}),
    "id": ("the id of the resource", {"type": "string"}),
    "connectionId": ("only flows that name this connection", {"type": "string"}),
    "force": ("true: remove the connection from the flows that name it", {"type": "boolean", "default": False}),
    "LrnDevEui": ("set by the LRC: the device", {"type": "string"}),
    "LrnFPort": ("set by the LRC: the port", {"type": "string"}),
    "LrnInfos": ("set by the LRC: the origin of the report", {"type": "string"}),
    "AS_ID": ("set by the LRC: the application server", {"type": "string"}),
    "Time": ("set by the LRC: the time at which it sent the report", {"type": "string"}),
}

TCP: dict[str, Any] = {
    "connectorId": CONNECTOR_ID,
    "name": "Actility AMQP (TCP) Connection",
    "configuration": {
        "uplinkTopicPattern": "amqp.things.{DevEUI}.uplink",
        "downlinkTopicPattern": "amqp.things.{DevEUI}.downlink",
        "hostName": "amqp.actility.com:5672",
        "protocol": "TCP",
        "username": "mycompany",
        "password": "mypassword",
        "exchangeName": "IotFlowExchange",
    },
}
UPLINK: dict[str, Any] = {
    "DevEUI_uplink": {
        "Time": "2026-11-23T09:00:00.000+01:00",
        "DevEUI": "20635F0106000123",
        "FPort": "2",
        "FCntUp": "7",
        "CustomerID": "100000001",
        "payload_hex": "00ff",
    }
}
FLOW: dict[str, Any] = {
    "name": "Temperature to Paris",
    "matchers": [
        {"type": "thing", "tags": ["TemperatureService", "site=Paris"]},
        {"type": "key", "keys": ["lora:0018b20000000b20", "lora:20635f01*"]},
    ],
    "driver": {"id": "actility:auto:1"},
    "connectors": [],
}
DRIVER: dict[str, Any] = {
    "id": "mycompany:level-sensor:1",
    "name": "Level sensor",
    "signature": "lora-alliance",
    "code": "function decodeUplink(input) { return { data: { level: input.bytes[0] } }; }",
    "models": [{"producerId": "mycompany", "moduleId": "level-sensor", "version": "1"}],
}
_FIELDS = {"type": "object", "properties": {"DevEUI": {"type": ["string", "null"], "pattern": "^[0-9A-Fa-f]{16}$"}}}
_REPORT = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "propertyNames": {"pattern": "^(DevEUI_(?!downlink$)[A-Za-z0-9_]{1,64}|BS_alarm)$"},
    "additionalProperties": _FIELDS,
}
_PAGE = ("limit", "cursor")
_TRACE = {
    "devEUI": ("only messages of this device", {"type": "string", "pattern": "^[0-9A-Fa-f]{16}$"}),
    "connectionId": ("only messages of this connection", {"type": "string"}),
    "from": ("only messages that were accepted at or after this time", _TIME),
    "to": ("only messages that were accepted at or before this time", _TIME),
    "status": ("only messages with this status", _enumeration(TraceStatus)),
}
_LRC = ("LrnDevEui", "LrnFPort", "LrnInfos", "AS_ID", "Time")
_CHANGE = (400, 404, 409, 412, 413, 415, 422)
_ID = "/connections/{id}"
_FLOW = "/flows/{id}"
_DRIVER = "/drivers/{id}"
_TRIAL = (400, 404, 413, 415, 422)

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/health"): Operation("health", "Check that the API answers", None, doc.Health),
    ("GET", "/openapi.json"): Operation("describe_api", "Get this document", None, {"type": "object"}, problems=(422,)),
    ("GET", "/connectors"): Operation("list_connectors", "List the connector types", READ, [doc.Connector]),
    ("GET", "/connectors/{id}"): Operation(
        "get_connector", "Get a connector type", READ, doc.Connector, problems=(404,)
    ),
    ("POST", "/connections"): Operation(
        "create_connection", "Create a connection and connect to its broker", WRITE, doc.ReadConnection, 201,
        body=(ConnectionRequest,), headers=("Location", "ETag"), problems=(400, 409, 413, 415, 422),
        examples={"TCP": TCP},
    ),
    ("GET", "/connections"): Operation(
        "list_connections", "List the connections, newest first or sorted", READ, [doc.ReadConnection],
        query=("name", "state", *_PAGE, "sort", "descending", "offset", "q", "protocol", "cause"),
        headers=("Link", "Total-Count"), problems=(422,),
    ),
    ("PUT", "/connections"): Operation(
        "replace_connection_named_in_body", "Replace the connection that the body names", WRITE, doc.ReadConnection,
        body=(doc.NamedConnectionReplacement,), headers=("ETag",), problems=_CHANGE,
        examples={"TCP": TCP | {"id": "01JD0000000000000000000000"}},
    ),
    ("DELETE", "/connections"): Operation(
        "delete_connection_named_in_query", "Delete the connection that the query names", WRITE, None, 204,
        query=("id", "force"), required=("id",), problems=(404, 409, 412, 422),
    ),
    ("POST", "/connections/test"): Operation(
        "test_unsaved_connection", "Test a configuration without saving it", WRITE, CheckResult,
        body=(doc.ConnectionTrialRequest,), problems=(400, 413, 415, 422, 429),
        examples={"TCP": {"configuration": TCP["configuration"]}},
    ),
    ("POST", "/connections/preview"): Operation(
        "preview_message", "Preview the message that would be published for a report", READ, Preview,
        body=(PreviewRequest,), problems=(400, 413, 415, 422),
        examples={
            "uplink": {"configuration": {"uplinkTopicPattern": "things.{DevEUI}.uplink"}, "uplink": UPLINK}
        },
    ),
    ("GET", _ID): Operation(
        "get_connection", "Get a connection", READ, doc.ReadConnection, headers=("ETag",), problems=(404,)
    ),
    ("PUT", _ID): Operation(
        "replace_connection", "Replace the whole configuration", WRITE, doc.ReadConnection,
        body=(doc.ConnectionReplacement,), headers=("ETag",), problems=_CHANGE, examples={"TCP": TCP},
    ),
    ("PATCH", _ID): Operation(
        "patch_connection", "Change some fields: a JSON merge patch (RFC 7396)", WRITE, doc.ReadConnection,
        body={"type": "object", "description": "the fields of the connection to change"},
        media_types=("application/merge-patch+json", "application/json"), headers=("ETag",), problems=_CHANGE,
        examples={"name": {"name": "Another name"}},
    ),
    ("DELETE", _ID): Operation(
        "delete_connection", "Delete a connection, its secret and its queued messages", WRITE, None, 204,
        query=("force",), problems=(404, 409, 412, 422),
    ),
    ("POST", f"{_ID}/restart"): Operation(
        "restart_connection", "Discard the retry schedule and connect now", WRITE, doc.ReadConnection, 202,
        headers=("ETag",), problems=(404, 409),
    ),
    ("POST", f"{_ID}/test"): Operation(
        "test_connection", "Test a saved connection", WRITE, CheckResult, problems=(404, 429)
    ),
    ("GET", "/connections/summary"): Operation(
        "summarise_connections", "Count the connections by state, group their faults and add up their messages", READ,
        Summary,
    ),
    ("GET", "/connections/statistics"): Operation(
        "list_statistics", "Get the numbers of some connections over the last hour", READ, [Numbers],
        query=("ids",), required=("ids",), problems=(422,),
    ),
    ("GET", f"{_ID}/statistics"): Operation(
        "get_statistics", "Get active devices, message counts and a time series", READ, Statistics,
        query=("period",), problems=(404, 422),
    ),
    ("GET", f"{_ID}/messages"): Operation(
        "list_messages", "List the messages that failed for good, newest first", READ, [FailedMessage],
        query=("direction", "status", *_PAGE), headers=("Link",), problems=(404, 422),
    ),
    ("DELETE", f"{_ID}/messages"): Operation(
        "purge_messages", "Delete the failed messages", WRITE, None, 204,
        query=("status", "direction"), required=("status",), problems=(404, 422),
    ),
    ("GET", f"{_ID}/messages/{{messageId}}"): Operation(
        "get_failed_message", "Get a failed message with its body", READ, FailedMessage, problems=(404,)
    ),
    ("GET", "/messages"): Operation(
        "follow_messages", "Follow messages: each with its history, the newest step first", READ, [TracedMessage],
        query=("devEUI", "connectionId", "from", "to", "status", "direction", *_PAGE), parameters=_TRACE,
        headers=("Link",), problems=(404, 422),
    ),
    ("POST", f"{_ID}/messages/replay"): Operation(
        "replay_messages", "Put failed messages back in the queue; unknown ids are ignored", WRITE,
        doc.Replayed, 202, body=(ReplayIds, ReplayAll), problems=(400, 404, 413, 415, 422),
        examples={"all": {"all": True}, "some": {"ids": ["01JD0000000000000000000000"]}},
    ),
    ("GET", f"{_ID}/events"): Operation(
        "list_connection_events", "List a connection's events, newest first", READ, [Event],
        query=("from", "to", "level", *_PAGE), headers=("Link",), problems=(404, 422),
    ),
    ("GET", "/events"): Operation(
        "list_events", "List all events of the tenant, newest first", READ, [Event],
        query=("from", "to", "level", *_PAGE), headers=("Link",), problems=(422,),
    ),
    ("POST", "/flows"): Operation(
        "create_flow", "Create a flow; the next accepted report follows it", WRITE, doc.ReadFlow, 201,
        body=(FlowRequest,), headers=("Location", "ETag"), problems=(400, 409, 413, 415, 422), examples={"flow": FLOW},
    ),
    ("GET", "/flows"): Operation(
        "list_flows", "List the flows, newest first", READ, [doc.ReadFlow],
        query=("connectionId", "name", *_PAGE), headers=("Link",), problems=(422,),
    ),
    ("PUT", "/flows"): Operation(
        "replace_flow_named_in_body", "Replace the flow that the body names", WRITE, doc.ReadFlow,
        body=(doc.NamedFlowReplacement,), headers=("ETag",), problems=_CHANGE,
        examples={"flow": FLOW | {"id": "01JD0000000000000000000000"}},
    ),
    ("DELETE", "/flows"): Operation(
        "delete_flow_named_in_query", "Delete the flow that the query names", WRITE, None, 204,
        query=("id",), required=("id",), problems=(404, 412, 422),
    ),
    ("POST", "/flows/preview"): Operation(
        "preview_flows", "Preview which connections a report would reach, and by which flows", READ, FlowPreview,
        body=(FlowPreviewRequest,), problems=(400, 413, 415, 422), examples={"uplink": {"uplink": UPLINK}},
    ),
    ("GET", _FLOW): Operation("get_flow", "Get a flow", READ, doc.ReadFlow, headers=("ETag",), problems=(404,)),
    ("PUT", _FLOW): Operation(
        "replace_flow", "Replace a flow", WRITE, doc.ReadFlow,
        body=(doc.FlowReplacement,), headers=("ETag",), problems=_CHANGE, examples={"flow": FLOW},
    ),
    ("PATCH", _FLOW): Operation(
        "patch_flow", "Change some fields of a flow: a JSON merge patch (RFC 7396)", WRITE, doc.ReadFlow,
        body={"type": "object", "description": "the fields of the flow to change"},
        media_types=("application/merge-patch+json", "application/json"), headers=("ETag",), problems=_CHANGE,
        examples={"off": {"active": False}},
    ),
    ("DELETE", _FLOW): Operation("delete_flow", "Delete a flow", WRITE, None, 204, problems=(404, 412)),
    ("POST", "/drivers"): Operation(
        "create_driver", "Create a driver; its code is compiled", WRITE, doc.ReadDriver, 201,
        body=(DriverRequest,), headers=("Location", "ETag"), problems=(400, 409, 413, 415, 422),
        examples={"driver": DRIVER},
    ),
    ("GET", "/drivers"): Operation(
        "list_drivers", "List the drivers by id, without their code", READ, [doc.ListedDriver],
        query=("name", *_PAGE), headers=("Link",), problems=(422,),
    ),
    ("POST", "/drivers/test"): Operation(
        "test_driver", "Run code that is not saved: one call, examples, or both", WRITE, TestResult,
        body=(TestRequest,), problems=(400, 413, 415, 422),
        examples={"call": {"code": DRIVER["code"], "bytes": "2a", "fPort": 1}},
    ),
    ("GET", _DRIVER): Operation(
        "get_driver", "Get a driver with its code", READ, doc.ReadDriver, headers=("ETag",), problems=(404,)
    ),
    ("PUT", _DRIVER): Operation(
        "replace_driver", "Replace a driver", WRITE, doc.ReadDriver,
        body=(doc.DriverReplacement,), headers=("ETag",), problems=_CHANGE, examples={"driver": DRIVER},
    ),
    ("DELETE", _DRIVER): Operation(
        "delete_driver", "Delete a driver that no flow names", WRITE, None, 204, problems=(404, 409, 412)
    ),
    ("POST", f"{_DRIVER}/decode-uplink"): Operation(
        "decode_uplink", "Decode the payload of an uplink", READ, Decoded,
        body=(DecodeRequest,), problems=_TRIAL, examples={"payload": {"bytes": "2a", "fPort": 1}},
    ),
    ("POST", f"{_DRIVER}/decode-downlink"): Operation(
        "decode_downlink", "Decode the payload of a downlink", READ, Decoded,
        body=(DecodeRequest,), problems=_TRIAL, examples={"payload": {"bytes": "2a", "fPort": 1}},
    ),
    ("POST", f"{_DRIVER}/encode-downlink"): Operation(
        "encode_downlink", "Encode the payload of a downlink", READ, EncodedDownlink,
        body=(EncodeRequest,), problems=_TRIAL, examples={"object": {"data": {"interval": 60}}},
    ),
    ("POST", "/application-servers"): Operation(
        "create_application_server", "Register an application server of the network server", WRITE,
        doc.ReadApplicationServer, 201, body=(ApplicationServerRequest,), headers=("Location",),
        problems=(400, 409, 413, 415, 422), examples={"server": {"asId": "TWA_100000001.1", "asKey": "0a1b2c3d"}},
    ),
    ("GET", "/application-servers"): Operation(
        "list_application_servers", "List the application servers", READ, [doc.ReadApplicationServer]
    ),
    ("DELETE", "/application-servers/{asId}"): Operation(
        "delete_application_server", "Delete an application server and its key", WRITE, None, 204, problems=(404,)
    ),
    **NOTIFICATION_OPERATIONS,
    ("POST", "/uplinks"): Operation(
        "deliver_report", "Deliver a report, or an array of reports with a bearer token", UPLINKS,
        {"anyOf": [doc.Accepted, [EntryResult]]}, body={"anyOf": [_REPORT, {"type": "array", "maxItems": 1000}]},
        query=_LRC, problems=(400, 413, 415, 422), lrc=True, examples={"uplink": UPLINK},
    ),
}  # fmt: skip
