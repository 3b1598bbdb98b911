"""Deploys a stage to AWS, or removes it: ``python -m infra.deploy STAGE`` (infra/README.md)."""

import argparse
import sys
from pathlib import Path

from infra.deploy import preflight, stage
from infra.deploy.account import Account
from infra.deploy.deployment import Deployment

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code: 0, or 1 after one line that names the fault."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("stage", help="a stage of .chalice/config.json")
    parser.add_argument("--dry-run", action="store_true", help="list what would change, and change nothing")
    parser.add_argument("--address", default="", help="the API's base address, if it is not that of API Gateway")
    given = parser.parse_args(arguments)
    try:
        wanted = stage.load(ROOT, given.stage)
        preflight.check_region(wanted)
        address = given.address and given.address.rstrip("/") + "/"
        Deployment(ROOT, wanted, Account.of_environment(wanted.region), given.dry_run, address).run()
    except stage.Refused as refusal:
        print(f"Not deployed: {refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
