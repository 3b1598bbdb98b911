"""Installation of missing system packages, safe when several processes ask for it at the same time."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK_SECONDS = 120
"""Seconds that apt waits for another package manager, such as the system's nightly upgrade."""
_RETRY_SECONDS = 2.0
_LOCKED = ("Unable to lock", "Could not get lock")


class InstallFailed(Exception):
    """A package cannot be installed. The text is one line with the command to run by hand."""


def install_once(name: str, is_installed: Callable[[], bool], install: Callable[[], None]) -> None:
    """Calls ``install`` unless the program is installed. Only one process of a user installs at a time."""
    # The check needs the lock, too: a package that is being unpacked already has some of its files.
    with _installation_lock():
        if is_installed():
            return
        print(f"Installing {name}; this takes a minute ...", flush=True)
        install()


def apt_get_install(package: str) -> None:
    """Installs a Debian package. Raises InstallFailed."""
    if os.geteuid() != 0 and not shutil.which("sudo"):
        raise InstallFailed(f"{package} is missing. Run `apt-get install {package}` as root, then run again.")
    environment = ["env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"]
    apt = as_root(*environment, "apt-get", "-qq", "-o", f"DPkg::Lock::Timeout={_LOCK_SECONDS}")
    _update([*apt, "update"])
    run([*apt, "-y", "install", "--no-install-recommends", package])


def as_root(*command: str) -> list[str]:
    """The command with sudo unless this process is root."""
    return list(command) if os.geteuid() == 0 else ["sudo", *command]


def run(command: list[str]) -> None:
    """Runs a command silently. Raises InstallFailed with the last line of its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise InstallFailed(f"`{' '.join(command)}` failed: {last[0]}")


def _update(command: list[str]) -> None:
    """Updates the package lists. apt's lock option does not cover them, so this retries while they are locked."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            run(command)
        except InstallFailed as error:
            if not any(text in str(error) for text in _LOCKED) or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


@contextmanager
def _installation_lock() -> Iterator[None]:
    # One file for each user: root cannot open another user's file in a sticky directory for writing.
    path = Path(tempfile.gettempdir()) / f"iot-flow-amqp-install-{os.getuid()}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
