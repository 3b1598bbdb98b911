"""Memory of a full drain, measured in a new process."""

import json
import os
import subprocess
import sys
import time

import boto3

from chalicelib.adapters.aws.sqs import SqsUplinkQueues, SqsWakeQueue
from chalicelib.config import Settings
from infra.bench.broker import bench_connection
from infra.local.aws import data_stack
from infra.local.aws.emulation import emulation

MEMORY_GOAL = 160
"""MB."""
REPORTS = 1000
REPORT_BYTES = 256 * 1024


def _run(argv: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout


def drain_memory(port: int, password: str) -> None:
    """Prints the peak memory of a forwarder that drains ``REPORTS`` reports of the maximum size from SQS (moto)."""
    with emulation():
        _fill(bench_connection(port).id)
        began = time.monotonic()
        argv = [sys.executable, "-m", "infra.bench.drain_once", str(port)]
        result = json.loads(_run(argv, {**os.environ, "BENCH_PASSWORD": password}).splitlines()[-1])
        seconds = time.monotonic() - began
    if result["delivered"] != REPORTS:
        raise RuntimeError(f"{result['delivered']} of {REPORTS} reports were delivered")
    verdict = "met" if result["peakMegabytes"] <= MEMORY_GOAL else "MISSED"
    print(
        f"peak memory, forwarder draining {REPORTS} reports of {REPORT_BYTES // 1024} KB ({seconds:.0f} s): "
        f"{result['peakMegabytes']:.0f} MB, goal {MEMORY_GOAL} MB: {verdict}"
    )


def _fill(connection_id: str) -> None:
    settings = Settings()
    sqs = boto3.client("sqs")
    data_stack.create(boto3.client("dynamodb"), sqs, settings.resource_prefix, settings.timing)
    queues = SqsUplinkQueues(sqs, settings, lambda: SqsWakeQueue(sqs, settings, "wakes").url)
    queues.create(connection_id)
    for number in range(REPORTS):
        fields = {"DevEUI": f"{number % 100:016X}", "FCntUp": number, "payload_hex": "00"}
        text = json.dumps({"DevEUI_uplink": {**fields, "filler": "x" * (REPORT_BYTES - 200)}})
        queues.send(
            connection_id,
            body=text,
            group=f"{number % 100:016X}",
            message_id=f"{number:064x}",
            deduplication_id=f"{number:064x}",
        )
