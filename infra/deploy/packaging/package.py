"""The package of all functions: the same file from the same sources, with wheels and bytecode for Lambda's Python.

``python -m infra.deploy.packaging.package [--architecture arm64] [--without-bytecode] FILE`` does not deploy it.
"""

import argparse
import hashlib
import inspect
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import chalice
import chalice.app

from infra.deploy.packaging import bytecode, libraries, runtime, wheels
from infra.deploy.packaging.runtime import RUNTIME, PackageFailed
from infra.local.processes import ROOT

LARGEST = 15_000_000
"""Bytes of the largest package that is accepted. Lambda takes 50 MB, but a cold start loads all of it."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time in a ZIP file."""
_NO_BYTECODE = (
    f"Warning: no {RUNTIME} was found on this machine, so the package has no bytecode and cold starts take longer. "
    f"Install one with: uv python install {runtime.PYTHON[0]}.{runtime.PYTHON[1]}"
)

Say = Callable[[str], object]


@dataclass(frozen=True)
class Package:
    """A built package: its file, its size in bytes and its SHA-256 in hexadecimal digits."""

    path: Path
    size: int
    sha256: str


def sources(project: Path) -> dict[str, bytes]:
    """Return the files of the project and of Chalice's runtime by their path in the package."""
    found = {f"chalice/{Path(module).name}": Path(module).read_bytes() for module in _chalice_runtime()}
    found["app.py"] = (project / "app.py").read_bytes()
    for path in sorted((project / "chalicelib").rglob("*")):
        relative = path.relative_to(project)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not hidden and path.suffix != ".pyc":
            found[relative.as_posix()] = path.read_bytes()
    return found


def _chalice_runtime() -> tuple[str, str]:
    return inspect.getfile(chalice), inspect.getfile(chalice.app)


def cached(project: Path, architecture: str, say: Say = print) -> Package:
    """Return the package of the project's sources in ``.chalice/deployments``, and build it if it is not there."""
    python = _interpreter(say)
    digest = hashlib.sha256(f"{RUNTIME} {architecture} {python}".encode())
    inputs = {"requirements.txt": (project / "requirements.txt").read_bytes(), **sources(project)}
    for module in (__file__, *map(inspect.getfile, (bytecode, libraries, runtime, wheels))):
        inputs[f"infra/deploy/packaging/{Path(module).name}"] = Path(module).read_bytes()
    for path, content in sorted(inputs.items()):
        digest.update(f"{path} {len(content)} ".encode() + content)
    file = project / ".chalice" / "deployments" / f"{digest.hexdigest()[:32]}-{RUNTIME}-{architecture}.zip"
    if not file.exists():
        say("Building the package ...")
        _write(file, _content(project, architecture, python))
    return _described(file)


def build(project: Path, file: Path, architecture: str = "x86_64", *, with_bytecode: bool = True) -> Package:
    """Build the package at ``file``. Raises PackageFailed."""
    _write(file, _content(project, architecture, _interpreter(print) if with_bytecode else None))
    return _described(file)


def _interpreter(say: Say) -> bytecode.Interpreter | None:
    python = bytecode.interpreter()
    if python is None:
        say(_NO_BYTECODE)
    return python


def _content(project: Path, architecture: str, python: bytecode.Interpreter | None) -> dict[str, bytes]:
    files = {**wheels.files_of(project / "requirements.txt", architecture), **sources(project)}
    return {**files, **bytecode.compiled(files, python)} if python else files


def _write(file: Path, content: Mapping[str, bytes]) -> None:
    """Write a ZIP file that depends on nothing but paths and contents."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, data in sorted(content.items()):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.create_system = 3  # Unix, whose permissions follow
            entry.external_attr = (0o100755 if ".so" in Path(path).suffixes else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    size = unfinished.stat().st_size
    if size > LARGEST:
        unfinished.unlink()
        raise PackageFailed(
            f"The package has {size / 1e6:.1f} MB, and {LARGEST / 1e6:.0f} MB are allowed. Remove a requirement from "
            "requirements.in, or move it to tests/requirements.in if the functions do not import it."
        )
    unfinished.replace(file)


def _described(file: Path) -> Package:
    content = file.read_bytes()
    return Package(file, len(content), hashlib.sha256(content).hexdigest())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.packaging.package", description=__doc__)
    parser.add_argument("file", type=Path, help="the ZIP file to write")
    parser.add_argument("--architecture", choices=sorted(runtime.MACHINES), default="x86_64")
    parser.add_argument("--without-bytecode", action="store_true")
    arguments = parser.parse_args()
    try:
        built = build(ROOT, arguments.file, arguments.architecture, with_bytecode=not arguments.without_bytecode)
    except PackageFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{built.path}: {built.size / 1e6:.2f} MB, SHA-256 {built.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
