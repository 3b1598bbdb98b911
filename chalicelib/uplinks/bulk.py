"""Many reports in one request: each answered for itself, each forwarded with the bytes it has in the array."""

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Literal

from chalicelib.domain.report import Report
from chalicelib.errors import InvalidRequest, TooLarge, Unavailable, Violation
from chalicelib.kernel.documents import Document
from chalicelib.kernel.strict_json import element_spans, parse_json
from chalicelib.network_servers.formats import DEFAULT
from chalicelib.uplinks.ingress import Ingress

MAX_BULK_SIZE = 4 << 20
"""Bytes. A function takes 6 MB, API Gateway 10."""
MAX_ENTRIES = 1000
SECONDS = 20.0
"""Seconds after which no further entry is started, because a request has 29 seconds."""


class EntryFault(Document):
    """One thing that is wrong with an entry: a JSON pointer into it and a sentence."""

    pointer: str
    detail: str


class EntryResult(Document):
    """Result of one report of an array."""

    status: Literal[200, 413, 422, 503]
    errors: list[EntryFault] | None = None


_STORED = EntryResult(status=200)
_LATER = EntryResult(
    status=503, errors=[EntryFault(pointer="", detail="This report is not stored; send it again in a few seconds.")]
)


class BulkIngress:
    """Stores an array of reports, each answered independently."""

    def __init__(self, ingress: Ingress, executor: Executor) -> None:
        """Create the service. ``executor`` must not be the ingress's own, because its threads wait for that one."""
        self._ingress = ingress
        self._executor = executor

    def accept(self, tenant: str, body: bytes) -> list[EntryResult]:
        """An answer for each entry of the array: 200 stored, 413 or 422 refused, 503 to be sent again.

        The order of a device's reports is kept: after one that could not be stored its later ones are not stored
        either. Raises Malformed when the array is not JSON, InvalidRequest when it has too many entries."""
        text, document = parse_json(body)
        if not isinstance(document, list):
            raise InvalidRequest([Violation("", "Send an array of reports.")])
        if len(document) > MAX_ENTRIES:
            detail = f"An array has at most {MAX_ENTRIES} reports, this one {len(document)}; send it in parts."
            raise InvalidRequest([Violation("", detail)])
        results = [_LATER] * len(document)
        devices: dict[str, list[tuple[int, Report]]] = {}
        for position, (begin, end) in enumerate(element_spans(text)):
            try:
                report = DEFAULT.parse(text[begin:end].encode())
            except (InvalidRequest, TooLarge) as error:
                results[position] = _refused(error)
            else:
                devices.setdefault(report.group, []).append((position, report))
        stop_at = time.monotonic() + SECONDS
        running = [self._executor.submit(self._store, tenant, part, stop_at) for part in devices.values()]
        for future in running:
            for position in future.result():
                results[position] = _STORED
        return results

    def _store(self, tenant: str, reports: Sequence[tuple[int, Report]], stop_at: float) -> list[int]:
        """Stores one device's reports in their order; returns the positions of those that are stored."""
        stored: list[int] = []
        for position, report in reports:
            if time.monotonic() > stop_at:
                break
            try:
                self._ingress.store(tenant, report)
            except Unavailable:
                break
            stored.append(position)
        return stored


def _refused(error: InvalidRequest | TooLarge) -> EntryResult:
    if isinstance(error, TooLarge):
        return EntryResult(status=413, errors=[EntryFault(pointer="", detail=str(error))])
    violations = [EntryFault(pointer=violation.pointer, detail=violation.detail) for violation in error.violations]
    return EntryResult(status=422, errors=violations)
