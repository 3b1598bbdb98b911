"""Which connection must get which report, and with which decoded payload.

A second implementation of flows for the checker, as simple as possible. It uses nothing of the connector's: it compares
the text of each posted report with the matchers that the run sent to the API.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.chaos.records import Arrival, Post

_NOT_DECODED = "com-5002"
"""The code in ``payloadDecodedError``."""
_PAYLOAD_BYTES = 7
_ADDED = re.compile(r',\s*"(payload|payloadDecodedError)"\s*:\s*')


@dataclass(frozen=True)
class FlowOf:
    """A flow of a run, in the order of creation.

    ``matchers``: as in the API. ``connections``: their numbers. ``driver``: the id of the driver that decodes.
    """

    name: str
    matchers: Sequence[Mapping[str, Any]]
    connections: Sequence[int]
    driver: str | None = None


def flow_for(flows: Sequence[FlowOf], connection: int, post: Post) -> FlowOf | None:
    """Return the flow that sends a report to a connection, the first one that matches; None if no flow does."""
    fields = json.loads(post.report)["DevEUI_uplink"]
    for flow in flows:
        if connection in flow.connections and _matches(flow, fields):
            return flow
    return None


def is_named(flows: Sequence[FlowOf], connection: int) -> bool:
    """Return whether a flow names the connection. It gets every report otherwise."""
    return any(connection in flow.connections for flow in flows)


def _matches(flow: FlowOf, fields: Mapping[str, Any]) -> bool:
    if not flow.matchers:
        return True
    models = [model.split(":")[-1].strip() for model in fields.get("ModelCfg", "").split(",")]
    tags = [tag.upper() for tag in [*fields["CustomerData"]["tags"], *models]]
    device = fields["DevEUI"].upper()
    for matcher in flow.matchers:
        if "tags" in matcher:
            if all(tag.upper() in tags for tag in matcher["tags"]):
                return True
            continue
        for key in matcher.get("keys", [matcher.get("key")]):
            wanted = key.split(":")[1].upper()
            if wanted == device or (wanted.endswith("*") and device.startswith(wanted[:-1])):
                return True
    return False


def decoded(post: Post) -> dict[str, Any]:
    """Return the member that the run's driver adds to a report: ``payload``, or the error for a short payload."""
    data = bytes.fromhex(json.loads(post.report)["DevEUI_uplink"]["payload_hex"])
    if len(data) < _PAYLOAD_BYTES:
        return {"payloadDecodedError": _NOT_DECODED}
    counter, device, battery, temperature = (
        int.from_bytes(data[:2], "big"),
        int.from_bytes(data[2:4], "big"),
        data[4],
        int.from_bytes(data[5:7], "big", signed=True),
    )
    return {
        "payload": {"counter": counter, "device": device, "battery": battery, "temperature": temperature / 10}
    }  # fmt: skip


def is_decoded_right(post: Post, arrival: Arrival) -> bool:
    """Return whether a message is the posted report, byte for byte, with the right decoded payload added."""
    added = dict(arrival.added)
    if isinstance(error := added.get("payloadDecodedError"), dict):
        # The message is the driver's own text in the connector's words.
        added["payloadDecodedError"] = error.get("code")
    return arrival.rest == post.digest and added == decoded(post)


def without_added(body: str) -> tuple[str, dict[str, Any]]:
    """Return a message without the member that decoding adds to the end of a report, and that member if it exists."""
    places = list(_ADDED.finditer(body))
    if not places:
        return body, {}
    value, end = json.JSONDecoder().raw_decode(body, places[-1].end())
    return body[: places[-1].start()] + body[end:], {places[-1][1]: value}
