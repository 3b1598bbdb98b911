"""A client of the API under test that repeats a request as a network server does."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3

from infra.local.demo.api_client import ApiClient

_NO_ANSWER_NOW = {502, 503, 504}
_REPEATABLE = ("/uplinks", "/restart")
"""Ends of paths whose POST may be repeated: a repeated report is dropped, and a second restart changes nothing."""


@dataclass
class Patience:
    """Limits of repeating requests that AWS, or an emulation without CPU time, answers too late."""

    seconds: float = 120.0
    """Seconds after which the last answer counts."""
    pause: float = 1.0
    repeated: int = 0
    """The number of repeated requests."""
    sleep: Callable[[float], None] = time.sleep

    def repeat(self, request: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        """Send a request until its status is final. Raises urllib3's HTTPError when no answer comes in time."""
        until = time.monotonic() + self.seconds
        while True:
            late = time.monotonic() > until
            try:
                status, answer = request()
            except urllib3.exceptions.HTTPError:
                if late:
                    raise
            else:
                if late or status not in _NO_ANSWER_NOW:
                    return status, answer
            self.repeated += 1
            self.sleep(self.pause)


@dataclass
class PatientApi(ApiClient):
    """A client that repeats requests, except those that would make something twice."""

    patience: Patience = field(default_factory=Patience)

    def request(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        """Status and JSON of the last answer. Raises urllib3's HTTPError when the API does not answer."""

        def once() -> tuple[int, Any]:
            return ApiClient.request(self, method, path, document)

        repeatable = method != "POST" or urlsplit(path).path.endswith(_REPEATABLE)
        return self.patience.repeat(once) if repeatable else once()
