"""The ports of a local stack. PORT_BASE moves all of them."""

import socket
import time
from dataclasses import dataclass
from functools import partial

from infra.local.errors import StackFailed
from infra.local.waiting import wait_until

DEFAULT_BASE = 8000
SPAN = 20
_LOWEST, _HIGHEST = 1024, 65535 - SPAN
_ERLANG_TOOLS = range(35672, 35683)


@dataclass(frozen=True)
class Ports:
    """Ports of a stack, all on 127.0.0.1."""

    base: int

    @property
    def api(self) -> int:
        return self.base

    @property
    def aws(self) -> int:
        return self.base + 1

    @property
    def issuer(self) -> int:
        return self.base + 2

    @property
    def network_server(self) -> int:
        return self.base + 3

    @property
    def amqp(self) -> int:
        return self.base + 4

    @property
    def amqp_tls(self) -> int:
        return self.base + 5

    @property
    def management(self) -> int:
        return self.base + 6

    @property
    def distribution(self) -> int:
        return self.base + 7

    @property
    def epmd(self) -> int:
        return self.base + 8

    @property
    def functions(self) -> int:
        return self.base + 9

    def purposes(self) -> dict[int, str]:
        """The purpose of each port."""
        return {
            self.api: "the API",
            self.aws: "the emulation of AWS",
            self.issuer: "the token issuer",
            self.network_server: "the network server's double",
            self.amqp: "AMQP",
            self.amqp_tls: "AMQP over TLS",
            self.management: "RabbitMQ's management page",
            self.distribution: "Erlang's distribution",
            self.epmd: "Erlang's port mapper",
            self.functions: "Lambda's Invoke",
        }

    def check(self, patience: float = 0) -> None:
        """Waits up to ``patience`` seconds until all ports are free. Raises StackFailed that names a taken port."""
        deadline = time.monotonic() + patience
        for port, purpose in self.purposes().items():
            if not wait_until(partial(_is_free, port), deadline - time.monotonic()):
                raise StackFailed(
                    f"Port {port} ({purpose}) is in use by another program. "
                    f"Stop it, or move all ports with PORT_BASE, such as PORT_BASE={self.base + 100}."
                )


def ports_from(text: str | None) -> Ports:
    """The ports for a value of PORT_BASE. Raises StackFailed when the value is invalid."""
    if not text:
        return Ports(DEFAULT_BASE)
    if not text.isascii() or not text.isdigit() or not _LOWEST <= int(text) <= _HIGHEST:
        raise StackFailed(f"PORT_BASE must be a number from {_LOWEST} to {_HIGHEST}, not {text!r}.")
    ports = Ports(int(text))
    if ports.epmd in _ERLANG_TOOLS:
        raise StackFailed(f"PORT_BASE={text} puts Erlang's port mapper on a port of Erlang's tools. Use another value.")
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of a stopped stack in TIME_WAIT must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
