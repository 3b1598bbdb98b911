"""Requests to the running stack as files, so that the README's curl commands need no shell variables."""

import json
import os
from pathlib import Path
from typing import Any

from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID

EXAMPLES = "examples"
"""The folder in the stack's directory."""


def connection_request(
    stack: dict[str, Any], *, name: str, exchange: str, topic: str, ssl: bool, downlinks: bool = True
) -> dict[str, Any]:
    """Build the request that creates a connection to the stack's broker. ``stack``: the document in stack.json."""
    amqp, server = stack["amqp"], stack["applicationServer"]
    configuration = {
        "protocol": "TCP",
        "hostName": f"{amqp['host']}:{amqp['port']}",
        "uplinkTopicPattern": f"{topic}.{{DevEUI}}.uplink",
        "downlinkTopicPattern": f"{topic}.{{DevEUI}}.downlink",
        # A busy disk confirms late, and after a time-out the next attempt would come after the demo's end.
        "actionTimeout": 10000,
        "exchangeName": exchange,
        "username": amqp["username"],
        "password": amqp["password"],
        "downlinkAsId": server["asId"],
        "downlinkAsKey": server["asKey"],
    }
    if ssl:
        configuration |= {
            "protocol": "SSL",
            "hostName": f"{amqp['host']}:{amqp['tlsPort']}",
            "certificate": Path(amqp["clientCertificateFile"]).read_text(encoding="ascii"),
            "privateKey": Path(amqp["clientKeyFile"]).read_text(encoding="ascii"),
            "trustedCaCertificate": Path(amqp["caFile"]).read_text(encoding="ascii"),
        }
    if not downlinks:
        configuration["downlinkEnabled"] = False
    return {"connectorId": CONNECTOR_ID, "name": name, "configuration": configuration}


def write_examples(directory: Path, stack: dict[str, Any]) -> None:
    """Write headers, connection requests and an uplink to ``directory``. Only the owner may read them."""
    directory.mkdir(mode=0o700, exist_ok=True)
    topic = "amqp.things"
    requests = {
        "tcp.json": connection_request(stack, name="My broker", exchange="amq.topic", topic=topic, ssl=False),
        "ssl.json": connection_request(stack, name="My broker, SSL", exchange="amq.topic", topic=topic, ssl=True),
        "uplink.json": {
            "DevEUI_uplink": {"DevEUI": "70B3D5E75E000001", "FPort": 2, "FCntUp": 1, "payload_hex": "0a0b"},
        },
    }
    for name, document in requests.items():
        _write(directory / name, json.dumps(document, indent=2) + "\n")
    _write(directory / "headers", f"Authorization: Bearer {stack['token']}\nContent-Type: application/json\n")


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
