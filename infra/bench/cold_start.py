"""CPU of a cold start: each function's imports and services from the unpacked package, in new processes.

``python -m infra.bench.cold_start [--rounds 10]`` prints a table: with the bytecode of the package, and without it.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.deploy.packaging import bytecode, package
from infra.deploy.packaging.bytecode import Interpreter
from infra.deploy.packaging.runtime import RUNTIME, PackageFailed
from infra.local.processes import ROOT

GOAL = 700
"""Milliseconds of CPU, with bytecode. A function of 1 GB has 0.6 of a processor."""
ROUNDS = 10

HANDLERS = {
    "api_handler": ("connections", "ingress", "connections_api", "uplinks_api"),
    "forward": ("forwarder",),
    "forward_slow": ("slow_forwarder",),
    "consume": ("poll_handler",),
    "send_downlinks": ("downlink_sender",),
    "reconcile": ("reconciler",),
    "codec": ("codec",),
    "notify": ("notification_sender",),
}
"""The services that each handler builds on its first call."""

OF_THE_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3")
"""The libraries that Lambda brings, with bytecode, in the versions that are pinned for the tests."""

_START = """
import sys, time
began = time.process_time()
sys.path[:0] = sys.argv[1:3]
import app
services = app.services()
for name in sys.argv[3:]:
    getattr(services, name)
print((time.process_time() - began) * 1000)
"""


def measure(rounds: int = ROUNDS) -> None:
    """Print the median CPU, user and system, of each function's cold start. The start of Python is not counted."""
    python = bytecode.interpreter()
    if python is None:
        print(f"cold start: not measured, because this machine has no {RUNTIME} (uv python install {RUNTIME[6:]})")
        return
    with TemporaryDirectory() as name:
        directory = Path(name)
        built = package.build(ROOT, directory / "package.zip")
        compiled, plain = directory / "compiled", directory / "plain"
        with zipfile.ZipFile(built.path) as archive:
            archive.extractall(compiled)
            archive.extractall(plain, [name for name in archive.namelist() if not name.endswith(".pyc")])
        libraries = _runtime_libraries(directory / "runtime", python)
        print(
            f"cold start, CPU on Python {python.version}, package of {built.size / 1e6:.1f} MB, {rounds} starts each:"
        )
        print(f"{'function':<16}{'without bytecode':>18}{'with bytecode':>18}{'saved':>8}   goal {GOAL} ms")
        for function, services in HANDLERS.items():
            without, with_it = [], []
            for _ in range(rounds):
                without.append(_start(python, plain, libraries, services))
                with_it.append(_start(python, compiled, libraries, services))
            before, after = statistics.median(without), statistics.median(with_it)
            verdict = "met" if after <= GOAL else "MISSED"
            print(f"{function:<16}{before:>15.0f} ms{after:>15.0f} ms{1 - after / before:>8.0%}   {verdict}")


def _runtime_libraries(directory: Path, python: Interpreter) -> Path:
    directory.mkdir()
    for name in OF_THE_RUNTIME:
        for top in {file.parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            source = Path(str(distribution(name).locate_file(top)))
            if source.is_dir():
                shutil.copytree(source, directory / top, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, directory)
    argv = [python.program, "-I", "-S", "-m", "compileall", "-q", "-j", "1", str(directory)]
    subprocess.run(argv, check=True, capture_output=True)
    return directory


def _start(python: Interpreter, unpacked: Path, libraries: Path, services: tuple[str, ...]) -> float:
    # Lambda cannot write bytecode files beside the package either.
    argv = [python.program, "-I", "-S", "-B", "-c", _START, str(unpacked), str(libraries), *services]
    config = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    variables = config["stages"]["test"]["environment_variables"]
    environment = {**variables, "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    answer = subprocess.run(argv, cwd=unpacked, env=environment, check=True, capture_output=True, text=True)
    return float(answer.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.bench.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    try:
        measure(parser.parse_args().rounds)
    except PackageFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
