"""A client of the connector's API with a token."""

import json
from dataclasses import dataclass, field
from typing import Any

import urllib3

from infra.local.errors import StackFailed

_NO_RETRIES = urllib3.Retry(0, redirect=False)
_FIRST_ERROR = 400


@dataclass
class ApiClient:
    url: str
    token: str = field(repr=False)
    timeout: float = 30.0
    _pool: urllib3.PoolManager = field(default_factory=urllib3.PoolManager, repr=False)

    def request(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        """Status and JSON of the answer. Raises urllib3's HTTPError when the API does not answer."""
        headers = {"Authorization": f"Bearer {self.token}"}
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document).encode()
        answer = self._pool.request(
            method, self.url + path, body=body, headers=headers, timeout=self.timeout, retries=_NO_RETRIES
        )
        return answer.status, json.loads(answer.data) if answer.data else None

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """The JSON of a successful answer. Raises StackFailed for any other answer."""
        try:
            status, answer = self.request(method, path, document)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise StackFailed(f"{method} {path}: no usable answer from the API: {error}") from error
        if status >= _FIRST_ERROR:
            # Chalice repeats the Authorization header in its answer to an unknown route.
            said = json.dumps(answer).replace(self.token, "<token>")[:500]
            raise StackFailed(f"{method} {path}: the API answered {status}: {said}")
        return answer
