"""Results of encoders, and what is wrong with them."""

import json
from dataclasses import dataclass

from chalicelib.vocabulary import FailureReason

MAX_PAYLOAD = 242
"""The longest LoRaWAN payload of any region, in bytes."""
_MAX_PORT = 224
_BYTE = 255


@dataclass(frozen=True)
class Encoded:
    """A payload in upper-case hex digits; ``f_port`` is None if the encoder gives none."""

    payload_hex: str
    f_port: int | None


class EncodeFailed(Exception):
    """A payload that cannot be encoded. ``reason``: PAYLOAD_NOT_ENCODABLE, or DRIVER_FAILED."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def encoded(bytes_text: str, f_port_text: str | None) -> Encoded:
    """Return what an encoder gave, from its JSON. Raises ValueError with a sentence."""
    given = json.loads(bytes_text)
    if isinstance(given, str):
        try:
            payload = bytes.fromhex(given)
        except ValueError:
            raise ValueError("The encoder's bytes are a string that is not hexadecimal.") from None
    elif isinstance(given, list) and all(_is_byte(each) for each in given):
        payload = bytes(int(each) for each in given)
    else:
        raise ValueError("The encoder's bytes must be an array of whole numbers from 0 to 255.")
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"The encoder gave {len(payload)} bytes; a frame has at most {MAX_PAYLOAD}.")
    port = None if f_port_text is None else json.loads(f_port_text)
    if port is not None and not (_is_byte(port) and 1 <= port <= _MAX_PORT):
        raise ValueError(f"The encoder's fPort must be a whole number from 1 to {_MAX_PORT}.")
    return Encoded(payload.hex().upper(), None if port is None else int(port))


def _is_byte(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and value == int(value) and 0 <= value <= _BYTE
    )
