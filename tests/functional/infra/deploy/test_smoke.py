"""The smoke test asks a running API over HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import chalice.local
import pytest
from chalice.config import Config

from app import app
from chalicelib import __version__
from chalicelib.entry import services as wiring
from chalicelib.entry.services import Services
from infra.deploy import smoke
from infra.deploy.stage import Refused
from infra.local.api import create_local_server


@contextmanager
def served(services: Services) -> Iterator[str]:
    """The API on a free port, as the local stack serves it; its base address."""
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


def test_running_api_is_accepted(services: Services) -> None:
    with served(services) as base:
        assert smoke.check(base) == f"release {__version__} answers, and asks for a token"


def test_running_api_without_an_issuer_is_refused_with_the_setting(services: Services) -> None:
    unfinished = Services(services.settings.model_copy(update={"oidc_issuer": ""}))
    with served(unfinished) as base, pytest.raises(Refused, match=r"health is 503: .*OIDC_ISSUER"):
        smoke.check(base, patience=0)


def test_address_without_an_api_is_refused(services: Services) -> None:
    with served(services) as base:
        pass
    with pytest.raises(Refused, match=r"health is unanswered: .*refused"):
        smoke.check(base, patience=0)
    with served(services) as base, pytest.raises(Refused, match="api/health is 403"):
        smoke.check(f"{base}api/", patience=0)
