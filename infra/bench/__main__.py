"""``make bench``: measures speed, memory and cold starts on this machine, and compares with other AMQP clients.

``python -m infra.bench [PART ...]`` measures the named parts, all without a name.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.bench import cold_start, decoding, drain, memory, metrics, page, routing
from infra.bench.broker import bench_broker
from infra.bench.peers import measure as peers
from infra.deploy.packaging.runtime import PackageFailed
from infra.local.broker.installation import BrokerFailed, ensure_installed
from infra.local.broker.node import Broker
from infra.local.browser.chromium import ChromiumMissing
from infra.local.errors import StackFailed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)}")
    parser.add_argument("--rounds", type=int, default=peers.ROUNDS, help="rounds of the comparison")
    options = parser.parse_args()
    parts: list[str] = options.parts or list(_PARTS)
    if unknown := [part for part in parts if part not in _PARTS]:
        parser.error(f"unknown part {unknown[0]}; choose among {', '.join(_PARTS)}")
    try:
        _with_broker([part for part in parts if part in _AT_BROKER], options.rounds)
        for part in parts:
            if part in _ALONE:
                _ALONE[part]()
    except (BrokerFailed, ChromiumMissing, PackageFailed, StackFailed) as error:
        raise SystemExit(str(error)) from error


def _with_broker(parts: list[str], rounds: int) -> None:
    if not parts:
        return
    ensure_installed()
    with tempfile.TemporaryDirectory() as name, bench_broker(Path(name)) as broker:
        for part in parts:
            _AT_BROKER[part](broker, Path(name), rounds)


def _peers(broker: Broker, directory: Path, rounds: int) -> None:
    peers.measure(broker, directory, rounds)


def _metrics(broker: Broker, _directory: Path, _rounds: int) -> None:
    metrics.measure(broker.config.port, broker.config.password)


def _memory(broker: Broker, _directory: Path, _rounds: int) -> None:
    memory.drain_memory(broker.config.port, broker.config.password)


def _drain(broker: Broker, _directory: Path, _rounds: int) -> None:
    drain.drain_rates(broker.config.port, broker.config.password)


_AT_BROKER: Mapping[str, Callable[[Broker, Path, int], None]] = {
    "peers": _peers,
    "drain": _drain,
    "metrics": _metrics,
    "memory": _memory,
}
_ALONE: Mapping[str, Callable[[], object]] = {
    "routing": routing.measure,
    "decoding": decoding.measure,
    "cold-start": cold_start.measure,
    "page": page.run,
}
_PARTS = (*_AT_BROKER, *_ALONE)


if __name__ == "__main__":
    main()
