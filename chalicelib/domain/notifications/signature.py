"""Signatures of webhooks by the specification Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
_BYTES, _FEWEST, _MOST = 32, 24, 64
"""Bytes of a new key, and those that the specification allows."""


def new_secret() -> str:
    """Return a new random secret, ``whsec_`` and a key in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode("ascii")


def is_secret(text: object) -> bool:
    """Return whether a text is a secret of the specification."""
    if not isinstance(text, str) or not text.startswith(_PREFIX):
        return False
    try:
        return _FEWEST <= len(base64.b64decode(text.removeprefix(_PREFIX), validate=True)) <= _MOST
    except (binascii.Error, ValueError):
        return False


def signed_headers(keys: Sequence[str], message_id: str, timestamp: int, body: str) -> dict[str, str]:
    """Return the headers of a message: its id, the Unix seconds of the attempt, and one signature for each secret.

    During a rotation the receiver may still have the old secret, so the message is signed with both.
    """
    signed = f"{message_id}.{timestamp}.{body}".encode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_signature(key, signed)}" for key in keys),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
