"""A killed stack leaves no process: the guardian ends them, or the next start if the guardian was killed, too."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local import directory
from infra.local.processes import ROOT, command_line
from infra.local.waiting import wait_until

STACK = """
import os, subprocess, sys, threading, time
from pathlib import Path
from infra.local.directory import record_processes
from infra.local.guardian import guard
from infra.local.processes import Child

where = Path(sys.argv[1])
broker = where / "broker"
guardian = guard(broker, where / "guardian.log", os.environ, stack=where)
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
(where / "stack.json").touch()
child = Child("child", [sys.executable, "-c", stubborn], where / "child.log", os.environ)
record_processes(where, [child])
# Like epmd, the node's processes are no children of the stack.
node = subprocess.Popen(
    ["sh", "-c", "sleep 60 & exec sleep 60"], start_new_session=True,
    env={"PATH": os.environ["PATH"], "RABBITMQ_PID_FILE": str(broker / "node.pid")},
)
# Linux signals the death of the first thread, when the others still run.
for _ in range(20):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(guardian.pid, child.pid, node.pid, flush=True)
time.sleep(60)
"""


def ended(pid: int) -> bool:
    return not command_line(pid)


@contextmanager
def killed_stack(where: Path, guardian: bool) -> Iterator[list[int]]:
    """The pids of guardian, child and node after SIGKILL to their stack, and to the guardian first if it is False."""
    where.mkdir()
    argv = [sys.executable, "-c", STACK, str(where)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as stack:
        assert stack.stdout is not None
        pids = [int(pid) for pid in stack.stdout.readline().split()]
        try:
            # A process that has only just started does not ignore SIGTERM yet.
            assert wait_until(lambda: ignores_sigterm(pids[1]), 10)
            if not guardian:
                os.kill(pids[0], signal.SIGKILL)
                assert wait_until(lambda: ended(pids[0]), 5)
            stack.kill()
            stack.wait()
            yield pids
        finally:
            for pid in pids:
                if not ended(pid):
                    os.kill(pid, signal.SIGKILL)


def ignores_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def test_guardian_ends_children_and_node_of_killed_stack(tmp_path: Path) -> None:
    with killed_stack(tmp_path / "local", guardian=True) as pids:
        assert wait_until(lambda: all(map(ended, pids)), 10)
        assert not (tmp_path / "local" / "stack.json").exists()


def test_next_start_ends_what_a_killed_guardian_left(tmp_path: Path) -> None:
    where = tmp_path / "local"
    with killed_stack(where, guardian=False) as pids:
        _, child, node = pids
        assert not ended(child)
        assert not ended(node)
        assert directory.clear(where, where / "broker")
        assert all(map(ended, pids))
    assert list(where.iterdir()) == []


def test_stopped_guardian_cleans_up(tmp_path: Path) -> None:
    # The kernel may report the killed child a moment after the guardian has ended.
    stopped = (
        "guardian.stop(5)\n"
        "from infra.local.waiting import wait_until\n"
        "wait_until(lambda: child.exit_code() is not None, 10)\n"
        "print(guardian.exit_code(), child.exit_code())\n"
    )
    code = STACK.replace("time.sleep(60)\n", stopped)
    (tmp_path / "local").mkdir()
    argv = [sys.executable, "-c", code, str(tmp_path / "local")]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as stack:
        output, _ = stack.communicate(timeout=30)
    pids, codes = output.splitlines()
    assert codes == "0 -9"
    assert all(ended(int(pid)) for pid in pids.split())


def test_recorded_pid_of_another_program_is_spared(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            record = [{"pid": other.pid, "argv": ["python", "-m", "infra.local.api", "--port", "1"]}]
            (tmp_path / "processes.json").write_text(json.dumps(record))
            directory.clear(tmp_path, tmp_path / "broker")
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_bound_program_gets_the_signal_when_its_parent_dies(number: signal.Signals) -> None:
    code = (
        "import signal, subprocess, time; from infra.local.processes import bound_to_this_process;"
        f"argv = bound_to_this_process(['/bin/sleep', '60'], signal.{number.name});"
        "print(subprocess.Popen(argv).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert wait_until(lambda: command_line(pid).startswith("/bin/sleep"), 10)
        parent.kill()
        parent.wait()
        assert wait_until(lambda: ended(pid), 5)
