"""AWS for the local stack in one process: moto's server with this project's SQS and a fixed DynamoDB.

``python -m infra.local.aws.server --port N``. It is ready when it accepts connections.
"""

import argparse
import gc
import os
import signal
from collections.abc import Iterable
from types import FrameType
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cheroot import wsgi
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from infra.local.aws.dynamodb import OneAtATime, mend_transactions
from infra.local.aws.dynamodb_queries import mend_queries
from infra.local.sqs.api import Sqs
from infra.local.sqs.unkind import UnkindSqs

_THREADS = 160
"""Requests at a time, most of them long polls: each forwarder has up to ten drains."""
_CONNECTIONS = 5000
_IDLE = 3600
"""Seconds after which an idle connection is closed."""


def application() -> WSGIApplication:
    """Routes each request to the queues or to moto."""
    mend_transactions()
    mend_queries()
    sqs = UnkindSqs() if os.environ.get("SQS_UNKIND") == "1" else Sqs()
    moto = OneAtATime(DomainDispatcherApplication(create_backend_app))

    def dispatch(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        service = sqs if Sqs.is_meant(environment) else moto
        return service(environment, start_response)

    return dispatch


class Server:
    """A server that is bound to 127.0.0.1; ``serve_forever`` runs it.

    It keeps connections open between requests: moto's own server needs a new connection and a new thread for each
    request, which cost about as much as the request itself.
    """

    def __init__(self, port: int) -> None:
        self._server = wsgi.Server(
            ("127.0.0.1", port), application(), numthreads=_THREADS, request_queue_size=_CONNECTIONS, timeout=_IDLE
        )
        self._server.keep_alive_conn_limit = _CONNECTIONS
        self._server.prepare()
        self.port = int(self._server.bind_addr[1])

    def serve_forever(self) -> None:
        self._server.serve()

    def shutdown(self) -> None:
        """End ``serve_forever`` from another thread."""
        self._server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # Nothing is kept, and the threads may be in long polls.
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # A tenant's 10,000 connections are a million objects, which a full collection looks at in half a second.
    gc.set_threshold(50_000, 50, 50)
    Server(arguments.port).serve_forever()


if __name__ == "__main__":
    main()
