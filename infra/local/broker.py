"""A private RabbitMQ node: own data, own cookie, own ports on 127.0.0.1, nothing of the system's touched.

As a command: ``python -m infra.local.broker start|stop --dir DIR`` starts and stops the node whose configuration is
kept in DIR, with its data.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.waiting import wait_until

DEBIAN_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The one in sbin changes to the user of the system's own broker."""
POLICY = Path("/usr/sbin/policy-rc.d")
START_SECONDS = 90.0
STOP_SECONDS = 30.0
FREEZE_SECONDS = 5.0


class BrokerFailed(Exception):
    """The node cannot be installed, started or stopped; the text is one line that says why."""


@dataclass(frozen=True)
class BrokerConfig:
    """What a node is made of. All ports are on 127.0.0.1; the administrator gets all permissions on ``/``."""

    port: int
    tls_port: int
    management_port: int
    dist_port: int
    epmd_port: int
    """Outside 35672-35682, which Erlang's tools use themselves."""
    username: str
    password: str
    ca_file: str
    certificate_file: str
    key_file: str


class Broker:
    """A node in a directory. ``start`` and ``stop`` keep the data, also from one process to another."""

    def __init__(self, directory: Path, config: BrokerConfig) -> None:
        self.directory = directory.absolute()
        self.config = config
        self._launched: subprocess.Popen[bytes] | None = None

    @classmethod
    def load(cls, directory: Path) -> "Broker":
        """The node that was once started in ``directory``."""
        try:
            return cls(directory, BrokerConfig(**json.loads((directory / "broker.json").read_text())))
        except (OSError, ValueError, TypeError) as error:
            raise BrokerFailed(f"There is no broker in {directory}: {error}") from error

    @property
    def node(self) -> str:
        return f"iotflow{self.config.port}@localhost"

    @property
    def pid(self) -> int:
        """The process id of the Erlang virtual machine. Raises BrokerFailed when it does not run."""
        pid = self._running_pid()
        if pid is None:
            raise BrokerFailed(f"The broker in {self.directory} does not run.")
        return pid

    @property
    def start_command(self) -> list[str]:
        return [sys.executable, "-m", "infra.local.broker", "start", "--dir", str(self.directory)]

    @property
    def stop_command(self) -> list[str]:
        return [sys.executable, "-m", "infra.local.broker", "stop", "--dir", str(self.directory)]

    def start(self) -> None:
        """Returns once the node answers AMQP. No effect on one that runs."""
        if self._running_pid() is not None:
            self._wait_ready()
            return
        program = find_program()
        if program is None:
            raise BrokerFailed("RabbitMQ is not installed; run `make run`, or install the package rabbitmq-server.")
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
        """Stops the node in order, and its epmd, which would outlive it."""
        pid = self._running_pid()
        if pid is not None:
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)
            self._wait_gone(pid)
        self._stop_epmd()

    def kill(self) -> None:
        """Kills the node as a power cut would; its data stays."""
        pid = self._running_pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self._wait_gone(pid)
        self._end_launched()

    def freeze(self) -> None:
        """Stops the node where it is, and returns when it does nothing any more."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        # A thread that runs on another core goes on for a moment, and could still answer.
        if not wait_until(lambda: _is_frozen(pid), FREEZE_SECONDS, step=0.001):
            raise BrokerFailed(f"The node (pid {pid}) does not freeze.")

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ctl(self, *arguments: str) -> str:
        """Runs rabbitmqctl and returns what it printed. Raises BrokerFailed with its complaint."""
        program = find_program()
        if program is None:
            raise BrokerFailed("RabbitMQ is not installed.")
        done = subprocess.run(
            [program.with_name("rabbitmqctl"), "--quiet", "--node", self.node, *arguments],
            env=self._environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise BrokerFailed(f"rabbitmqctl {arguments[0]}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _running_pid(self) -> int | None:
        try:
            pid = int((self.directory / "node.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None
        # The home directory is this node's alone, so that a number that another process has by now is not taken for it.
        return pid if f" -home {self.directory} " in _command_line(pid) else None

    def _wait_ready(self) -> None:
        log = self.directory / "console.log"
        if not wait_until(self._answers, START_SECONDS):
            raise BrokerFailed(f"The broker did not start within {START_SECONDS:.0f} s; see {log}")

    def _answers(self) -> bool:
        if self._launched is not None and self._launched.poll() is not None:
            raise BrokerFailed(f"The broker ended at once; see {self.directory / 'console.log'}")
        try:
            with socket.create_connection(("127.0.0.1", self.config.port), 1) as peer:
                peer.sendall(b"AMQP\x00\x00\x09\x01")
                return peer.recv(1) == b"\x01" and self._running_pid() is not None
        except OSError:
            return False

    def _wait_gone(self, pid: int) -> None:
        if not wait_until(lambda: not _command_line(pid), STOP_SECONDS):
            raise BrokerFailed(f"The broker's process {pid} did not end within {STOP_SECONDS:.0f} s.")
        (self.directory / "node.pid").unlink(missing_ok=True)
        self._end_launched()

    def _end_launched(self) -> None:
        """The start script is a shell that waits for the node; it is a group of its own."""
        launched, self._launched = self._launched, None
        if launched is None:
            return
        try:
            launched.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(launched.pid, signal.SIGKILL)
            launched.wait()

    def _stop_epmd(self) -> None:
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
            "RABBITMQ_PID_FILE": str(here / "node.pid"),
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
        _write_private(self.directory / "broker.json", json.dumps(asdict(config), indent=2))
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            _write_private(cookie, secrets.token_hex(16))
            cookie.chmod(0o400)
        (self.directory / "enabled_plugins").write_text("[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n")
        (self.directory / "advanced.config").write_text("[].\n")
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{config.port}",
            f"listeners.ssl.1 = 127.0.0.1:{config.tls_port}",
            f"ssl_options.cacertfile = {config.ca_file}",
            f"ssl_options.certfile = {config.certificate_file}",
            f"ssl_options.keyfile = {config.key_file}",
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = true",
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


def ensure_installed() -> None:
    """Installs RabbitMQ where it is missing. Raises BrokerFailed with what is to be done by hand."""
    if find_program() is not None:
        return
    if shutil.which("apt-get"):
        _install_debian()
    elif shutil.which("brew"):
        _run(["brew", "install", "rabbitmq"])
    if find_program() is None:
        raise BrokerFailed("RabbitMQ is missing: install the package rabbitmq-server of your system, then run again.")


def find_program() -> Path | None:
    """The server's start script, or None where RabbitMQ is not installed."""
    if DEBIAN_PROGRAM.exists():
        return DEBIAN_PROGRAM
    homes = [Path("/opt/homebrew/opt/rabbitmq/sbin"), Path("/usr/local/opt/rabbitmq/sbin"), Path("/opt/rabbitmq/sbin")]
    return next((home / "rabbitmq-server" for home in homes if (home / "rabbitmq-server").exists()), None)


