"""``make schemathesis``: start a local stack and send the requests that schemathesis derives from its description.

The configuration file adds what the description cannot express. A failure makes the exit code 1.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.local.tcp_ports import free_range
from tests.e2e.client import STACK_PORTS, running_stack

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=60, help="the most test cases of a call, in each phase")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print("Starting a local stack ...", flush=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        running_stack(Path(directory), free_range(STACK_PORTS), DEMO="0") as (stack, _),
    ):
        info = stack.info
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION),
            "run", f"{info['apiUrl']}/openapi.json", "--checks", "all", "--workers", "2", "--continue-on-failure",
            "--max-examples", str(arguments.examples), "--seed", str(arguments.seed),
        ]  # fmt: skip
        # The token is passed in the environment, because other users can read a command line. The run's memory is
        # private.
        token = {"API_TOKEN": info["token"]}
        return subprocess.run(command, cwd=directory, env=os.environ | token, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
