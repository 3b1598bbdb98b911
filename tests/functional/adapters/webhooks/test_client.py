"""The client of webhooks on real sockets: pinned addresses, TLS, redirects, and servers that hang or drip."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network

import pytest
import trustme

from chalicelib.adapters.webhooks.client import HttpWebhooks
from chalicelib.errors import NotDelivered

LOOPBACK = [ip_network("127.0.0.0/8")]
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Answer = Callable[[socket.socket], None]


class Server:
    """A server that gives each connection to ``answer``; it records the requests."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
                connection = self._context.wrap_socket(raw, server_side=True) if self._context else raw
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue
            with connection:
                received = b""
                while b"\r\n\r\n{" not in received:
                    received += connection.recv(65536)
                self.requests.append(received)
                self._answer(connection)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: Answer | bytes, context: ssl.SSLContext | None = None) -> Server:
        def send(connection: socket.socket) -> None:
            assert isinstance(answer, bytes)
            connection.sendall(answer)

        servers.append(Server(send if isinstance(answer, bytes) else answer, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def webhooks(executor: ThreadPoolExecutor) -> HttpWebhooks:
    return HttpWebhooks(LOOPBACK, executor, timeout=1.0)


def refused(webhooks: HttpWebhooks, url: str) -> NotDelivered:
    with pytest.raises(NotDelivered) as error:
        webhooks.send(url, {"webhook-id": "01"}, "{}")
    return error.value


def test_notification_is_posted_with_its_headers(serve: Callable[..., Server], webhooks: HttpWebhooks) -> None:
    server = serve(OK)
    accepted = webhooks.send(f"http://127.0.0.1:{server.port}/hook?key=1", {"webhook-id": "01"}, '{"ä": 1}')
    assert accepted.status == 204
    [request] = server.requests
    assert request.startswith(b"POST /hook?key=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in request
    assert b"webhook-id: 01\r\n" in request
    assert b"Content-Type: application/json\r\n" in request
    assert request.endswith('{"ä": 1}'.encode())


@pytest.mark.parametrize(
    ("status", "silent"), [(400, False), (401, False), (404, False), (408, True), (429, True), (500, True), (503, True)]
)
def test_other_status_is_not_delivered(
    serve: Callable[..., Server], webhooks: HttpWebhooks, status: int, silent: bool
) -> None:
    server = serve(b"HTTP/1.1 %d Secret\r\n\r\ninternal secret" % status)
    error = refused(webhooks, f"http://127.0.0.1:{server.port}")
    assert (error.status, error.silent) == (status, silent)
    assert "ecret" not in str(error)


def test_redirect_is_not_followed(serve: Callable[..., Server], webhooks: HttpWebhooks) -> None:
    other = serve(OK)
    server = serve(b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:%d/\r\n\r\n" % other.port)
    error = refused(webhooks, f"http://127.0.0.1:{server.port}")
    assert error.status == 307
    assert "redirect" in str(error)
    assert other.requests == []


def hang(connection: socket.socket) -> None:
    connection.settimeout(5)
    connection.recv(1)


def drip(connection: socket.socket) -> None:
    """Send a header without end, one byte at a time."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)  # the pace of the server
    except OSError:
        return


@pytest.mark.parametrize("answer", [hang, drip])
def test_server_that_hangs_or_drips_ends_the_call_in_time(
    serve: Callable[..., Server], webhooks: HttpWebhooks, answer: Answer
) -> None:
    server = serve(answer)
    began = time.monotonic()
    error = refused(webhooks, f"http://127.0.0.1:{server.port}")
    assert time.monotonic() - began < 3
    assert error.silent
    assert "did not answer in time" in str(error)


def test_closed_port_is_refused(webhooks: HttpWebhooks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refused(webhooks, f"http://127.0.0.1:{port}")
    assert "refused the connection" in str(error)
    assert error.silent


def test_certificate_of_the_host_is_verified(serve: Callable[..., Server], executor: ThreadPoolExecutor) -> None:
    # Given
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = serve(OK, context)
    url = f"https://127.0.0.1:{server.port}"

    # When
    accepted = HttpWebhooks(LOOPBACK, executor, trusting).send(url, {}, "{}")
    unknown = refused(HttpWebhooks(LOOPBACK, executor), url)

    # Then
    assert accepted.status == 204
    assert "certificate" in str(unknown)
    assert len(server.requests) == 1


def test_address_that_the_stage_does_not_allow_is_not_called(
    serve: Callable[..., Server], executor: ThreadPoolExecutor
) -> None:
    server = serve(OK)
    error = refused(HttpWebhooks([], executor), f"https://127.0.0.1:{server.port}")
    assert "not public" in str(error)
    assert server.requests == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::ffff:127.0.0.1"]])
def test_name_with_a_private_address_is_not_called(
    executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    def look_up(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    def connect(*_: object) -> socket.socket:
        raise AssertionError("the client connects")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", connect)
    error = refused(HttpWebhooks([], executor), "https://hooks.example.com")
    assert "not public" in str(error)


def test_client_connects_to_the_checked_address_and_looks_the_name_up_once(
    serve: Callable[..., Server], executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a name whose second lookup would give another address
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example.com").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = serve(OK, context)
    looked_up: list[object] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *rest: object, **named: object) -> object:
        if host != "hooks.example.com":
            return real(host, port, *rest, **named)  # type: ignore[arg-type]
        looked_up.append(host)
        address = "127.0.0.1" if len(looked_up) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    # When
    accepted = HttpWebhooks(LOOPBACK, executor, trusting).send(f"https://hooks.example.com:{server.port}", {}, "{}")

    # Then
    assert (accepted.status, looked_up) == (204, ["hooks.example.com"])
    assert b"Host: hooks.example.com:" in server.requests[0]


def test_name_that_does_not_exist_is_not_delivered(executor: ThreadPoolExecutor) -> None:
    error = refused(HttpWebhooks([], executor), "https://hooks.invalid")
    assert "cannot be resolved" in str(error)
