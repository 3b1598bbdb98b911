"""``make bench``: starts a broker, measures speed and memory on this machine, and prints the results."""

import tempfile
from pathlib import Path

from infra.bench import cold_start, costs, decoding, metrics, publish, routing, settle
from infra.deploy.packaging.runtime import PackageFailed
from infra.local.broker.installation import BrokerFailed, ensure_installed
from infra.local.errors import StackFailed


def main() -> None:
    try:
        ensure_installed()
        with tempfile.TemporaryDirectory() as directory, publish.bench_broker(Path(directory)) as broker:
            port, password = broker.config.port, broker.config.password
            publish.measure(port, password)
            settle.measure(port, password)
            metrics.measure(port, password)
            costs.drain_memory(port, password)
        routing.measure()
        decoding.measure()
        cold_start.measure()
    except (BrokerFailed, PackageFailed, StackFailed) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
