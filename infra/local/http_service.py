"""A small HTTP server for the local stack's services. One function answers every request."""

import json
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """A request. ``query`` is not decoded, and the names of ``headers`` are lower-case."""

    method: str
    path: str
    query: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    status: int
    content: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, document: Any, status: int = 200) -> "Reply":
        return cls(status, json.dumps(document).encode())


Respond = Callable[[Request], Reply]


def service(port: int, respond: Respond) -> ThreadingHTTPServer:
    """A server that is bound to 127.0.0.1. ``serve_forever`` runs it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            target = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = respond(Request(self.command, target.path, target.query, self.rfile.read(length), headers))
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.content)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.content)

        do_GET = do_POST = do_DELETE = do_PUT = do_OPTIONS = _answer  # noqa: N815  # http.server's names

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def run(server: ThreadingHTTPServer) -> None:
    """Serves until SIGTERM or SIGINT."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever(), which runs in this thread.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with server:
        server.serve_forever()
