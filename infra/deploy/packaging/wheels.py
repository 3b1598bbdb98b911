"""The wheels of the shipped requirements for Lambda, on any machine and with any Python."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement

from infra.deploy.packaging.libraries import without_debug_information
from infra.deploy.packaging.runtime import GLIBC, MACHINES, PYTHON, PackageFailed

_OLDEST_MINOR = 17
"""The glibc 2.17 of manylinux2014."""
_UNUSED = frozenset({"cffi", "pycparser"})
"""Folders that only a build of an extension imports. cryptography is built, and needs ``_cffi_backend`` alone."""


def files_of(requirements: Path, architecture: str, python: tuple[int, int] = PYTHON) -> dict[str, bytes]:
    """Return the files of all requirements by their path in the package.

    pip checks each wheel against its hash in ``requirements`` and takes no source distribution. Raises PackageFailed
    if a wheel is missing or has another hash.
    """
    with TemporaryDirectory() as name:
        directory = Path(name)
        download(requirements, directory, architecture, python)
        found: dict[str, bytes] = {}
        for wheel in sorted(directory.glob("*.whl")):
            for path, content in _unpacked(wheel):
                if PurePosixPath(path).parts[0] in _UNUSED:
                    continue
                if found.setdefault(path, content) != content:
                    raise PackageFailed(f"Two of the wheels in {requirements.name} contain a file {path}.")
        return found


def download(requirements: Path, directory: Path, architecture: str, python: tuple[int, int] = PYTHON) -> None:
    """Download the wheels of ``requirements`` into ``directory``."""
    major, minor = python
    wanted = directory / "requirements.txt"
    lines = _for_lambda(requirements.read_text(encoding="utf-8"), architecture, f"{major}.{minor}")
    wanted.write_text("\n".join(lines), encoding="utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    target = ["--implementation", "cp", "--python-version", f"{major}.{minor}", "--abi", f"cp{major}{minor}"]
    for platform in platforms(architecture):
        target += ["--platform", platform]
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options, *target]
    argv += ["--dest", str(directory), "--requirement", str(wanted)]
    answer = subprocess.run(argv, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        said = "\n".join(line for line in answer.stderr.splitlines() if not line.startswith("WARNING:"))
        raise PackageFailed(
            f"pip could not download the wheels of {requirements} for Python {major}.{minor} on {architecture}. Choose "
            f"versions that have such wheels (make lock), or check your package index. pip says:\n{said}"
        )


def platforms(architecture: str) -> list[str]:
    """Return the platform tags of wheels that load on Lambda, the newest first: pip prefers the first."""
    machine = MACHINES[architecture]
    return [
        *(f"manylinux_{GLIBC[0]}_{minor}_{machine}" for minor in range(GLIBC[1], _OLDEST_MINOR - 1, -1)),
        f"manylinux2014_{machine}",
    ]


def _for_lambda(text: str, architecture: str, version: str) -> Iterator[str]:
    """The requirements whose markers hold on Lambda, without markers: pip would evaluate them for this machine."""
    environment = {
        "implementation_name": "cpython",
        "implementation_version": f"{version}.0",
        "os_name": "posix",
        "platform_machine": MACHINES[architecture],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{version}.0",
        "python_version": version,
        "sys_platform": "linux",
    }
    for line in text.replace("\\\n", " ").splitlines():
        stated = line.partition(" #")[0].strip()
        if not stated or stated.startswith(("#", "--")):
            continue
        name, *hashes = stated.split("--hash=")
        requirement = Requirement(name.strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            yield " ".join([str(requirement), *(f"--hash={each.strip()}" for each in hashes)])


def _unpacked(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """The files that an installation puts into site-packages.

    Of the metadata only the name and version (scanners for vulnerable packages read them) and the licences are kept.
    """
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            parts = PurePosixPath(entry.filename).parts
            if entry.is_dir():
                continue
            if parts[0].endswith(".data"):
                if parts[1] not in {"purelib", "platlib"}:
                    continue
                parts = parts[2:]
            elif parts[0].endswith(".dist-info") and parts[1] != "METADATA" and parts[1] != "licenses":
                continue
            content = archive.read(entry)
            yield "/".join(parts), without_debug_information(content) if ".so" in Path(parts[-1]).suffixes else content
