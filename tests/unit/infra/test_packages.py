"""Installation of missing packages by several processes at the same time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import packages
from infra.local.packages import InstallFailed, install_once
from infra.local.processes import ROOT

INSTALL = """
import sys, time
from pathlib import Path
from infra.local.packages import install_once

program, log = Path(sys.argv[1]), Path(sys.argv[2])

def install():
    with log.open("a") as file:
        file.write("begin\\n")
    time.sleep(0.5)
    program.touch()

install_once("a program", program.exists, install)
assert program.exists()
"""


def test_two_processes_that_miss_a_program_install_it_once(tmp_path: Path) -> None:
    program, log = tmp_path / "program", tmp_path / "log"
    argv = [sys.executable, "-c", INSTALL, str(program), str(log)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    processes = [subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=30)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert log.read_text() == "begin\n"
    assert sorted(outputs) == [b"", b"Installing a program; this takes a minute ...\n"]


def test_installed_program_is_not_installed_again() -> None:
    def install() -> None:
        pytest.fail("installed again")

    install_once("a program", lambda: True, install)


def test_failed_installation_releases_the_lock() -> None:
    def fail() -> None:
        raise InstallFailed("no network")

    for _ in range(2):
        with pytest.raises(InstallFailed, match="no network"):
            install_once("a program", lambda: False, fail)


def test_apt_waits_for_other_package_managers(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    def run(command: list[str]) -> None:
        commands.append(" ".join(command))
        if len(commands) == 1:
            raise InstallFailed("`apt-get update` failed: E: Unable to lock directory /var/lib/apt/lists/")

    monkeypatch.setattr(packages, "run", run)
    monkeypatch.setattr(packages, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    packages.apt_get_install("a-package")
    assert [command.split()[-1] for command in commands] == ["update", "update", "a-package"]
    assert all("-o DPkg::Lock::Timeout=120" in command for command in commands)
