"""Signatures of webhooks by the specification Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
_BYTES = 32
"""Bytes of a key; the specification allows 24 to 64."""


def new_secret() -> str:
    """Return a new random secret, ``whsec_`` and a key in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode("ascii")


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
