"""The commands in a guide.

``python -m tests.functional.infra.deploy.guide.commands`` stands for curl on machines without it.
"""

import argparse
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from infra.local.processes import ROOT

_OF_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
README = ROOT / "infra" / "README.md"


def blocks(guide: Path) -> dict[str, str]:
    """Return the shell commands of each section, by its title."""
    sections = re.split(r"^## ", guide.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {
        each.splitlines()[0]: re.findall(r"^```sh\n(.*?)^```", each, re.DOTALL | re.MULTILINE) for each in sections
    }
    return {title: "".join(texts) for title, texts in found.items() if texts}


def expanded(command: str) -> list[str]:
    """Return the module and arguments that a ``make`` command of the guide runs."""
    program, *arguments = command.split()
    assert program == "make"
    # Inside of make, another make would print more, and take its options.
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    command_line = ["make", "-n", *arguments]
    shown = subprocess.run(command_line, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    start, *words = shown.splitlines()[-1].split()
    assert start == "exec"
    assert words[1] == "-m"
    return words[2:]


def main() -> int:
    """Send a request as curl does, and fail for an answer that is an error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("url")
    given = parser.parse_args()
    data = given.data.encode() if given.data is not None else None
    headers = dict(header.split(": ", 1) for header in given.headers)
    request = urllib.request.Request(given.url, data, headers, method=given.method)  # noqa: S310  # a test's own server
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            print(answer.read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode(), file=sys.stderr)
        return 22
    return 0


if __name__ == "__main__":
    sys.exit(main())
