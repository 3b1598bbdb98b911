"""``make bench``: starts a broker of its own and prints what was measured on this machine, now."""

import tempfile
from pathlib import Path

from infra.bench import costs, publish, settle
from infra.local.broker import BrokerFailed, ensure_installed


def main() -> None:
    try:
        ensure_installed()
        with tempfile.TemporaryDirectory() as directory, publish.bench_broker(Path(directory)) as broker:
            port, password = broker.config.port, broker.config.password
            publish.measure(port, password)
            settle.measure(port, password)
            costs.drain_memory(port, password)
        costs.cold_imports()
    except BrokerFailed as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
