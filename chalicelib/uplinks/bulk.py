"""Ingress of report arrays: each report has its own result and keeps the bytes it has in the array."""

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
"""Bytes. A Lambda function accepts 6 MB, API Gateway 10 MB."""
MAX_ENTRIES = 1000
SECONDS = 20.0
"""Time after which no further entry is stored; API Gateway ends a request after 29 seconds."""


class EntryFault(Document):
    """One violation in an entry: a JSON pointer into the entry and a sentence."""

    pointer: str
    detail: str


class EntryResult(Document):
    """Result of one report of an array, with the HTTP status that it would have had alone."""

    status: Literal[200, 413, 422, 503]
    errors: list[EntryFault] | None = None


_STORED = EntryResult(status=200)
_NOT_STORED = EntryResult(
    status=503, errors=[EntryFault(pointer="", detail="This report was not stored; send it again in a few seconds.")]
)


class BulkIngress:
    """Stores the reports of an array through ``Ingress``: devices in parallel, each device's reports in order."""

    def __init__(self, ingress: Ingress, executor: Executor) -> None:
        """``executor`` must not be the ingress's own, because its threads block on tasks of that one."""
        self._ingress = ingress
        self._executor = executor

    def accept(self, tenant: str, body: bytes) -> list[EntryResult]:
        """Return a result for each entry: 200 stored, 413 or 422 refused, 503 not stored and to be sent again.

        After a 503, the later reports of the same device are not stored either, so that a repeat keeps their order.
        Raises Malformed if the body is not JSON, InvalidRequest if it is not an array or has too many entries."""
        text, document = parse_json(body)
        if not isinstance(document, list):
            raise InvalidRequest([Violation("", "The body must be an array of reports.")])
        if len(document) > MAX_ENTRIES:
            detail = f"The array has {len(document)} reports, the limit is {MAX_ENTRIES}; send it in several requests."
            raise InvalidRequest([Violation("", detail)])
        results = [_NOT_STORED] * len(document)
        devices: dict[str, list[tuple[int, Report]]] = {}
        for position, (begin, end) in enumerate(element_spans(text)):
            try:
                report = DEFAULT.parse(text[begin:end].encode())
            except (InvalidRequest, TooLarge) as error:
                results[position] = _refused(error)
            else:
                devices.setdefault(report.group, []).append((position, report))
        stop_at = time.monotonic() + SECONDS
        running = [self._executor.submit(self._store, tenant, reports, stop_at) for reports in devices.values()]
        for future in running:
            for position in future.result():
                results[position] = _STORED
        return results

    def _store(self, tenant: str, reports: Sequence[tuple[int, Report]], stop_at: float) -> list[int]:
        """Store one device's reports in order until one fails; return the positions of the stored ones."""
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
