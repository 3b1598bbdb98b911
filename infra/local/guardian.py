"""A process that cleans up after a killed stack: it ends the stack's processes, its RabbitMQ node and epmd.

Linux can send a signal to the children of a killed process. The node is not a child of the stack: another process may
have started it, and epmd detaches itself. The guardian is a child of the stack that outlives it for a moment.

``guard`` starts it as ``python -m infra.local.guardian --parent PID --broker DIR [--stack DIR]``.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from infra.local import directory
from infra.local.broker.installation import BrokerFailed
from infra.local.broker.node import end_node
from infra.local.directory import GUARDIAN_FILE
from infra.local.errors import StackFailed
from infra.local.files import write_atomically
from infra.local.processes import Child, ProcessSurvived
from infra.local.waiting import wait_until

_POLL_SECONDS = 0.1
_START_SECONDS = 20.0


def guard(broker: Path, log: Path, environment: Mapping[str, str], stack: Path | None = None) -> Child:
    """Starts a guardian and returns once it watches this process. Raises StackFailed.

    ``broker`` is the node's directory, ``stack`` that of a whole stack. Stop the guardian after the broker, because it
    cleans up in any case: SIGTERM may also mean that this process is dying.
    """
    record = broker / GUARDIAN_FILE
    record.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "infra.local.guardian", "--parent", str(os.getpid()), "--broker", str(broker)]
    if stack is not None:
        argv += ["--stack", str(stack)]
    child = Child("guardian", argv, log, environment)
    if not wait_until(lambda: record.exists() or child.exit_code() is not None, _START_SECONDS, step=0.02):
        child.stop(0)
    if child.exit_code() is not None:
        raise StackFailed(f"The guardian did not start. The end of {log}:\n{child.tail()}")
    return child


def main() -> int:
    """Waits for SIGTERM or for the parent's death, then cleans up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="the process that is guarded")
    parser.add_argument("--broker", type=Path, required=True, help="the directory of the node")
    parser.add_argument("--stack", type=Path, help="the directory of a stack, to end its processes, too")
    options = parser.parse_args()
    # Not an event: its lock may be held by the wait that the signal's handler interrupts.
    signals: list[int] = []
    # SIGTERM waits until the record exists: the next start must find every guardian that may still clean up.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    argv = [sys.executable, "-m", "infra.local.guardian", *sys.argv[1:]]
    write_atomically(options.broker / GUARDIAN_FILE, [{"pid": os.getpid(), "argv": argv}])
    signal.signal(signal.SIGTERM, lambda number, _frame: signals.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    # Polling finds the parent's death on systems that send no signal. After the signal, the parent id proves nothing:
    # Linux sends it when the parent's first thread dies, and the others may live for a moment.
    while os.getppid() == options.parent and not signals:
        time.sleep(_POLL_SECONDS)
    try:
        if options.stack is not None:
            directory.end_processes(options.stack)
        end_node(options.broker)
    except (BrokerFailed, ProcessSurvived) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
