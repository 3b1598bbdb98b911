"""Generated uplink reports, as large and as nested as those of a ThingPark network server: 1.2 to 2 KB of JSON."""

import json
import random
from typing import Any

from chalicelib.domain.connection import Connection
from chalicelib.network_servers.thingpark.reports import parse_report
from chalicelib.ports.publishing import OutgoingMessage
from chalicelib.uplinks.outgoing import message_id, outgoing

_QUANTITIES = {
    "temperature": "Cel", "humidity": "%RH", "pressure": "hPa", "co2Level": "ppm", "light": "lx", "soilMoisture": "%",
    "batteryVoltage": "mV", "batteryLevel": "%", "distance": "mm", "flow": "l/min",
}  # fmt: skip
_MODELS = ("level", "climate", "meter", "parking", "tracker")


def report_body(device: int, counter: int) -> bytes:
    """Return the report number ``counter`` of a device. The same numbers give the same bytes."""
    chance = random.Random(f"{device} {counter}")  # noqa: S311  # test data
    gateways = [_reception(chance) for _ in range(chance.randint(2, 4))]
    best = gateways[0]
    quantities = {name: round(chance.uniform(-20, 1000), 2) for name in chance.sample(list(_QUANTITIES), 4)}
    model = _MODELS[device % len(_MODELS)]
    fields: dict[str, Any] = {
        "Time": f"2026-11-27T09:{counter // 60 % 60:02}:{counter % 60:02}.{chance.randint(0, 999):03}+01:00",
        "DevEUI": f"{device:016X}",
        "FPort": chance.randint(1, 20),
        "FCntUp": counter,
        "ADRbit": 1,
        "MType": chance.choice((2, 4)),
        "FCntDn": chance.randint(1, 60_000),
        "payload_hex": chance.randbytes(chance.randint(8, 40)).hex(),
        "mic_hex": chance.randbytes(4).hex(),
        "Lrcid": "000000A1",
        "LrrRSSI": best["LrrRSSI"],
        "LrrSNR": best["LrrSNR"],
        "LrrESP": best["LrrESP"],
        "SpFact": chance.randint(7, 12),
        "SubBand": f"G{chance.randint(0, 3)}",
        "Channel": f"LC{chance.randint(1, 8)}",
        "DevLrrCnt": len(gateways),
        "Lrrid": best["Lrrid"],
        "Late": 0,
        "LrrLAT": round(chance.uniform(45, 55), 6),
        "LrrLON": round(chance.uniform(0, 10), 6),
        "Lrrs": {"Lrr": gateways},
        "CustomerID": "100000042",
        "CustomerData": {
            "loc": {"lat": f"{chance.uniform(45, 55):.4f}", "lon": f"{chance.uniform(0, 10):.4f}"},
            "alr": {"pro": f"bench/{model}", "ver": "1"},
            "tags": [f"site={device % 50}", "bench"],
            "name": f"Sensor {device}",
        },
        "ModelCfg": f"1:Bench{model.capitalize()},2:Archive",
        "DriverCfg": {
            "mod": {"pId": "bench", "mId": model, "ver": "1"},
            "app": {"pId": "bench", "mId": "generic", "ver": "1"},
            "id": f"bench:{model}:1",
        },
        "InstantPER": 0.0,
        "MeanPER": round(chance.random() / 100, 6),
        "DevAddr": chance.randbytes(4).hex().upper(),
        "AckRequested": 0,
        "rawMacCommands": "",
        "TxPower": 14.0,
        "NbTrans": 1,
        "Frequency": round(863 + 0.2 * chance.randint(0, 35), 1),
        "DynamicClass": "A",
        "payload": {**quantities, "status": {"alarm": False, "errors": [], "tilt": {"x": 1, "y": -3, "z": 88}}},
        "points": {
            name: {"unitId": _QUANTITIES[name], "type": "double", "record": value}
            for name, value in quantities.items()
        },
    }  # fmt: skip
    return json.dumps({"DevEUI_uplink": fields}, separators=(",", ":")).encode()


def _reception(chance: random.Random) -> dict[str, Any]:
    strength = -chance.randint(30, 118)
    return {
        "Lrrid": chance.randbytes(4).hex().upper(),
        "Chain": 0,
        "LrrRSSI": float(strength),
        "LrrSNR": chance.randint(-40, 40) / 4,
        "LrrESP": round(strength - chance.random() * 3, 6),
        "GwOp": "bench",
    }


def bench_messages(connection: Connection, devices: int) -> list[OutgoingMessage]:
    """Return the first report of each device as the message that the forwarder publishes for it."""
    messages = []
    for device in range(devices):
        report = parse_report(report_body(device, 1))
        name = message_id(connection.id, report)
        messages.append(outgoing(report, connection, name, name))
    return messages
