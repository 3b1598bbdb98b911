"""The API's list of connections against ``infra.scale.canned``; prints its times as JSON."""

import json
import time

from chalicelib.config import Settings
from chalicelib.connections.service import Filter
from chalicelib.entry.services import Services
from chalicelib.monitoring import configure_logging

PAGE = 50


def main() -> None:
    configure_logging("WARNING")
    services = Services(Settings(resource_prefix="iot-flow-scale"))
    listing = services.connections
    listing.page("tenant", Filter(), PAGE, None)  # builds the client
    cpu, began = time.process_time(), time.monotonic()
    listing.page("tenant", Filter(), PAGE, None)
    first = time.monotonic()
    listing.page("tenant", Filter(name="Connection 0"), PAGE, None)
    oldest = time.monotonic()
    print(json.dumps({"first": first - began, "oldest": oldest - first, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
