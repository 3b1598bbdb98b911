"""The keys and endpoints of an OIDC issuer: discovery, fetching and caching."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.kernel.no_redirects import NoRedirects
from chalicelib.monitoring import log

if TYPE_CHECKING:
    from jwt import PyJWK

Fetch = Callable[[str], bytes]

_KEPT = 3600.0
"""Seconds until the keys are fetched again, so that a withdrawn key expires."""
_PAUSE = 30.0
"""Seconds between two fetches for unknown keys, so that forged tokens cannot cause one fetch each."""
_PAUSE_AFTER_FAILURE = 5.0
_TIMEOUT = 3.0
_MAX_BYTES = 1 << 20
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def fetch(url: str) -> bytes:
    """Return the document at ``url``. Plain HTTP is allowed for an issuer on this computer only.

    Raises Unavailable.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise Unavailable("the issuer's address does not begin with https://")
    try:
        with urllib.request.build_opener(NoRedirects).open(url, timeout=_TIMEOUT) as response:
            document: bytes = response.read(_MAX_BYTES + 1)
    except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"the issuer does not answer ({type(error).__name__})") from error
    if len(document) > _MAX_BYTES:
        raise Unavailable(f"the issuer's answer exceeds {_MAX_BYTES} bytes")
    return document


@dataclass(frozen=True)
class Endpoints:
    """The URLs at which a browser signs in and gets its token."""

    authorization: str
    token: str


class Issuer:
    """Provides the issuer's keys and endpoints. While the issuer is down, known keys stay valid.

    ``name``: the issuer's URL, as in the tokens' ``iss``. ``fetch`` raises Unavailable. Thread-safe.
    """

    def __init__(self, name: str, fetch: Fetch = fetch, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._failed = False
        self._endpoints: Endpoints | None = None
        self._lock = Lock()

    def endpoints(self) -> Endpoints:
        """Return the sign-in endpoints. Raises Unavailable when the issuer does not answer or has no endpoints."""
        with self._lock:
            if self._endpoints is None:
                discovered = self._discover()
                names = ("authorization_endpoint", "token_endpoint")
                if not all(isinstance(discovered.get(name), str) for name in names):
                    raise Unavailable("the issuer's discovery document lacks the authorization or token endpoint")
                self._endpoints = Endpoints(*(discovered[name] for name in names))
            return self._endpoints

    def key(self, kid: str) -> "PyJWK":
        """Return the key with the id ``kid``.

        Raises Unauthorized when the issuer does not publish it, Unavailable when the issuer does not answer.
        """
        with self._lock:
            now = self._monotonic()
            pause = _PAUSE_AFTER_FAILURE if self._failed else _PAUSE
            stale = now - self._fetched_at > _KEPT
            if (stale or kid not in self._keys) and now - self._tried_at >= pause:
                self._refresh(now)
            if kid in self._keys:
                return self._keys[kid]
            if self._failed:
                raise Unavailable("the issuer's keys could not be fetched")
        raise Unauthorized(
            "The token is signed with a key that the issuer does not publish. Request a new token from this issuer."
        )

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            self._keys = self._fetch_keys()
        except Unavailable as error:
            # Known keys stay valid. A token with another key gets a 503, so that its sender retries.
            self._failed = True
            log.warning("the issuer's keys could not be fetched", extra={"reason": str(error)})
            return
        self._failed = False
        self._fetched_at = now

    def _fetch_keys(self) -> "dict[str, PyJWK]":
        import jwt  # noqa: PLC0415  # imports cryptography, which the queue handlers do not need

        discovered = self._discover()
        keys: dict[str, PyJWK] = {}
        entries = _json(self._fetch(str(discovered.get("jwks_uri")))).get("keys")
        for entry in entries if isinstance(entries, list) else []:
            try:
                key = jwt.PyJWK(entry)
            except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
                # An issuer may publish keys of unsupported types beside the supported ones.
                log.info("key not usable", extra={"reason": type(error).__name__})
                continue
            if entry.get("use", "sig") == "sig":
                keys[str(entry.get("kid", ""))] = key
        return keys

    def _discover(self) -> dict[str, Any]:
        if not self.name:
            raise Unavailable("OIDC_ISSUER is not set")
        discovered = _json(self._fetch(f"{self.name.rstrip('/')}/.well-known/openid-configuration"))
        if discovered.get("issuer") != self.name:
            raise Unavailable("the discovery document names another issuer than OIDC_ISSUER")
        return discovered


def _json(document: bytes) -> dict[str, Any]:
    try:
        value = json.loads(document)
    except ValueError as error:
        raise Unavailable("the issuer's answer is not JSON") from error
    if not isinstance(value, dict):
        raise Unavailable("the issuer's answer is not a JSON object")
    return value
