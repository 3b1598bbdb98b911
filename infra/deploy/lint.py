"""``make lint-deploy``: cfn-lint, parliament and checkov judge the templates and policies.

cfn-lint and parliament must find nothing. Each finding of checkov must have a row in
``docs/operations/security-findings.md``, and each row a finding. parliament and checkov run in own environments.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from infra.local.processes import ROOT

ANSWERS = ROOT / "docs" / "operations" / "security-findings.md"
TEMPLATES = sorted((ROOT / "infra" / "deploy" / "templates").glob("*.yaml"))
POLICIES = sorted((ROOT / ".chalice").glob("policy-*.json"))
# parliament imports pkg_resources, which later versions of setuptools do not have.
_PARLIAMENT = ["--from", "parliament==1.6.4", "--with", "setuptools<81", "parliament"]
_CHECKOV = ["--from", "checkov==3.3.30", "checkov", "--skip-download", "--quiet", "--compact", "--output", "json"]
_ROW = re.compile(r"^\| `(CKV[A-Z0-9_]+)` \| ([^|]+) \|", re.MULTILINE)


class Finding(NamedTuple):
    """A check of checkov's and the resource that fails it, such as ``AWS::DynamoDB::Table.Events``."""

    check: str
    resource: str


class Answer(NamedTuple):
    """A row of the table: the check, and a pattern of the resources that it is about."""

    check: str
    resources: str

    def covers(self, finding: Finding) -> bool:
        return finding.check == self.check and fnmatchcase(finding.resource, self.resources)


def answers(text: str) -> list[Answer]:
    """Return the rows of the table of findings. A row may name several patterns, separated by commas."""
    return [
        Answer(check, pattern.strip().strip("`"))
        for check, patterns in _ROW.findall(text)
        for pattern in patterns.split(",")
    ]


def differences(found: list[Finding], answered: list[Answer]) -> Iterator[str]:
    """Yield a line for each finding without an answer and for each answer without a finding."""
    for finding in sorted(set(found)):
        if not any(answer.covers(finding) for answer in answered):
            yield f"{finding.check} of {finding.resource}: fix it, or answer it in {ANSWERS.relative_to(ROOT)}."
    for answer in answered:
        if not any(answer.covers(finding) for finding in found):
            yield f"{answer.check} of {answer.resources} is not found any more: remove its row."


def _cfn_lint() -> list[str]:
    program = Path(sys.executable).with_name("cfn-lint")
    return _lines([str(program), "--regions", "eu-west-1", "--template", *map(str, TEMPLATES)])


def _parliament() -> Iterator[str]:
    for policy in POLICIES:
        # It takes the policy from stdin: with --file, it wants a terminal there.
        for line in _lines(_in_own_environment(_PARLIAMENT), policy.read_text(encoding="utf-8")):
            yield f"{policy.relative_to(ROOT)}: {line}"


def _checkov(directory: Path) -> list[Finding]:
    subprocess.run(
        [sys.executable, "-m", "infra.deploy.packaging.chalice_packages", "package", "--stage", "test", str(directory)],
        cwd=ROOT,
        env={**os.environ, "AWS_DEFAULT_REGION": "eu-west-1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    files = [option for file in (*TEMPLATES, directory / "sam.json") for option in ("--file", str(file))]
    argv = [*_in_own_environment(_CHECKOV), *files, "--framework", "cloudformation"]
    answer = subprocess.run(argv, check=False, capture_output=True, text=True)
    try:
        report: dict[str, Any] = json.loads(answer.stdout)
        return [Finding(each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"checkov gave no report:\n{answer.stdout}{answer.stderr}") from error


def _in_own_environment(command: list[str]) -> list[str]:
    return [str(Path(sys.executable).with_name("uv")), "tool", "run", "--quiet", *command]


def _lines(argv: list[str], stdin: str | None = None) -> list[str]:
    """The output of a linter that prints one line for each finding, and fails if there is one."""
    answer = subprocess.run(argv, input=stdin, check=False, capture_output=True, text=True)
    if answer.returncode == 0:
        return answer.stdout.splitlines()
    return (answer.stdout or answer.stderr).splitlines() or [f"{argv[0]} failed with {answer.returncode}."]


def main() -> int:
    print(f"cfn-lint: {len(TEMPLATES)} templates ...", flush=True)
    wrong = list(_cfn_lint())
    print(f"parliament: {len(POLICIES)} policies ...", flush=True)
    wrong += _parliament()
    print("checkov: templates and functions ...", flush=True)
    with TemporaryDirectory() as directory:
        found = _checkov(Path(directory))
    answered = answers(ANSWERS.read_text(encoding="utf-8"))
    wrong += differences(found, answered)
    print("\n".join(wrong) or f"No finding without an answer; {len(found)} findings of checkov have one.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
