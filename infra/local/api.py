"""The API as ``chalice local`` serves it, with room for many who connect at the same moment.

``python -m infra.local.api --port N``. Chalice's server lets five connections wait to be accepted, and those of a burst
beyond that are reset. It does not know TRACE and QUERY: 501, and 405 for every other method that no route has.
"""

import argparse
import sys

import chalice.cli
from chalice.local import ChaliceRequestHandler, ThreadedHTTPServer

_WAITING = 512


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    ThreadedHTTPServer.request_queue_size = _WAITING
    ChaliceRequestHandler.do_TRACE = ChaliceRequestHandler.do_QUERY = ChaliceRequestHandler.do_GET
    sys.argv = ["chalice", "local", "--stage", "local", "--port", str(arguments.port), "--no-autoreload"]
    return int(chalice.cli.main())


if __name__ == "__main__":
    sys.exit(main())
