"""The smoke test asks a running API over HTTP."""

import pytest

from chalicelib import __version__
from chalicelib.entry.services import Services
from infra.deploy import smoke
from infra.deploy.stage import Refused
from tests.functional.infra.deploy.guide.api_server import served


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
