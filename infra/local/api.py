"""The API, served by ``chalice local`` with changes that bring it closer to API Gateway.

``python -m infra.local.api --port N``. Differences from Chalice's server: it queues more than five new connections, so
that a burst of clients is not reset; it reads chunked bodies; it answers 413 to bodies over 10 MB. It does not know
TRACE and QUERY (501), and answers 405 to every other method that a route lacks.
"""

import argparse
import functools
import json
import sys
import time
from typing import Any

import chalice.cli
import chalice.local
from chalice.local import ChaliceRequestHandler, ThreadedHTTPServer

from infra.local.request_body import MAX_BYTES, BodyRefused, read_body

_BACKLOG = 512
_DISCARD_SECONDS = 2.0


class RequestHandler(ChaliceRequestHandler):
    """Chalice's handler with chunked bodies and a limit for the size of bodies."""

    def _parse_payload(self) -> tuple[dict[str, str], bytes | None]:
        # Lambda gets the decoded body, so the header would be wrong.
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        return headers, read_body(self.headers, self.rfile) or None

    def _handle(self) -> None:
        try:
            self._generic_handle()
        except BodyRefused as error:
            body = json.dumps({"message": str(error)})
            self.close_connection = True
            self._send_http_response(error.status, {"Connection": "close"}, body)
            self._discard_rest()

    def _discard_rest(self) -> None:
        """Reads what the client still sends. Closing at once would reset the connection before it reads the answer."""
        deadline = time.monotonic() + _DISCARD_SECONDS
        discarded = 0
        self.connection.settimeout(_DISCARD_SECONDS)
        try:
            while discarded < MAX_BYTES and time.monotonic() < deadline and (data := self.rfile.read1(65536)):
                discarded += len(data)
        except OSError:
            # The client reset the connection or went silent: it has read the answer or does not wait for it.
            return

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_QUERY = _handle  # noqa: N815


def create_local_server(original: Any, app: Any, config: Any, host: str, port: int) -> Any:
    """Chalice's server with the handler above."""
    server = original(app, config, host, port)
    server.server.RequestHandlerClass = functools.partial(RequestHandler, app_object=app, config=config)
    return server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    ThreadedHTTPServer.request_queue_size = _BACKLOG
    chalice.local.create_local_server = functools.partial(create_local_server, chalice.local.create_local_server)
    sys.argv = ["chalice", "local", "--stage", "local", "--port", str(arguments.port), "--no-autoreload"]
    return int(chalice.cli.main())


if __name__ == "__main__":
    sys.exit(main())
