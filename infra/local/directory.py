"""The directory of a local stack: one stack at a time, emptied at each start, and never somebody else's files."""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.broker import Broker
from infra.local.errors import StackFailed

STACK_FILE = "stack.json"
_LOCK = ".iot-flow-local.lock"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take(directory: Path) -> int:
    """Locks the directory for as long as the returned descriptor is open (until the process ends).

    Raises StackFailed when another stack runs in it, or when it holds files that no stack made.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / _LOCK).exists():
        raise StackFailed(f"{directory} holds files of something else; give LOCAL_DIR an empty directory.")
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StackFailed(f"Another local stack runs in {directory}; a second one needs LOCAL_DIR.") from error
    return descriptor


def clear(directory: Path, broker_directory: Path) -> bool:
    """Stops a broker that a killed run left, and removes its data; whether there was anything.

    Raises BrokerFailed when that broker does not stop.
    """
    # What a killed run says about itself is not true any more.
    (directory / STACK_FILE).unlink(missing_ok=True)
    if (broker_directory / "broker.json").exists():
        # A broker that is half stopped has lost its pid file: the next start could not find it.
        with _undisturbed():
            Broker.load(broker_directory).stop()
    found = [path for path in directory.iterdir() if path.name != _LOCK]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return bool(found)
