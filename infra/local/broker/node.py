"""A private RabbitMQ node with its data, cookie and ports on 127.0.0.1. It does not touch the system's broker.

As a command, ``python -m infra.local.broker.node start|stop --dir DIR`` starts and stops the node whose configuration
and data are in DIR, and ``python -m infra.local.broker.node install`` installs RabbitMQ if it is missing.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.broker.installation import BrokerFailed, ensure_installed, find_program
from infra.local.processes import command_line
from infra.local.waiting import wait_until

START_SECONDS = 240.0
"""RabbitMQ needs more than a minute on a machine with two busy cores."""
COMMAND_SECONDS = 180.0
STOP_SECONDS = 30.0
FREEZE_SECONDS = 5.0
_CONFIG_FILE = "broker.json"
_PID_FILE = "node.pid"


@dataclass(frozen=True)
class BrokerConfig:
    """Settings of a node. All ports are on 127.0.0.1; the administrator has all permissions on ``/``."""

    port: int
    tls_port: int
    management_port: int
    dist_port: int
    epmd_port: int
    """Outside 35672-35682, the range that Erlang's tools use."""
    username: str
    password: str
    ca_file: str
    certificate_file: str
    key_file: str
    plugins: Sequence[str] = ()
    """Plugins besides those for the management page and for logins with a certificate."""
    needs_client_certificate: bool = True
    """Whether a TLS connection without a client certificate is refused."""


