"""Test doubles: an issuer of tokens, a client of the API and a recording queue remover."""

import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import jwt
from chalice.test import Client
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.adapters.codec.handler import CodecHandler
from chalicelib.adapters.codec.processes import Worker
from chalicelib.connections.notifications.sender import NotificationSender
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.ports.notifications import Accepted

if TYPE_CHECKING:
    from chalicelib.errors import NotDelivered

ISSUER = "https://issuer.test"
AUDIENCE = "iot-flow"
ALL_SCOPES = "connections:read connections:write"
READ_ONLY = "connections:read"


class TestIssuer:
    """Signs tokens. ``fetch`` returns its discovery document and its JWKS, and records the URLs."""

    __test__ = False

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.kid = "one"
        self.extra_keys: list[dict[str, Any]] = []
        self.fetched: list[str] = []

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if url.endswith("/.well-known/openid-configuration"):
            return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}).encode()
        own = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [own | {"kid": self.kid, "use": "sig"}, *self.extra_keys]}).encode()

    def token(self, tenant: str | None = "demo", scope: str | None = ALL_SCOPES, **claims: Any) -> str:
        """Return a signed token. ``claims`` replace those of a valid token; claims that are None are left out."""
        now = int(time.time())
        all_claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600, "tenant": tenant, "scope": scope}
        wanted = {name: value for name, value in (all_claims | claims).items() if value is not None}
        return jwt.encode(wanted, self.key, algorithm="ES256", headers={"kid": self.kid})


@dataclass(frozen=True)
class Answer:
    """A response of the API, with header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pointers(self) -> set[str]:
        return {fault["pointer"] for fault in self.json["errors"]}


@dataclass
class Api:
    """A client of the API that sends ``token`` with every call; None sends no token."""

    client: Client
    token: str | None
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, document: Any = None, *, raw: bytes | None = None, **headers: str) -> Answer:
        """Call the API. ``raw``: a body in place of ``document``. ``headers``: names with underscores for hyphens."""
        sent = {"Accept": "application/json", **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        body = raw if raw is not None else b"" if document is None else json.dumps(document).encode()
        if body:
            sent["Content-Type"] = "application/json"
        sent |= self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.http.request(method, path, headers=sent, body=body)
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.body)

    def as_token(self, token: str | None) -> "Api":
        return Api(self.client, token, self.headers)


class CodecFunction:
    """A client of Lambda whose only function is the real codec, in a separate process. Records the requests."""

    def __init__(self) -> None:
        self.worker = Worker()
        self.handler = CodecHandler(self.worker)
        self.requests: list[Any] = []
        self.calls: list[tuple[Any, Any]] = []
        """Answered requests, with their responses."""
        self.failure: Exception | None = None
        """What a call raises in place of an answer."""
        self._lock = Lock()

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803  # boto3's names
        assert FunctionName == "codec"
        with self._lock:
            self.requests.append(json.loads(Payload))
            if self.failure is not None:
                raise self.failure
            answer = self.handler.handle(self.requests[-1])
            self.calls.append((self.requests[-1], answer))
            return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(answer).encode())}


class NotifyFunction:
    """A client of Lambda whose only function is ``notify`` of this process. Records the requests."""

    def __init__(self, sender: Callable[[], NotificationSender]) -> None:
        self._sender = sender
        self.requests: list[tuple[str, Any]] = []
        self.failure: Exception | None = None
        """What a call raises in place of an answer."""

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> Any:  # noqa: N803  # boto3's names
        assert FunctionName.endswith("notify")
        self.requests.append((InvocationType, json.loads(Payload)))
        if self.failure is not None:
            raise self.failure
        self._sender().handle(json.loads(Payload), time.monotonic() + 60)
        return {"StatusCode": 200}


class ScriptedWebhooks:
    """``ports.notifications.Webhooks`` that accept everything unless there is an ``error``; they record the calls."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str], str]] = []
        self.error: NotDelivered | None = None

    def send(self, url: str, headers: Mapping[str, str], body: str) -> Accepted:
        self.received.append((url, dict(headers), body))
        if self.error is not None:
            raise self.error
        return Accepted(204)


class RecordingRemover:
    """A ``ports.DownlinkQueueRemover`` that records (connection id, password) of each call."""

    def __init__(self) -> None:
        self.removed: list[tuple[str, str | None]] = []

    def remove(self, connection: Connection, secrets: ConnectionSecrets, _deadline: float) -> None:
        self.removed.append((connection.id, secrets.password))
