"""Child processes of the local stack: they log to files, stop in order and die with their parent.

As a command, ``python -m infra.local.processes PARENT SIGNAL PROGRAM ARGUMENT...`` replaces itself with a program that
gets the signal when the process PARENT dies. Linux only; elsewhere the program runs without that signal.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.waiting import wait_until

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 25
_KILL_SECONDS = 10.0
ROOT = Path(__file__).parents[2]
"""The project's directory, where children run."""


class ProcessSurvived(Exception):
    """A process did not end after SIGKILL."""


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Asks Linux to send this process a signal when its parent dies. The request survives exec.

    Exits when the parent is dead already. Does nothing on other systems.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent != os.getppid():
        sys.exit("The parent process died before its child began.")


def bound_to_this_process(argv: Sequence[str], number: signal.Signals) -> list[str]:
    """The command that runs ``argv`` and sends it a signal when this process dies."""
    return [sys.executable, "-m", "infra.local.processes", str(os.getpid()), number.name, *argv]


class Child:
    """A process that writes its output, line by line, to a log file, and gets SIGTERM when this process dies.

    Create it in a thread that lives as long as the child should: Linux sends the signal when that thread ends.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self.argv = tuple(argv)
        self._environment = environment
        self._process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Starts the process. Call it again only after the process ended."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                bound_to_this_process(self.argv, signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**self._environment, "PYTHONUNBUFFERED": "1"},
                # The terminal sends Ctrl-C to its whole group, but the stack must choose the order of stopping.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """The exit code, None while the process runs."""
        return self._process.poll()

    def stop(self, patience: float) -> None:
        """Sends SIGTERM, and SIGKILL after ``patience`` seconds."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The last lines of the log."""
        return tail(self.log)


def tail(log: Path) -> str:
    """The last lines of a log file, an empty string when the file is missing."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])


def command_line(pid: int) -> str:
    """The command line of a live process. Empty for a process that ended, also for a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    done = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout


def runs(pid: int, argv: Sequence[str]) -> bool:
    """True if the process runs this command. Another program may have the pid of a process that ended."""
    # macOS shows another path for the interpreter, so only its arguments are compared.
    return command_line(pid).rstrip().endswith(" ".join(argv[1:]))


def kill(pid: int, argv: Sequence[str]) -> None:
    """Kills the process if it still runs this command, and waits for its end. Raises ProcessSurvived."""
    if not runs(pid, argv):
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    if not wait_until(lambda: not runs(pid, argv), _KILL_SECONDS):
        raise ProcessSurvived(f"Process {pid} ({' '.join(argv)}) did not end after SIGKILL.")


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]), signal.Signals[sys.argv[2]])
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606  # the command line comes from this project's own programs
