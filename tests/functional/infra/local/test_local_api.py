"""The local API server reads request bodies as API Gateway does."""

import http.client
import io
import threading
from collections.abc import Iterator
from typing import Any

import chalice.local
import pytest
from chalice.app import Chalice
from chalice.config import Config

from infra.local.api import create_local_server
from infra.local.request_body import MAX_BYTES, BodyRefused, read_body

CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of an app that answers with the size and the end of the body."""
    app = Chalice(app_name="tests")

    @app.route("/echo", methods=["POST"], content_types=["text/plain"])
    def echo() -> dict[str, Any]:
        request: Any = app.current_request
        body = request.raw_body
        return {"size": len(body), "end": body[-4:].decode(), "coding": request.headers.get("transfer-encoding")}

    server = create_local_server(chalice.local.create_local_server, app, Config(), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server.server_port
    server.shutdown()
    thread.join()
    server.server.server_close()


def post(connection: http.client.HTTPConnection, body: Any, headers: dict[str, str]) -> tuple[int, str]:
    headers = {"Content-Type": "text/plain", **headers}
    connection.request("POST", "/echo", body, headers, encode_chunked="Transfer-Encoding" in headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_chunked_body_is_read_and_the_connection_stays_usable(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(2):
        chunks = iter([b"a" * 70_000, b"b", b"the end"])
        assert post(connection, chunks, CHUNKED) == (200, '{"size":70008,"end":" end","coding":null}')
    assert post(connection, b"1234", {}) == (200, '{"size":4,"end":"1234","coding":null}')
    connection.close()


@pytest.mark.parametrize("chunked", [True, False])
def test_body_over_ten_megabytes_is_answered_with_413(port: int, chunked: bool) -> None:
    body = b"x" * (MAX_BYTES + 1)
    pieces: Any = (body[start : start + 65536] for start in range(0, len(body), 65536)) if chunked else body
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert post(connection, pieces, CHUNKED if chunked else {}) == (413, '{"message": "Request Too Long"}')
    connection.close()


def test_body_of_ten_megabytes_is_read(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert post(connection, iter([b"x" * MAX_BYTES]), CHUNKED)[0] == 200
    connection.close()


def test_chunk_extensions_and_trailers_are_skipped() -> None:
    source = io.BytesIO(b'5;name="value"\r\nhello\r\n1 \r\n!\r\n0\r\nSome: trailer\r\n\r\nnext request')
    assert read_body({"Transfer-Encoding": "Chunked"}, source) == b"hello!"
    assert source.read() == b"next request"


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        (CHUNKED, b"hello", 400),
        (CHUNKED, b"-1\r\n", 400),
        (CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED, b"3\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED, b"5\r\nhel", 400),
        (CHUNKED, b"5\r\nhello\r\n", 400),
        (CHUNKED, b"0\r\n" + b"a: b\r\n" * 200, 400),
        (CHUNKED, b"5;" + b"x" * 100_000, 400),
        (CHUNKED, b"FFFFFFFFFFFF\r\n", 413),
        ({"Transfer-Encoding": "gzip, chunked"}, b"", 501),
        ({"Content-Length": "-5"}, b"hello", 400),
        ({"Content-Length": "5"}, b"hell", 400),
        ({"Content-Length": str(MAX_BYTES + 1)}, b"", 413),
    ],
)
def test_malformed_body_is_refused(headers: dict[str, str], data: bytes, status: int) -> None:
    with pytest.raises(BodyRefused) as refused:
        read_body(headers, io.BytesIO(data))
    assert refused.value.status == status
