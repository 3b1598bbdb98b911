"""``make run`` as a new user sees it: the demo, the addresses, and nothing left behind."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from infra.local.tcp_ports import free_range
from tests.e2e.client import ROOT, STACK_PORTS, eventually, running_stack


def processes_of(directory: Path) -> list[str]:
    """Command lines and environments that name the directory; the stack's children all do."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue  # it ended while we looked
            if str(directory).encode() in text:
                found.append(f"{entry.name}: {text[:200]!r}")
    return found


def listening(base: int) -> list[int]:
    """Those of the stack's ports that somebody answers on."""
    open_ports = []
    for port in range(base, base + STACK_PORTS):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                open_ports.append(port)
    return open_ports


def test_the_demo_ends_with_everything_received_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
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
        assert len(stack.downlinks()) >= 2
        assert stack.info["token"] in text
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert processes_of(tmp_path) == []
    assert listening(base) == []


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
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
