"""The API on a port, as the local stack serves it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import chalice.local
from chalice.config import Config

from app import app
from chalicelib.entry import services as wiring
from chalicelib.entry.services import Services
from infra.local.api import create_local_server


@contextmanager
def served(services: Services) -> Iterator[str]:
    """Serve the API with these services; yield its base address, with a slash at its end."""
    wiring.use(services)
    kind = app.__class__
    server = create_local_server(chalice.local.create_local_server, app, Config(), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server.server_close()
        # Chalice's server gives the app another class, and refuses an app that has it.
        app.__class__ = kind
