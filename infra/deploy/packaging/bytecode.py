"""Bytecode for Lambda's Python: a cold start without it compiles every module that it imports."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.deploy.packaging.runtime import PYTHON, TASK_ROOT, PackageFailed

_ASK = "import json, platform, sys; print(json.dumps([platform.python_implementation(), *sys.version_info[:4]]))"
_SECONDS = 60


@dataclass(frozen=True)
class Interpreter:
    """A CPython of the runtime's version on this machine."""

    program: str
    version: str


@cache
def interpreter() -> Interpreter | None:
    """Return an interpreter of the runtime's version: this one, the one on the PATH, or one of pyenv's or uv's."""
    for program in _candidates():
        try:
            answer = subprocess.run(
                [program, "-I", "-S", "-c", _ASK], check=False, capture_output=True, text=True, timeout=_SECONDS
            )
            implementation, major, minor, micro, level = json.loads(answer.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            # A name on the PATH may be a shim of a version that is not installed.
            continue
        if (implementation, major, minor, level) == ("CPython", *PYTHON, "final"):
            return Interpreter(program, f"{major}.{minor}.{micro}")
    return None


def _candidates() -> Iterator[str]:
    version = f"{PYTHON[0]}.{PYTHON[1]}"
    yield sys.executable
    found = shutil.which(f"python{version}")
    if found:
        yield found
    # pyenv's programs on the PATH start only the versions that the user has activated.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(map(str, (pyenv / "versions").glob(f"{version}.*/bin/python")))
    yield from _by_tool([str(Path(sys.executable).with_name("uv")), "python", "find", "--no-python-downloads", version])


def _by_tool(argv: list[str]) -> Iterator[str]:
    try:
        answer = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return
    if answer.returncode == 0 and answer.stdout.strip():
        yield answer.stdout.strip()


def compiled(sources: Mapping[str, bytes], python: Interpreter) -> dict[str, bytes]:
    """Return the bytecode files of the Python sources by their path in the package.

    Their headers hold the source's hash and are marked as not to be checked, so they depend on no timestamp and
    Lambda's Python loads them without reading the source.
    """
    with TemporaryDirectory() as name:
        root = Path(name).resolve()
        for path, content in sources.items():
            if path.endswith(".py"):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
        argv = [python.program, "-S", "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"]
        argv += ["-s", str(root), "-p", TASK_ROOT, str(root)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        # compileall visits files in sorted order. The fixed seed excludes what depends on the order of sets.
        environment["PYTHONHASHSEED"] = "0"
        answer = subprocess.run(argv, cwd=root, env=environment, check=False, capture_output=True, text=True)
        if answer.returncode != 0:
            said = (answer.stdout + answer.stderr).strip()
            raise PackageFailed(f"Python {python.version} cannot compile a file of the package:\n{said}")
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.pyc"))}