def _install_debian() -> None:
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    if prefix and not shutil.which("sudo"):
        raise BrokerFailed("RabbitMQ is missing: run `apt-get install rabbitmq-server` as root, then run again.")
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    with _no_services_started(prefix):
        _run([*prefix, "apt-get", "-qq", "update"])
        _run([*prefix, *environment, "apt-get", "-qq", "-y", "install", "--no-install-recommends", "rabbitmq-server"])


@contextmanager
def _no_services_started(prefix: list[str]) -> Iterator[None]:
    """The package starts a broker of its own unless a policy says no. One that is there is left as it is."""
    if POLICY.exists():
        yield
        return
    _run([*prefix, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"])
    try:
        yield
    finally:
        _run([*prefix, "rm", "-f", str(POLICY)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise BrokerFailed(f"`{' '.join(command)}` failed: {last[0]}")


def _is_frozen(pid: int) -> bool:
    """By the state of all threads where the system shows them, else by the process's."""
    threads = [path.read_text(encoding="utf-8") for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    if threads:
        return all(text.rpartition(")")[2].split()[0] == "T" for text in threads)
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip().startswith("T")


def _command_line(pid: int) -> str:
    """The command of a live process, empty for one that has ended (an unreaped one, too)."""
    process = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    done = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def main(arguments: list[str] | None = None) -> int:
    """The command line: start and stop print one line when they are done."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.broker", description=__doc__)
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("--dir", type=Path, required=True, help="the directory of the node")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        broker = Broker.load(options.dir)
        broker.start() if options.action == "start" else broker.stop()
    except BrokerFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.action}: done in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
