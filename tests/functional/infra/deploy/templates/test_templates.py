"""The templates of identity, networks and domains pass cfn-lint."""

import subprocess
import sys
from pathlib import Path

from tests.functional.infra.deploy.templates import stacks

TEMPLATES = ("identity.yaml", "network.yaml", "domain.yaml")


def test_templates_pass_cfn_lint() -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    files = [str(stacks.DEPLOY / name) for name in TEMPLATES]
    answer = subprocess.run(
        [str(program), "--regions", "eu-west-1", "--template", *files], check=False, capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout) == (0, "")
