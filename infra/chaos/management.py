"""A client for the parts of RabbitMQ's management API that the chaos faults need."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import urllib3

from infra.local.broker.installation import BrokerFailed
from infra.local.waiting import wait_until

_NO_RETRIES = urllib3.Retry(0, redirect=False)
_OK = range(200, 300)
_NOT_FOUND = 404
_START = 90.0


@dataclass
class Management:
    url: str
    username: str
    password: str = field(repr=False)
    _pool: urllib3.PoolManager = field(default_factory=urllib3.PoolManager, repr=False)

    def ready(self) -> None:
        """Waits until the API answers. It starts a little later than AMQP."""

        def answers() -> bool:
            try:
                return self._call("GET", "overview", None)[0] in _OK
            except urllib3.exceptions.HTTPError:
                return False

        if not wait_until(answers, _START, 0.2):
            raise BrokerFailed(f"The management API at {self.url} did not answer within {_START:.0f} s.")

    def get(self, path: str) -> Any:
        """The document, None for 404."""
        status, document = self._call("GET", path, None)
        if status == _NOT_FOUND:
            return None
        return _checked(path, status, document)

    def put(self, path: str, document: Any) -> None:
        _checked(path, *self._call("PUT", path, document))

    def delete(self, path: str) -> None:
        """Deletes an object if it exists."""
        status, document = self._call("DELETE", path, None)
        if status != _NOT_FOUND:
            _checked(path, status, document)

    def bind(self, vhost: str, exchange: str, queue: str, key: str) -> None:
        path = f"bindings/{vhost}/e/{exchange}/q/{queue}"
        _checked(path, *self._call("POST", path, {"routing_key": key}))

    def close_connections_of(self, user: str) -> int:
        """Closes a user's connections and returns their number."""
        found = [each["name"] for each in self.get("connections") if each.get("user") == user]
        for name in found:
            self.delete(f"connections/{quote(name, safe='')}")
        return len(found)

    def _call(self, method: str, path: str, document: Any) -> tuple[int, Any]:
        headers = urllib3.make_headers(basic_auth=f"{self.username}:{self.password}")
        answer = self._pool.request(
            method,
            f"{self.url}/api/{path}",
            body=None if document is None else json.dumps(document).encode(),
            headers={**headers, "Content-Type": "application/json"},
            timeout=15,
            retries=_NO_RETRIES,
        )
        return answer.status, json.loads(answer.data) if answer.data else None


def _checked(path: str, status: int, document: Any) -> Any:
    if status not in _OK:
        raise BrokerFailed(f"The management API answered {status} to {path}: {document}")
    return document
