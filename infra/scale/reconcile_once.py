"""One run of the reconciler against ``infra.scale.canned``, which prints its time, memory and calls as JSON.

``python -m infra.scale.reconcile_once``, with the endpoint in AWS_ENDPOINT_URL.
"""

import json
import resource
import time
from collections import Counter
from typing import Any

from chalicelib.config import Settings
from chalicelib.entry.services import Services
from chalicelib.monitoring import configure_logging


def main() -> None:
    configure_logging("WARNING")
    services = Services(Settings(resource_prefix="iot-flow-scale"))
    calls: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    for client in (services.dynamodb, services.sqs):
        client.meta.events.register("before-call.*.*", count)
    reconciler = services.reconciler
    began, cpu = time.monotonic(), time.process_time()
    reconciler.run()
    results = {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "calls": dict(calls),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
