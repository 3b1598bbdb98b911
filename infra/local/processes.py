"""Child processes of the local stack: they die with their parent, log to files and are stopped in order."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 25
ROOT = Path(__file__).parents[2]
"""The project's directory, where children run."""


def _die_with_parent(parent: int) -> None:
    """Asks Linux to send this process SIGTERM when its parent dies; elsewhere it does nothing. Survives exec."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent != os.getppid():
        sys.exit("The parent process died before its child began.")


class Child:
    """A process that writes its output, line by line, to a log file, and dies with this one.

    To be made in a thread that lives as long as the child should: Linux takes a thread's end for the parent's.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._argv = argv
        self._environment = environment
        self._process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Once more, after it ended."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.local.processes", str(os.getpid()), *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**self._environment, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C goes to the whole group of the terminal: the stack alone decides in which order things stop.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self, patience: float) -> None:
        """SIGTERM, and SIGKILL after ``patience`` seconds."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        return tail(self.log)


def tail(log: Path) -> str:
    """The last lines of a log file, an empty string when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])


if __name__ == "__main__":
    _die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # the command line is the stack's own
