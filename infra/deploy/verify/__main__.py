"""``make verify-aws STAGE=x``: an acceptance run on a deployed stage, or on the running local stack.

Exit codes: 0 no check failed, 1 a check failed, 2 the run cannot start.
"""

import argparse
import sys
from functools import partial

from infra.deploy.operate.errors import OperateFailed
from infra.deploy.verify import edges, flows
from infra.deploy.verify.report import Check, run_all
from infra.deploy.verify.site import Site, site_of
from infra.local.errors import StackFailed


def checks_of(site: Site, *, idle: float, deploy: bool) -> list[Check]:
    """Return all checks, in the order of the run."""
    return [
        Check("401 header", partial(edges.unauthorized_header, site)),
        Check("order of query parameters", partial(edges.order_of_query_parameters, site)),
        Check("short receives", partial(edges.short_receives, site)),
        Check("uplinks over TCP", partial(flows.uplinks_over_tcp, site)),
        Check("uplinks over TLS", partial(flows.uplinks_over_tls, site)),
        Check("downlink back", partial(flows.downlink_back, site)),
        Check("broker killed", partial(flows.broker_killed, site)),
        Check("frozen function thawed", partial(flows.frozen_function_thawed, site, idle)),
        Check("deploy twice", partial(edges.deploy_twice, site, deploy)),
    ]


def main() -> int:
    """Run all checks of a stage."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.verify", description=__doc__)
    parser.add_argument("stage", help="a stage of .chalice/config.json, or local for the running local stack")
    parser.add_argument("--idle", type=float, default=0, help="minutes to wait before the thawed function's uplink")
    parser.add_argument("--deploy", action="store_true", help="deploy the stage twice, too")
    arguments = parser.parse_args()
    try:
        site = site_of(arguments.stage)
    except (OperateFailed, StackFailed) as error:
        print(f"The run cannot start: {error}", file=sys.stderr)
        return 2
    checks = checks_of(site, idle=arguments.idle, deploy=arguments.deploy)
    failed = run_all(checks)
    print(f"{len(checks)} checks, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
