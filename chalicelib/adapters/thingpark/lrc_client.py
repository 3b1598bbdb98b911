"""Client of the LoRaWAN network server (ThingPark LRC), which queues downlinks."""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from chalicelib.errors import DownlinkDelayed, DownlinkRejected
from chalicelib.kernel.no_redirects import NoRedirects
from chalicelib.network_servers.thingpark.lrc_tokens import downlink_token

_PATH = "/thingpark/lrc/rest/downlink"
_QUEUED = "Request queued by LRC"
_MAX_ANSWER = 8192
"""Bytes of an answer that are read."""
_TRY_AGAIN = {408, 429}
_TAG = re.compile(r"<[^<>]*>")
"""Tags of the HTML page that wraps the LRC's one-sentence answer."""


class LrcNetworkServer:
    """Sends downlinks to one LRC over HTTP. Implements ``ports.NetworkServer``."""

    def __init__(self, base_url: str, timeout: float) -> None:
        """``timeout``: seconds for each wait of a call."""
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        # No proxies from the environment: the connector reaches the configured URL directly.
        self._opener = urllib.request.build_opener(NoRedirects, urllib.request.ProxyHandler({}))

    def send_downlink(self, parameters: Sequence[tuple[str, str]], as_key: str) -> None:
        """Sign and send one downlink.

        Raises DownlinkRejected when a retry cannot succeed, DownlinkDelayed for every other failure.
        """
        if not self._base_url:
            raise DownlinkDelayed("the setting NETWORK_SERVER_URL is empty")
        signed = [*parameters, ("Token", downlink_token(parameters, as_key))]
        request = urllib.request.Request(  # noqa: S310  # the scheme is the operator's own setting
            f"{self._base_url}{_PATH}?{urlencode(signed, quote_via=quote)}", data=b"", method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                status, text = answer.status, _text(answer)
        except urllib.error.HTTPError as error:
            status, text = error.code, _text(error)
        except (OSError, http.client.HTTPException) as error:
            raise DownlinkDelayed(f"the network server does not answer ({type(error).__name__})") from error
        if status == http.HTTPStatus.OK and _QUEUED in text:
            return
        if (
            http.HTTPStatus.PERMANENT_REDIRECT < status < http.HTTPStatus.INTERNAL_SERVER_ERROR
            and status not in _TRY_AGAIN
        ):
            # The LRC defines 350 and its neighbours: unknown device, used counter, ...
            raise DownlinkRejected(f"the network server answered {status}: {text[:200]}")
        raise DownlinkDelayed(f"the network server answered {status}")


def _text(answer: http.client.HTTPResponse | urllib.error.HTTPError) -> str:
    try:
        raw = answer.read(_MAX_ANSWER)
    except (OSError, http.client.HTTPException):
        return ""  # the status alone decides
    text = _TAG.sub(" ", raw.decode("utf-8", "replace"))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
