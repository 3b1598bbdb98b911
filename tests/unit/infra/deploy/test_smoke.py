"""The smoke test accepts an API of this release that asks for a token, and says what is wrong with any other."""

import json

import pytest

from chalicelib import __version__
from infra.deploy import smoke
from infra.deploy.stage import Refused

GOOD = {"health": (200, json.dumps({"status": "ok", "release": __version__})), "connections": (401, "")}


def answering(monkeypatch: pytest.MonkeyPatch, **answers: tuple[int, str]) -> None:
    monkeypatch.setattr(smoke, "get", lambda url: {**GOOD, **answers}[url.rsplit("/", 1)[1]])


def test_working_api_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch)
    assert smoke.check("https://api.test/api/") == f"release {__version__} answers, and asks for a token"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"health": (0, "Name or service not known")}, "health is unanswered: Name or service not known"),
        ({"health": (503, '{"detail": "OIDC_ISSUER"}')}, "health is 503: .*OIDC_ISSUER"),
        ({"health": (200, '{"status": "ok"}')}, f"health has release None, not {__version__}"),
        ({"health": (200, "<html>")}, "health is no JSON"),
        ({"connections": (200, "[]")}, "connections without a token is 200, not 401"),
        ({"connections": (500, "")}, "connections without a token is 500, not 401"),
    ],
)
def test_other_apis_are_refused_with_the_fault(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[int, str]], expected: str
) -> None:
    answering(monkeypatch, **answers)
    with pytest.raises(Refused, match=expected):
        smoke.check("https://api.test/api/", patience=0)


def test_api_that_is_not_everywhere_yet_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, health=(403, "Forbidden"))
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        answering(monkeypatch)

    assert smoke.check("https://api.test/api/", pause=3.0, sleep=wait)
    assert waited == [3.0]
