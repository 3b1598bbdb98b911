"""AWS for the local stack, in one process: moto's server, with SQS served by queues of our own.

``python -m infra.local.aws --port N``; ready when it accepts connections.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from infra.local.sqs_api import Sqs


class _RequestHandler(MotoRequestHandler):
    # Kept connections, and answers that do not wait for the client's delayed acknowledgement: five times the calls.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1


def application() -> WSGIApplication:
    """Sends each request to the queues or to moto."""
    sqs = Sqs()
    moto: WSGIApplication = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def dispatch(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if Sqs.is_meant(environment):
            return sqs(environment, start_response)
        # moto checks a write's condition and writes in two steps: between threads both of two could win.
        with one_at_a_time:
            return list(moto(environment, start_response))

    return dispatch


def server(port: int) -> BaseWSGIServer:
    """A server with a thread per connection, bound; ``serve_forever`` runs it."""
    return make_server("127.0.0.1", port, application(), threaded=True, request_handler=_RequestHandler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server(arguments.port)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever(), which this very thread runs.
        threading.Thread(target=running.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    running.serve_forever()
    sys.exit(0)


if __name__ == "__main__":
    main()