class Broker:
    """A node in a directory. ``start`` and ``stop`` keep the data; one process may start it and another stop it."""

    def __init__(self, directory: Path, config: BrokerConfig) -> None:
        self.directory = directory.absolute()
        self.config = config
        self._launched: subprocess.Popen[bytes] | None = None

    @classmethod
    def load(cls, directory: Path) -> "Broker":
        """The node whose configuration is in ``directory``. Raises BrokerFailed when it is missing."""
        try:
            return cls(directory, BrokerConfig(**json.loads((directory / _CONFIG_FILE).read_text())))
        except (OSError, ValueError, TypeError) as error:
            raise BrokerFailed(f"Found no broker in {directory}: {error}") from error

    @property
    def node(self) -> str:
        return f"iotflow{self.config.port}@localhost"

    @property
    def pid(self) -> int:
        """The process id of the Erlang virtual machine. Raises BrokerFailed when it is not running."""
        pid = self._running_pid()
        if pid is None:
            raise BrokerFailed(f"The broker in {self.directory} is not running.")
        return pid

    @property
    def start_command(self) -> list[str]:
        return [sys.executable, "-m", "infra.local.broker.node", "start", "--dir", str(self.directory)]

    @property
    def stop_command(self) -> list[str]:
        return [sys.executable, "-m", "infra.local.broker.node", "stop", "--dir", str(self.directory)]

    def start(self) -> None:
        """Starts the node unless it runs, and returns once it answers AMQP."""
        if self._running_pid() is not None:
            self._wait_ready()
            return
        program = find_program()
        if program is None:
            raise BrokerFailed("RabbitMQ is not installed. Run `make run`, or install the package rabbitmq-server.")
        self._write_configuration()
        with (self.directory / "console.log").open("ab") as console:
            self._launched = subprocess.Popen(
                [program], env=self._environment(), stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                start_new_session=True, cwd=self.directory,
            )  # fmt: skip
        try:
            self._wait_ready()
        except BrokerFailed:
            self._end_launched()
            raise

    def stop(self) -> None:
        """Shuts the node down, and its epmd, which would outlive it."""
        pid = self._running_pid()
        if pid is not None:
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)
            self._wait_gone(pid)
        self.kill_epmd()

    def kill(self) -> None:
        """Kills the node with SIGKILL, like a power cut. The data stays."""
        pid = self._running_pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self._wait_gone(pid)
        self._end_launched()

    def freeze(self) -> None:
        """Suspends the node with SIGSTOP, and returns when all its threads are suspended."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        # A thread on another core runs on for a moment and could still answer.
        if not wait_until(lambda: _is_frozen(pid), FREEZE_SECONDS, step=0.001):
            raise BrokerFailed(f"The node (pid {pid}) did not freeze within {FREEZE_SECONDS:.0f} s.")

    def thaw(self) -> None:
        """Resumes a frozen node."""
        os.kill(self.pid, signal.SIGCONT)

    def ctl(self, *arguments: str) -> str:
        """Runs rabbitmqctl and returns its output. Raises BrokerFailed with its error message."""
        program = find_program()
        if program is None:
            raise BrokerFailed("RabbitMQ is not installed.")
        try:
            done = subprocess.run(
                [program.with_name("rabbitmqctl"), "--quiet", "--node", self.node, *arguments],
                env=self._environment(), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise BrokerFailed(f"rabbitmqctl {arguments[0]} did not end within {COMMAND_SECONDS:.0f} s.") from error
        if done.returncode != 0:
            raise BrokerFailed(f"rabbitmqctl {arguments[0]}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _running_pid(self) -> int | None:
        try:
            pid = int((self.directory / _PID_FILE).read_text())
        except (FileNotFoundError, ValueError):
            return None
        # Another process may have this pid by now; only this node has this home directory.
        return pid if f" -home {self.directory} " in command_line(pid) else None

    def _wait_ready(self) -> None:
        log = self.directory / "console.log"
        if not wait_until(self._answers, START_SECONDS):
            raise BrokerFailed(f"The broker did not start within {START_SECONDS:.0f} s; see {log}")

    def _answers(self) -> bool:
        if self._launched is not None and self._launched.poll() is not None:
            raise BrokerFailed(f"The broker ended during its start; see {self.directory / 'console.log'}")
        try:
            with socket.create_connection(("127.0.0.1", self.config.port), 1) as peer:
                peer.sendall(b"AMQP\x00\x00\x09\x01")
                return peer.recv(1) == b"\x01" and self._running_pid() is not None
        except OSError:
            return False

    def _wait_gone(self, pid: int) -> None:
        if not wait_until(lambda: not command_line(pid), STOP_SECONDS):
            raise BrokerFailed(f"The broker's process {pid} did not end within {STOP_SECONDS:.0f} s.")
        (self.directory / _PID_FILE).unlink(missing_ok=True)
        self._end_launched()

    def _end_launched(self) -> None:
        """Ends the start script, a shell that waits for the node in its own process group."""
        launched, self._launched = self._launched, None
        if launched is None:
            return
        try:
            launched.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(launched.pid, signal.SIGKILL)
            launched.wait()

    def kill_epmd(self) -> None:
        """Ends the node's port mapper, which refuses while a node is registered."""
        epmd = shutil.which("epmd")
        if epmd is not None:
            subprocess.run(
                [epmd, "-port", str(self.config.epmd_port), "-kill"],
                env=self._environment(), capture_output=True, timeout=30, check=False,
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        here = self.directory
        return {
            "LANG": "C.UTF-8",
            **kept,
            "HOME": str(here),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_MNESIA_BASE": str(here / "data"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(here / _PID_FILE),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(self.config.dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self.config.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _write_configuration(self) -> None:
        for name in ("data", "log"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        config = self.config
        _write_private(self.directory / _CONFIG_FILE, json.dumps(asdict(config), indent=2))
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            _write_private(cookie, secrets.token_hex(16))
            cookie.chmod(0o400)
        plugins = ",".join(("rabbitmq_management", "rabbitmq_auth_mechanism_ssl", *config.plugins))
        (self.directory / "enabled_plugins").write_text(f"[{plugins}].\n")
        (self.directory / "advanced.config").write_text("[].\n")
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{config.port}",
            f"listeners.ssl.1 = 127.0.0.1:{config.tls_port}",
            f"ssl_options.cacertfile = {config.ca_file}",
            f"ssl_options.certfile = {config.certificate_file}",
            f"ssl_options.keyfile = {config.key_file}",
            "ssl_options.verify = verify_peer",
            f"ssl_options.fail_if_no_peer_cert = {str(config.needs_client_certificate).lower()}",
            "ssl_options.versions.1 = tlsv1.3",
            "ssl_options.versions.2 = tlsv1.2",
            "ssl_cert_login_from = common_name",
            "auth_mechanisms.1 = PLAIN",
            "auth_mechanisms.2 = AMQPLAIN",
            "auth_mechanisms.3 = EXTERNAL",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {config.management_port}",
            f"default_user = {config.username}",
            f"default_pass = {config.password}",
            "loopback_users = none",
        ]
        _write_private(self.directory / "rabbitmq.conf", "\n".join(lines) + "\n")


def end_node(directory: Path) -> None:
    """Kills all processes of the node in ``directory``, also one that is starting, and removes its configuration.

    Without the configuration, ``start`` in another process cannot start the node again. Raises BrokerFailed when a
    process survives.
    """
    directory = directory.absolute()
    config = directory / _CONFIG_FILE
    if config.exists() and not sys.platform.startswith("linux"):
        # Elsewhere the process list does not show that epmd belongs to this node.
        Broker.load(directory).kill_epmd()
    _kill_processes(directory)
    config.unlink(missing_ok=True)
    # A `start` that read the configuration in time may have launched the node since.
    _kill_processes(directory)


def _kill_processes(directory: Path) -> None:
    survivors: list[int] = []

    def all_gone() -> bool:
        survivors[:] = _processes_of(directory)
        for pid in survivors:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not survivors

    if not wait_until(all_gone, STOP_SECONDS):
        raise BrokerFailed(f"Processes {survivors} of the broker in {directory} did not end after SIGKILL.")


def _processes_of(directory: Path) -> list[int]:
    """The pids of a node's virtual machine and, on Linux, of its start script, epmd and tools."""
    if not sys.platform.startswith("linux"):
        shown = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,command="], capture_output=True, text=True, check=False)
        return [int(line.split()[0]) for line in shown.stdout.splitlines() if f" -home {directory} " in line]
    # epmd detaches itself, so that only its environment shows to which node it belongs.
    entry = f"RABBITMQ_PID_FILE={directory / _PID_FILE}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def _is_frozen(pid: int) -> bool:
    """True when all threads are suspended. Systems without /proc show only the state of the process."""
    threads = [path.read_text(encoding="utf-8") for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    if threads:
        return all(text.rpartition(")")[2].split()[0] == "T" for text in threads)
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip().startswith("T")


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def main(arguments: list[str] | None = None) -> int:
    """The command line. ``start`` and ``stop`` print one line when they are done."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.broker.node", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("install", help="install RabbitMQ if it is missing")
    for action in ("start", "stop"):
        actions.add_parser(action).add_argument("--dir", type=Path, required=True, help="the directory of the node")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        if options.action == "install":
            ensure_installed()
            return 0
        broker = Broker.load(options.dir)
        broker.start() if options.action == "start" else broker.stop()
    except BrokerFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.action}: done in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
