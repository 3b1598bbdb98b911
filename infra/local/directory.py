"""The directory of a local stack: for one stack at a time, emptied at each start, never with other programs' files."""

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.broker.installation import BrokerFailed
from infra.local.broker.node import end_node
from infra.local.errors import StackFailed
from infra.local.files import write_atomically
from infra.local.processes import Child, ProcessSurvived, kill

STACK_FILE = "stack.json"
GUARDIAN_FILE = "guardian.json"
"""In the broker's directory: the pid of its guardian."""
_PROCESSES_FILE = "processes.json"
_LOCK = ".iot-flow-local.lock"


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Delays Ctrl-C and SIGTERM."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take(directory: Path) -> int:
    """Locks the directory until the returned descriptor is closed or the process ends.

    Raises StackFailed when another stack runs in it, or when it holds files that no stack created.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / _LOCK).exists():
        raise StackFailed(f"{directory} holds files of another program. Give LOCAL_DIR an empty directory.")
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StackFailed(f"Another local stack runs in {directory}. Set LOCAL_DIR to start a second one.") from error
    return descriptor


def record_processes(directory: Path, children: Iterable[Child]) -> None:
    """Records the processes that must end with the stack."""
    write_atomically(directory / _PROCESSES_FILE, [{"pid": child.pid, "argv": child.argv} for child in children])


def end_processes(directory: Path) -> None:
    """Kills the recorded processes of a killed stack. Raises ProcessSurvived."""
    # The file describes the killed run; a reader must not take it for that of a running stack.
    (directory / STACK_FILE).unlink(missing_ok=True)
    _kill_recorded(directory / _PROCESSES_FILE)


def _kill_recorded(file: Path) -> None:
    if file.exists():
        for record in json.loads(file.read_text(encoding="utf-8")):
            kill(record["pid"], record["argv"])


def clear(directory: Path, broker_directory: Path) -> bool:
    """Ends the processes that a killed run left and removes its data. True when there was data.

    Raises StackFailed when a process does not end.
    """
    # An interrupted cleanup could lose the record of a process that still runs.
    with _signals_blocked():
        try:
            # The guardian first: it must not clean up after the new stack has started.
            _kill_recorded(broker_directory / GUARDIAN_FILE)
            end_processes(directory)
            end_node(broker_directory)
        except (BrokerFailed, ProcessSurvived) as error:
            raise StackFailed(str(error)) from error
    found = [path for path in directory.iterdir() if path.name != _LOCK]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return bool(found)
