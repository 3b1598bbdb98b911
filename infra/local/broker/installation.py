"""Installation of RabbitMQ through the system's package manager."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.packages import InstallFailed, apt_get_install, as_root, install_once, run

DEBIAN_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The script in sbin switches to the user of the system's broker."""
POLICY = Path("/usr/sbin/policy-rc.d")


class BrokerFailed(Exception):
    """The node cannot be installed, started or stopped. The text is one line that gives the reason."""


def ensure_installed() -> None:
    """Installs RabbitMQ if it is missing. Raises BrokerFailed with the command to run by hand."""
    try:
        install_once("RabbitMQ", lambda: find_program() is not None, _install)
    except InstallFailed as error:
        raise BrokerFailed(str(error)) from error
    if find_program() is None:
        raise BrokerFailed("RabbitMQ is missing. Install your system's package rabbitmq-server, then run again.")


def find_program() -> Path | None:
    """The server's start script, None when RabbitMQ is not installed."""
    if DEBIAN_PROGRAM.exists():
        return DEBIAN_PROGRAM
    homes = [Path("/opt/homebrew/opt/rabbitmq/sbin"), Path("/usr/local/opt/rabbitmq/sbin"), Path("/opt/rabbitmq/sbin")]
    return next((home / "rabbitmq-server" for home in homes if (home / "rabbitmq-server").exists()), None)


def _install() -> None:
    if shutil.which("apt-get"):
        with _no_services_started():
            apt_get_install("rabbitmq-server")
    elif shutil.which("brew"):
        run(["brew", "install", "rabbitmq"])


@contextmanager
def _no_services_started() -> Iterator[None]:
    """Keeps the package from starting the system's broker. Leaves an existing policy file as it is."""
    if POLICY.exists():
        yield
        return
    run(as_root("sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"))
    try:
        yield
    finally:
        run(as_root("rm", "-f", str(POLICY)))
