"""An emulation of AWS (moto) in a separate process, for measurements of this process."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from infra.local.tcp_ports import free_ports
from infra.local.waiting import wait_until


@contextmanager
def emulation() -> Iterator[None]:
    """Start the emulation, point the AWS clients of this process at it, and stop it at the end."""
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "infra.local.aws.server", "--port", str(port)])
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",  # noqa: S106
        AWS_DEFAULT_REGION="eu-west-1",
    )
    try:
        if not wait_until(lambda: accepts(port), 30):
            raise RuntimeError("The emulation of AWS did not start.")
        yield
    finally:
        process.terminate()
        process.wait(10)


def accepts(port: int) -> bool:
    """Return whether a server of this machine accepts connections at the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
