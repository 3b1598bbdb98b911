"""The comparison: every contender publishes to the same broker in interleaved rounds."""

import json
import math
import os
import platform
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from infra.bench.broker import bench_connection, control_channel
from infra.bench.cores import BROKER_CORES, CLIENT_CORES
from infra.bench.peers.installation import find_node, install_node_packages, install_python_packages
from infra.bench.peers.job import QUEUE, Job, TlsFiles, write_messages
from infra.bench.peers.picture import draw
from infra.bench.peers.processes import Process, Sample, contender
from infra.bench.peers.reports import bench_messages
from infra.bench.peers.results import Rounds, judged, summary
from infra.bench.peers.scenes import AMQPLIB, CONTENDERS, DEVICES, LIMIT, OURS, ROUND_TRIPS, SCENES, SHOVEL, Place
from infra.bench.peers.table import verdict_lines, written_table
from infra.local.broker.delay_proxy import delaying_proxy
from infra.local.broker.node import Broker

ROUNDS = 11
PUBLISHED = 9
"""The minimum number of rounds whose results replace the stored ones."""
RESULTS = Path(__file__).parents[1] / "results.json"
PICTURE = Path(__file__).parents[1] / "peers.svg"


@dataclass(frozen=True)
class Comparison:
    """Samples of all rounds, and the versions of what was compared."""

    rounds: Rounds
    versions: dict[str, str]
    message_bytes: float
    """The mean size of the bodies."""


def measure(broker: Broker, directory: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    """Compare all contenders, print tables and goals, store results and picture, and return the results.

    ``directory``: for the file of messages. Raises StackFailed.
    """
    began = time.monotonic()
    comparison = compare(broker, directory, rounds)
    results = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": comparison.versions,
        "rounds": rounds,
        "messageBytes": round(comparison.message_bytes),
        "scenes": summary(comparison.rounds),
        "goals": judged(comparison.rounds),
    }
    for line in written_table(results):
        print(line)
    for line in verdict_lines(results):
        print(line)
    seconds = time.monotonic() - began
    if rounds < PUBLISHED:
        print(f"{rounds} rounds in {seconds:.0f} s; {RESULTS.name} needs {PUBLISHED} and is unchanged")
        return results
    RESULTS.write_text(json.dumps(_rounded(results), indent=1) + "\n", encoding="utf-8")
    PICTURE.write_text(draw(results), encoding="utf-8")
    print(f"{rounds} rounds in {seconds:.0f} s; results in infra/bench/{RESULTS.name}, picture in {PICTURE.name}")
    return results


def compare(broker: Broker, directory: Path, rounds: int) -> Comparison:
    """Return the samples of ``rounds`` rounds in each scene. Raises StackFailed."""
    install_python_packages()
    names, node = list(CONTENDERS), find_node()
    if node is None:
        names.remove(AMQPLIB)
        print("Node.js amqplib: skipped, because this machine has no Node.js with npm")
    else:
        install_node_packages(node)
    messages = bench_messages(bench_connection(broker.config.port), DEVICES)
    file = directory / "messages.json"
    write_messages(file, messages)
    samples: dict[str, dict[str, list[Sample]]] = {scene.name: defaultdict(list) for scene in SCENES}
    versions: dict[str, str] = {"python": platform.python_version()}
    for place in ROUND_TRIPS:
        with ExitStack() as stack:
            job = stack.enter_context(job_at(broker, file, place))
            control = stack.enter_context(control_channel(broker.config.port, broker.config.password))
            running = [stack.enter_context(contender(name, node)) for name in names]
            for process in running:
                process.begin(job)
                versions[process.name] = process.version
            for number in range(rounds):
                first = number % len(running)
                _round(control, place, running[first:] + running[:first], samples)
    versions["broker"] = versions.pop(LIMIT)
    for name in (SHOVEL, *OURS):
        del versions[name]
    return Comparison(samples, versions, sum(len(message.body) for message in messages) / len(messages))


@contextmanager
def job_at(broker: Broker, file: Path, place: Place) -> Iterator[Job]:
    """Yield the job of the contenders at a place."""
    config = broker.config
    certificates = TlsFiles(
        config.ca_file, config.ca_file.replace("ca.pem", "client.pem"), config.ca_file.replace("ca.pem", "client.key")
    )
    with ExitStack() as stack:
        port = config.tls_port if place == "TLS" else config.port
        if ROUND_TRIPS[place]:
            port = stack.enter_context(delaying_proxy(port, ROUND_TRIPS[place]))
        yield Job(
            port=port, near_port=config.port, management_port=config.management_port, password=config.password,
            messages=str(file), devices=DEVICES, tls=certificates if place == "TLS" else None,
        )  # fmt: skip


def _round(
    control: BlockingChannel, place: Place, running: list[Process], samples: dict[str, dict[str, list[Sample]]]
) -> None:
    """Let each contender publish in each scene of a place. The first differs from round to round."""
    for scene in SCENES:
        if scene.place != place:
            continue
        for process in running:
            control.queue_purge(QUEUE)
            # After a pause a client may check its connection first, and the caches of the processor are cold.
            batch, batches = scene.plan(process.name)
            samples[scene.name][process.name].append(process.measure(batch, batches, warm_ups=1))


def machine() -> str:
    """Return processor, cores of the broker and of its clients, memory and kernel in one line."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = math.ceil(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    cores = os.cpu_count()
    apart = f"broker on {len(BROKER_CORES)}, clients on {len(CLIENT_CORES)} of {cores} cores"
    return f"{names[0] if names else model}, {apart}, {memory} GB, {platform.system()} {platform.release()}"


def _rounded(value: Any) -> Any:
    """Return a document whose numbers have four digits, so that a change of the file shows a change of a result."""
    if isinstance(value, dict):
        return {name: _rounded(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_rounded(member) for member in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
