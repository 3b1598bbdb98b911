"""Chromium for the tests and screenshots of the web page. ``python -m infra.local.browser.chromium`` installs it."""

import shutil
import sys
from pathlib import Path

from infra.local.packages import InstallFailed, apt_get_install, install_once, run

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
    """Installs Chromium if it is missing. Raises ChromiumMissing."""
    try:
        install_once("Chromium", lambda: find_program() is not None, _install)
    except InstallFailed as error:
        raise ChromiumMissing(str(error)) from error
    program()


def _install() -> None:
    if shutil.which("apt-get"):
        apt_get_install("chromium")
    elif shutil.which("brew"):
        run(["brew", "install", "--cask", "chromium"])


def main() -> int:
    try:
        ensure_installed()
    except ChromiumMissing as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
