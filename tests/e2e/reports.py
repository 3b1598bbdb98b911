"""Reports as a network server writes them."""

import json
from datetime import UTC, datetime
from typing import Any


def uplink(device: int, counter: int, **fields: Any) -> dict[str, Any]:
    return {
        "DevEUI_uplink": {
            "Time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "DevEUI": f"70B3D5E75E{device:06X}",
            "FPort": 2,
            "FCntUp": counter,
            "payload_hex": f"{counter:08x}",
            "LrrRSSI": -83.0,
            "LrrSNR": 9.50,
            "CustomerID": "100000507",
            "CustomerData": {"name": "Zähler 7 · Büro", "tags": ["site=Paris"]},
            **fields,
        }
    }


def odd_bytes(device: int, counter: int) -> bytes:
    """A report whose bytes no JSON library would reproduce: spaces, escapes, a trailing zero."""
    text = json.dumps(uplink(device, counter), ensure_ascii=False)
    return (" " + text.replace('"LrrSNR": 9.5', '"LrrSNR" :\t9.50').replace("Büro", "B\\u00fcro") + " \n").encode()
