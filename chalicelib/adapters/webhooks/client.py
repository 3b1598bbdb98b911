"""Client of tenants' webhooks: checked and pinned addresses, no redirects, and a limit for the whole call."""

import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from concurrent.futures import TimeoutError as TookTooLong
from threading import Timer
from typing import Any

from chalicelib.domain.notifications.validation import WebhookAddress, parse_url
from chalicelib.domain.validation.broker_addresses import Address, Network, forbidden, literal_address
from chalicelib.errors import NotDelivered
from chalicelib.ports.notifications import Accepted

TIMEOUT = 10.0
"""Seconds for a whole call, the lookup of the name excluded."""
_LOOKUP = 5.0
"""Seconds for the lookup of a name."""
_OVERLOADED = {http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS}
_SCHEMES = {True: "https", False: "http"}


class HttpWebhooks:
    """Sends notifications with POST (``ports.Webhooks``).

    It connects to exactly those addresses of the host that it has checked, so that a name cannot point elsewhere
    between check and connect. Nothing of the response but its status is read.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        executor: Executor,
        context: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """``networks``: private networks that the stage allows. ``executor``: threads for lookups of names."""
        self._networks = networks
        self._executor = executor
        self._context = context or ssl.create_default_context()
        self._timeout = timeout

    def send(self, url: str, headers: Mapping[str, str], body: str) -> Accepted:
        try:
            address = parse_url(url, self._networks)
        except ValueError as error:
            # The stage allows fewer networks than when the URL was saved.
            raise NotDelivered(f"{error} Change the URL.") from error
        connection = _Pinned(address, self._addresses(address), self._context, self._timeout)
        ending = Timer(self._timeout, connection.abort)
        ending.daemon = True
        ending.start()
        try:
            connection.request("POST", address.target, body.encode(), _all(headers))
            status = connection.getresponse().status
            if connection.aborted:
                # An answer that ends within its headers reads as a complete one.
                raise TimeoutError
        except (OSError, http.client.HTTPException) as error:
            raise NotDelivered(_sentence(address, error, ended=connection.aborted), silent=True) from error
        finally:
            ending.cancel()
            connection.close()
        return _judged(status)

    def _addresses(self, address: WebhookAddress) -> list[Address]:
        """Return every address of the host. Raises NotDelivered if there is none, or if one is not allowed."""
        literal = literal_address(address.host)
        found = [literal] if literal is not None else self._looked_up(address)
        if any(forbidden(each, self._networks) for each in found):
            raise NotDelivered(
                f"{address.host} has an address that is not public. Use a webhook that is reachable from the internet.",
                silent=True,
            )
        return found

    def _looked_up(self, address: WebhookAddress) -> list[Address]:
        looking = self._executor.submit(
            socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        try:
            records = looking.result(_LOOKUP)
        except (OSError, TookTooLong, UnicodeError) as error:
            looking.cancel()
            raise NotDelivered(
                f"The name {address.host} cannot be resolved. Check the URL and the DNS records.", silent=True
            ) from error
        literals = (literal_address(str(record[4][0])) for record in records)
        return list(dict.fromkeys(each for each in literals if each is not None))


class _Pinned(http.client.HTTPConnection):
    """A connection to one of the given addresses, with TLS for the host's name."""

    def __init__(
        self, address: WebhookAddress, pinned: Sequence[Address], context: ssl.SSLContext, timeout: float
    ) -> None:
        super().__init__(address.host, address.port, timeout=timeout)
        self.default_port = 443 if address.secure else 80
        self._seconds = timeout
        self._pinned = pinned
        self._secure = address.secure
        self._context = context
        self.aborted = False

    def connect(self) -> None:
        """Connect to the first address that answers; each gets its share of the time."""
        failure: OSError = OSError("the host has no address")
        for address in self._pinned:
            try:
                self.sock = socket.create_connection((str(address), self.port), self._seconds / len(self._pinned))
                break
            except OSError as error:
                failure = error
        else:
            raise failure
        self.sock.settimeout(self._seconds)
        if self._secure:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)

    def abort(self) -> None:
        """End the call from another thread: a server that sends a byte now and then must not hold it."""
        self.aborted = True
        sock: Any = self.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                # It has ended already.
                return


def _all(headers: Mapping[str, str]) -> dict[str, str]:
    return {"Content-Type": "application/json", "User-Agent": "iot-flow-amqp", "Connection": "close", **headers}


def _judged(status: int) -> Accepted:
    if http.HTTPStatus.OK <= status < http.HTTPStatus.MULTIPLE_CHOICES:
        return Accepted(status)
    if http.HTTPStatus.MULTIPLE_CHOICES <= status < http.HTTPStatus.BAD_REQUEST:
        detail = f"The webhook answered {status}, a redirect, which is not followed. Set the final URL."
        raise NotDelivered(detail, status)
    overloaded = status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status in _OVERLOADED
    detail = f"The webhook answered {status}. Check its log; it must answer with a status from 200 to 299."
    raise NotDelivered(detail, status, silent=overloaded)


def _sentence(address: WebhookAddress, error: Exception, *, ended: bool) -> str:
    place = f"{_SCHEMES[address.secure]}://{address.host}:{address.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The certificate of {place} is not valid: {error.verify_message}. Renew it, with its whole chain."
    if isinstance(error, ssl.SSLError) and not ended:
        return f"The TLS handshake with {place} failed ({error.reason or type(error).__name__}). Offer TLS 1.2 or 1.3."
    if ended or isinstance(error, TimeoutError):
        return f"{place} did not answer in time. Answer at once and do the work later."
    if isinstance(error, ConnectionRefusedError):
        return f"{place} refused the connection. Check the port and that the server is running."
    return f"The call of {place} failed ({type(error).__name__}). Check that the server is reachable."
