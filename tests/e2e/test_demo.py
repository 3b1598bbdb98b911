"""``make run`` as a new user sees it: the demo, the addresses, and no process left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from infra.local.tcp_ports import free_range
from tests.e2e.client import ROOT, STACK_PORTS, eventually, running_stack


def processes_of(directory: Path) -> list[str]:
    """The processes with the directory in their command line or environment, as all processes of a stack have it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue  # it ended in the meantime
            if str(directory).encode() in text:
                found.append(f"{entry.name}: {text[:200]!r}")
    return found


def listening(base: int) -> list[int]:
    """The stack's ports that accept connections."""
    open_ports = []
    for port in range(base, base + STACK_PORTS):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                open_ports.append(port)
    return open_ports


def test_demo_receives_everything_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    base = free_range(STACK_PORTS)
    with running_stack(tmp_path, base) as (stack, process):
        output = tmp_path / "output.txt"
        eventually(
            lambda: "Ctrl-C stops the stack" in output.read_text() or process.poll() is not None, "the demo", 150
        )
        text = output.read_text()
        assert process.poll() is None, text
        for protocol in ("TCP", "SSL"):
            row = re.search(rf"\b{protocol}\b.*", text.rpartition("sent")[2])
            assert row, text
            numbers = [int(number) for number in re.findall(r"\b\d+\b", row[0])]
            assert numbers[0] == numbers[1] == numbers[2] >= 20, row[0]
        assert "The flow took 10 of 25 uplinks, those of 2 devices" in text
        assert '{"temperature": 20.' in text
        assert len(stack.downlinks()) >= 2
        assert stack.info["token"] in text
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert processes_of(tmp_path) == []
    assert listening(base) == []


def test_busy_port_is_reported_in_one_line(tmp_path: Path) -> None:
    base = free_range(STACK_PORTS)
    with socket.create_server(("127.0.0.1", base)):
        result = subprocess.run(
            [sys.executable, "-m", "infra.local.stack"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "PORT_BASE": str(base), "LOCAL_DIR": str(tmp_path / "local")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    assert str(base) in result.stderr
    assert "PORT_BASE" in result.stderr
    assert "Traceback" not in result.stderr
    assert processes_of(tmp_path) == []


def test_killed_stack_leaves_no_process_and_starts_again_on_the_same_ports(tmp_path: Path) -> None:
    base = free_range(STACK_PORTS)
    with running_stack(tmp_path, base, DEMO="0") as (stack, process):
        # The node is then a process that this test started, not the stack.
        stack.broker("stop")
        stack.broker("start")
        os.kill(stack.info["workers"]["pids"][0], signal.SIGSTOP)
        process.kill()
        process.wait()
        eventually(lambda: processes_of(tmp_path) == [], "the end of all processes", 10)
        eventually(lambda: listening(base) == [], "free ports", 10)

    # A killed make takes the stack along.
    with running_stack(tmp_path, base, make_run(), DEMO="0") as (stack, process):
        assert stack.api("GET", "/connections").status == 200
        process.kill()
        process.wait()
        eventually(lambda: processes_of(tmp_path) == [], "the end of all processes", 10)
        eventually(lambda: listening(base) == [], "free ports", 10)


def make_run() -> list[str]:
    """``make run`` with the virtual environment of this test."""
    venv = Path(sys.prefix)
    return ["make", "-o", str(venv / "bin" / ".installed"), f"VENV={venv}", "run"]
