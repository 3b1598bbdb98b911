"""Chromium for the tests and screenshots of the web page. ``python -m infra.local.browser.chromium`` installs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = Path("/Applications/Chromium.app/Contents/MacOS/Chromium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""With these arguments, Chromium connects to no address on its own."""


class ChromiumMissing(Exception):
    """Chromium is missing and cannot be installed. The text is one line with the remedy."""


def find_program() -> str | None:
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    return found or (str(_MAC) if _MAC.exists() else None)


def program() -> str:
    """Raises ChromiumMissing."""
    found = find_program()
    if found is None:
        raise ChromiumMissing("Chromium is missing: install the package chromium of your system, then run again.")
    return found


def ensure_installed() -> None:
    """Raises ChromiumMissing."""
    if find_program() is not None:
        return
    print("Installing Chromium for the tests of the web page; this takes a minute ...", flush=True)
    if shutil.which("apt-get"):
        _install_debian()
    elif shutil.which("brew"):
        _run(["brew", "install", "--cask", "chromium"])
    program()


def _install_debian() -> None:
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    if prefix and not shutil.which("sudo"):
        raise ChromiumMissing("Chromium is missing: run `apt-get install chromium` as root, then run again.")
    quiet = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    _run([*quiet, "update"])
    _run([*quiet, "-y", "install", "--no-install-recommends", "chromium"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise ChromiumMissing(f"`{' '.join(command)}` failed: {last[0]}")


def main() -> int:
    try:
        ensure_installed()
    except ChromiumMissing as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
