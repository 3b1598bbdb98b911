"""``make chaos``: kills brokers and workers while reports and downlinks flow, then checks every message.

With ``--flows``, flows choose the reports of each connection, and a driver decodes some of them. The exit code is 1
when an acknowledged message was lost, stuck, out of order or wrongly decoded, when one arrived that its connection must
not get, or when a duplicate had another id.
"""

import argparse
import signal
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType

from infra.chaos.plan import WITH_FLOWS, Size
from infra.chaos.report import markdown
from infra.chaos.run import run
from infra.local.broker.installation import BrokerFailed, ensure_installed
from infra.local.errors import StackFailed, StopRequested

_PORT_BASE = 9200
_CONNECTIONS_WITH_FLOWS = 2


def _stop_requested(_signal: int, _frame: FrameType | None) -> None:
    # A second signal during the shutdown would leave brokers running.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise StopRequested


def _defaults(name: str) -> str:
    usual, with_flows = getattr(Size(), name), getattr(WITH_FLOWS, name)
    return f"{usual}" if usual == with_flows else f"{usual}, with flows {with_flows}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.chaos", description=__doc__)
    for each in fields(Size):
        if each.name != "flows":
            # Without a default, so that the options that are given replace those of the chosen size.
            option, kind = f"--{each.name.replace('_', '-')}", type(each.default)
            parser.add_argument(option, type=kind, default=argparse.SUPPRESS, metavar="N", help=_defaults(each.name))
    parser.add_argument("--flows", action="store_true", help="three flows choose the reports of two connections")
    parser.add_argument("--port-base", type=int, default=_PORT_BASE, help="the first of 20 ports")
    parser.add_argument("--directory", type=Path, default=Path(".measured/chaos"))
    arguments = vars(parser.parse_args())
    directory, port_base = arguments.pop("directory").absolute(), arguments.pop("port_base")
    size = replace(WITH_FLOWS if arguments["flows"] else Size(), **arguments)
    if size.flows and size.connections < _CONNECTIONS_WITH_FLOWS:
        parser.error(f"--flows needs at least {_CONNECTIONS_WITH_FLOWS} connections")
    signal.signal(signal.SIGTERM, _stop_requested)
    signal.signal(signal.SIGINT, _stop_requested)
    try:
        ensure_installed()
        outcome = run(directory, size, port_base)
    except StopRequested:
        print("\nStopped.", file=sys.stderr)
        return 130
    except (StackFailed, BrokerFailed) as error:
        print(f"\nThe run failed to start or to finish: {error}", file=sys.stderr)
        return 2
    print(f"\n{markdown(outcome)}\nThis report and its chart are in {directory}.")
    return 1 if outcome.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
