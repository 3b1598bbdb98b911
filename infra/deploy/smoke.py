"""A first look at a deployed API from outside: it answers, has this release, and is wired to its issuer and tables."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus

from chalicelib import __version__
from infra.deploy.stage import Refused

_SECONDS = 35
_PATIENCE = 60.0
"""Seconds in which a new deployment of an API is everywhere at API Gateway."""


def get(url: str) -> tuple[int, str]:
    """Return the status and the body of a GET. Status 0: no answer, and the body says why."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310  # the address of our own API
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")
    except OSError as error:
        return 0, str(error)


def check(
    base: str, pause: float = 3.0, patience: float = _PATIENCE, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Check an API at its base address, with a slash at its end. Return a summary. Raises Refused."""
    until = time.monotonic() + patience
    while (fault := _fault(base)) and time.monotonic() < until:
        sleep(pause)
    if fault:
        raise Refused(f"The API was deployed but does not work: {fault}. See the log group of its function.")
    return f"release {__version__} answers, and asks for a token"


def _fault(base: str) -> str:
    status, body = get(f"{base}health")
    if status != HTTPStatus.OK:
        return f"GET {base}health is {status or 'unanswered'}: {' '.join(body.split())[:200]}"
    try:
        health = json.loads(body)
    except ValueError:
        return f"GET {base}health is no JSON: {body[:100]}"
    if health.get("release") != __version__:
        return f"GET {base}health has release {health.get('release')}, not {__version__}"
    status, _ = get(f"{base}connections")
    if status != HTTPStatus.UNAUTHORIZED:
        return f"GET {base}connections without a token is {status or 'unanswered'}, not 401"
    return ""
