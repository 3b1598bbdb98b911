"""The LRC's side of the uplink interface: signs a report and posts it.

It implements the interface description without the connector's code, so that each checks the other.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import urllib3

_JSON = {"Content-Type": "application/json"}
_NO_RETRIES = urllib3.Retry(0, redirect=False)


def decoded_query(items: Sequence[tuple[str, str]]) -> str:
    """The query without URL encoding, as the token covers it."""
    return "&".join(f"{name}={value}" for name, value in items)


def body_elements(report: Mapping[str, Any]) -> str:
    """The elements of a report (with its root) that the token covers."""
    [(root, fields)] = report.items()
    names: tuple[str, ...] = {"DevEUI_downlink_Sent": ("CustomerID", "DevEUI", "FPort", "FCntDn")}.get(
        root, ("CustomerID", "DevEUI")
    )
    if root == "DevEUI_uplink":
        names = ("CustomerID", "DevEUI", "FPort", "FCntUp", "payload_hex")
        fields = {"FPort": 0, **fields}
    if root == "DevEUI_location":
        fields = {**fields, "DevEUI": str(fields.get("DevEUI", "")).lower()}
    return "".join(str(fields.get(name, "")) for name in names)


def uplink_token(report: Mapping[str, Any], items: Sequence[tuple[str, str]], as_key: str) -> str:
    """The token of an uplink report. ``items`` are the query parameters in the order sent, without Token."""
    return hashlib.sha256((body_elements(report) + decoded_query(items) + as_key).encode()).hexdigest()


def downlink_token(items: Sequence[tuple[str, str]], as_key: str) -> str:
    """The token of a downlink. ``items`` are the query parameters in the order sent, without Token."""
    return hashlib.sha256((decoded_query(items) + as_key).encode()).hexdigest()


def timestamp(moment: datetime) -> str:
    """A time in the LRC's format, with milliseconds and an offset."""
    return moment.isoformat(timespec="milliseconds")


@dataclass
class Lrc:
    """A network server that delivers to one application server."""

    api_url: str
    as_id: str
    as_key: str = field(repr=False)
    timeout: float = 30.0
    _pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(maxsize=16), repr=False)

    def parameters(self, report: Mapping[str, Any], moment: datetime | None = None) -> list[tuple[str, str]]:
        """The query of a report in the LRC's order, its Token last."""
        [(root, fields)] = report.items()
        items = [("LrnDevEui", str(fields["DevEUI"]))] if "DevEUI" in fields else []
        if "FPort" in fields or root == "DevEUI_uplink":
            items.append(("LrnFPort", str(fields.get("FPort", 0))))
        items += [
            ("LrnInfos", f"{self.as_id}.AS-1-1"),
            ("AS_ID", self.as_id),
            ("Time", timestamp(moment or datetime.now(UTC))),
        ]
        return [*items, ("Token", uplink_token(report, items, self.as_key))]

    def post(self, report: Mapping[str, Any], moment: datetime | None = None, body: bytes | None = None) -> int:
        """Posts one report and returns the answer's status. Raises urllib3's HTTPError when the API does not answer.

        ``body``: the report in another form than json.dumps gives it.
        """
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in self.parameters(report, moment))
        answer = self._pool.request(
            "POST",
            f"{self.api_url}/uplinks?{query}",
            body=json.dumps(report).encode() if body is None else body,
            headers=_JSON,
            timeout=self.timeout,
            retries=_NO_RETRIES,
        )
        return answer.status
