"""Decoding of a previewed report with the drivers of flows, as a forwarder decodes it."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from chalicelib.domain.drivers.driver import Driver, fitting, is_automatic
from chalicelib.domain.report import Report, UplinkPayload
from chalicelib.errors import NotFound, Unavailable
from chalicelib.kernel.documents import Document
from chalicelib.network_servers.formats import format_named
from chalicelib.ports.drivers import Codec, CodecAnswer, DriverReader
from chalicelib.uplinks.decoding.decoder import decoding_job, missing_driver, with_answer

_TRIES = 3
"""Attempts while drivers are replaced meanwhile."""


class DecodedPreview(Document):
    """The result of a driver, or its errors; then the report has ``payloadDecodedError`` in place of a payload."""

    driver: str = Field(description="the driver that decodes: for actility:auto:1 the one that fits the device")
    name: str = Field(description="the driver's name")
    payload: Any = Field(description="null if there are errors")
    warnings: list[str]
    errors: list[str]
    milliseconds: float


@dataclass(frozen=True)
class Decoding:
    """A report as it is published, the result of the driver, and the size of the payload in characters of JSON."""

    report: Report
    result: DecodedPreview
    size: int = 0


class PreviewDecoder:
    """Decodes one report with several drivers."""

    def __init__(self, codec: Codec, drivers: DriverReader) -> None:
        self._codec = codec
        self._drivers = drivers

    def decode(self, tenant: str, report: Report, wanted: Iterable[str]) -> dict[str, Decoding]:
        """Return the results by the driver ids of flows, without those that decode nothing of this report.

        Raises Unavailable, also while the codec is down: a forwarder would not publish the report then.
        """
        ids = dict.fromkeys(wanted)
        payload = format_named(report.format).payload(report)
        if not ids or payload is None:
            return {}
        for _ in range(_TRIES):
            with suppress(NotFound):  # Its code was read after it was replaced.
                return self._decode(tenant, report, payload, ids)
        raise Unavailable("a driver was replaced again and again while the report was decoded")

    def _decode(
        self, tenant: str, report: Report, payload: UplinkPayload, ids: Mapping[str, None]
    ) -> dict[str, Decoding]:
        drivers = list(self._drivers.of_tenant(tenant))
        chosen = {each: fitting(drivers, each, payload.models) for each in ids}
        used = list({driver.id: driver for driver in chosen.values() if driver}.values())
        results = {
            driver.id: _decoding(report, driver, answer)
            for driver, answer in zip(used, self._answers(used, payload), strict=True)
        }
        found = {each: results[driver.id] for each, driver in chosen.items() if driver}
        gone = [each for each, driver in chosen.items() if driver is None and not is_automatic(each)]
        return found | {each: _without_driver(report, each) for each in gone}

    def _answers(self, drivers: list[Driver], payload: UplinkPayload) -> list[CodecAnswer]:
        jobs = [decoding_job(driver, payload) for driver in drivers]
        codes = {driver.code_hash: driver for driver in drivers}
        answers: list[CodecAnswer] = []
        while len(answers) < len(jobs):
            answers += self._codec.run(jobs[len(answers) :], lambda name: self._drivers.code(codes[name]))
        return answers


def _decoding(report: Report, driver: Driver, answer: CodecAnswer) -> Decoding:
    published, fault = with_answer(report, answer)
    errors = [] if fault is None else list(answer.errors) or [fault]
    text = answer.data if fault is None else None
    return Decoding(
        report=published,
        result=DecodedPreview(
            driver=driver.id,
            name=driver.name,
            payload=None if text is None else json.loads(text),
            warnings=list(answer.warnings),
            errors=errors,
            milliseconds=answer.milliseconds,
        ),
        size=len(text or ""),
    )


def _without_driver(report: Report, driver_id: str) -> Decoding:
    message = missing_driver(driver_id)
    result = DecodedPreview(
        driver=driver_id, name=driver_id, payload=None, warnings=[], errors=[message], milliseconds=0
    )
    return Decoding(format_named(report.format).with_failure(report, message), result)
