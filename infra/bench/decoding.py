"""Time of a report with and without a driver of 20 KB: the whole way from the received body to the AMQP message."""

import io
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chalicelib.adapters.aws.drivers.codec import LambdaCodec
from chalicelib.adapters.codec.handler import CodecHandler
from chalicelib.adapters.codec.processes import Worker
from chalicelib.domain.connection import Connection
from chalicelib.monitoring import Monitoring
from chalicelib.network_servers.thingpark.reports import parse_report, summary_of
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.decoding.decoder import PayloadDecoder
from chalicelib.uplinks.decoding.tenant_drivers import TenantDrivers
from chalicelib.uplinks.settlement import prepare_all
from infra.bench.broker import bench_connection
from infra.local.in_memory import MemoryDrivers, MemoryEventLog, MemoryStatistics

REPORTS = 100
ROUNDS = 30
STARTS = 10
GOAL_MILLISECONDS = 5.0
GOAL_RATE = 1000
_DRIVER = "bench:sensor:1"
_SIZE = 20_000
_BODY = """function decodeUplink(input) {
  const buffer = Buffer.from(input.bytes), data = { port: input.fPort, time: input.recvTime, values: [] };
  for (let at = 0; at + 1 < buffer.length; at += 2) {
    data.values.push({ id: buffer[at], name: names[buffer[at] % names.length], value: buffer.readInt16BE(at) / 100 });
  }
  return { data, warnings: [] };
}
const names = ["temperature", "humidity", "battery", "level"];
"""


class _InProcess:
    """A client of Lambda whose function is the codec in a process of this machine, as in a warm environment."""

    def __init__(self, handler: CodecHandler) -> None:
        self._handler = handler

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: ARG002, N803  # boto3's names
        return {"Payload": io.BytesIO(json.dumps(self._handler.handle(json.loads(Payload))).encode())}


def measure() -> tuple[float, float]:
    """Print the figures. Return the milliseconds of a report with a driver, and the reports per second of a drain."""
    worker = Worker()
    decoder = _decoder(worker)
    connection = bench_connection(5672)
    try:
        without = _milliseconds(lambda: _prepare(decoder, connection, _reports(None)))
        with_one = _milliseconds(lambda: _prepare(decoder, connection, _reports(_DRIVER)))
        processor = _processor(worker, lambda: _prepare(decoder, connection, _reports(_DRIVER)))
    finally:
        worker.stop()
    rate = 1000 / with_one
    print(f"report without a driver, chunks of {REPORTS}: {without:.3f} ms, {1000 / without:,.0f} reports/s")
    print(
        f"report with a driver of {_SIZE // 1000} KB, chunks of {REPORTS}: {with_one:.3f} ms "
        f"(goal {GOAL_MILLISECONDS:g} ms: {_verdict(with_one <= GOAL_MILLISECONDS)}), {rate:,.0f} reports/s "
        f"(goal {GOAL_RATE:,}: {_verdict(rate >= GOAL_RATE)}), {processor:.3f} ms of CPU in both processes, which is "
        f"{1000 / processor:,.0f} reports/s on a core without other work"
    )
    starts = [_start(connection) for _ in range(STARTS)]
    seconds, used = (statistics.median(each[part] for each in starts) for part in (0, 1))
    print(
        f"first report of a new codec process: {seconds * 1000:.0f} ms, {used * 1000:.0f} ms of CPU in that process "
        "(the function's own start: part cold-start)"
    )
    return with_one, rate


def _decoder(worker: Worker) -> PayloadDecoder:
    """Return a decoder with empty caches whose codec runs drivers in the worker's process."""
    drivers = MemoryDrivers()
    drivers.put("bench", _DRIVER, driver())
    codec = LambdaCodec(_InProcess(CodecHandler(worker)), "codec")
    monitoring = Monitoring(MemoryEventLog(), MemoryStatistics(), time.time)
    return PayloadDecoder(codec, TenantDrivers(drivers, time.monotonic, 5), monitoring, time.monotonic)


def _start(connection: Connection) -> tuple[float, float]:
    """Return the seconds until a new process has decoded its first report, and its CPU seconds."""
    worker = Worker()
    decoder = _decoder(worker)
    try:
        return _prepare(decoder, connection, _reports(_DRIVER)[:1]), _used_by(worker)
    finally:
        worker.stop()


def driver() -> str:
    """Return a driver of 20 KB: a decoder, and functions and tables that it does not use."""
    parts, number = [_BODY], 0
    while sum(map(len, parts)) < _SIZE:
        number += 1
        parts.append(
            f"function helper{number}(a, b) {{ if (a > b) return a; const t = [{number}, 2, 3]; return t[b % 3]; }}\n"
            f"const table{number} = {{ a: {number}, b: 'text {number}', c: [1, 2, 3, {{ d: true }}] }};\n"
        )
    return "".join(parts)


def _reports(driver_id: str | None) -> list[ReceivedReport]:
    made = []
    for number in range(REPORTS):
        fields = {
            "DevEUI": f"{number:016X}",
            "Time": "2026-11-27T09:00:00.000+01:00",
            "FPort": "2",
            "FCntUp": str(number),
            "CustomerID": "100000001",
            "payload_hex": f"{number:04x}" * 12,
            "Lrrs": {
                "Lrr": [{"Lrrid": f"0800{gateway:04x}", "LrrRSSI": -101.0, "LrrSNR": 7.5} for gateway in range(8)]
            },
        }
        body = json.dumps({"DevEUI_uplink": fields})
        summary = summary_of(parse_report(body.encode()))
        receipt = str(number)
        made.append(
            ReceivedReport(receipt, receipt, fields["DevEUI"], body, time.time(), 1, driver=driver_id, summary=summary)  # type: ignore[arg-type]
        )
    return made


def _prepare(decoder: PayloadDecoder, connection: Connection, reports: list[ReceivedReport]) -> float:
    """Return the seconds that the chunk took."""
    began = time.perf_counter()
    decoded = decoder.decode(connection, reports, time.monotonic() + 60)
    messages, _ = prepare_all(reports, connection, time.time(), decoded)
    seconds = time.perf_counter() - began
    if len(messages) != len(reports) or any(
        (b'"payload":{' in message.body) is (report.driver is None)
        for message, report in zip(messages, reports, strict=True)
    ):
        raise RuntimeError("not all reports were decoded")
    return seconds


def _milliseconds(chunk: Callable[[], float]) -> float:
    for _ in range(3):
        chunk()
    return statistics.median(chunk() for _ in range(ROUNDS)) / REPORTS * 1000


def _processor(worker: Worker, chunk: Callable[[], float]) -> float:
    """Return the CPU milliseconds of a report in this process and in the one that runs drivers."""

    began = time.process_time() + _used_by(worker)
    for _ in range(ROUNDS):
        chunk()
    return (time.process_time() + _used_by(worker) - began) / ROUNDS / REPORTS * 1000


def _used_by(worker: Worker) -> float:
    """Return the CPU seconds of the worker's process."""
    fields = Path(f"/proc/{worker.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    # The last two are those of its children, each of which handled a batch.
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _verdict(met: object) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    measure()
