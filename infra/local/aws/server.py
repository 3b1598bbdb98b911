"""AWS for the local stack in one process: moto's server with this project's SQS and a fixed DynamoDB.

``python -m infra.local.aws.server --port N``. It is ready when it accepts connections.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from infra.local.aws.dynamodb import OneAtATime, mend_transactions
from infra.local.sqs.api import Sqs
from infra.local.sqs.unkind import UnkindSqs


class _RequestHandler(MotoRequestHandler):
    # Answers must not wait for the client's delayed TCP acknowledgement. Werkzeug still closes each connection.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1


def application() -> WSGIApplication:
    """Routes each request to the queues or to moto."""
    mend_transactions()
    sqs = UnkindSqs() if os.environ.get("SQS_UNKIND") == "1" else Sqs()
    moto = OneAtATime(DomainDispatcherApplication(create_backend_app))

    def dispatch(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        service = sqs if Sqs.is_meant(environment) else moto
        return service(environment, start_response)

    return dispatch


def server(port: int) -> BaseWSGIServer:
    """A bound server with a thread per connection. ``serve_forever`` runs it."""
    return make_server("127.0.0.1", port, application(), threaded=True, request_handler=_RequestHandler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server(arguments.port)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever(), which runs in this thread.
        threading.Thread(target=running.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    running.serve_forever()
    sys.exit(0)


if __name__ == "__main__":
    main()
