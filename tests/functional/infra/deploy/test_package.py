"""Chalice packs only wheels that Lambda's Python 3.11 can load and whose hashes are pinned."""

import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from chalice.deploy.packager import DependencyBuilder, PackageDownloadError, PipRunner, SubprocessPip
from chalice.utils import OSUtils

from infra.local.processes import ROOT

ABI = "cp311"
LAMBDA_GLIBC = (2, 26)
LAMBDA_GLIBCXX = (3, 4, 24)
"""Versions of Amazon Linux 2, the system of the runtime python3.11."""
REQUIREMENTS = ROOT / "requirements.txt"
PIP_CONFIGURATION = ROOT / "infra" / "deploy" / "lambda-pip.conf"
COMPILED = ("_cffi_backend", "cryptography", "pydantic_core", "re2")

SETUP = "from setuptools import setup; setup(name='onlysource', version='1.0', py_modules=['onlysource'])"


class PipOnAMac(PipRunner):
    """pip as on a Mac: it downloads wheels for macOS."""

    def download_all_dependencies(self, requirements_filename: str, directory: str) -> None:
        platform = ["--platform", "macosx_15_0_arm64", "--only-binary=:all:"]
        code, _, output = self._execute("download", [*platform, "-r", requirements_filename, "--dest", directory])
        assert code == 0, output


def build(pip: PipRunner, directory: Path, requirements: Path = REQUIREMENTS) -> dict[str, str]:
    """The files that Chalice packs for the requirements, with their hashes. Raises the error of a failed deployment."""
    DependencyBuilder(OSUtils(), pip).build_site_packages(ABI, str(requirements), str(directory))
    return {
        str(path.relative_to(directory)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def as_make_deploys(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"PIP_CONFIG_FILE={PIP_CONFIGURATION.relative_to(ROOT)}" in (ROOT / "Makefile").read_text()
    monkeypatch.setenv("PIP_CONFIG_FILE", str(PIP_CONFIGURATION))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The package of `make deploy`, with each file checked against the hash in requirements.txt."""
    directory = tmp_path_factory.mktemp("packed") / "site"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", str(PIP_CONFIGURATION))
        return directory, build(PipRunner(SubprocessPip()), directory)


def versions(library: Path, name: str) -> list[tuple[int, ...]]:
    """The versions of the symbols that a library needs from another one."""
    found = re.findall(rb"\b%s_(\d+(?:\.\d+)+)\b" % name.encode(), library.read_bytes())
    return [tuple(map(int, version.split(b"."))) for version in found]


def test_every_compiled_library_loads_on_lambda(packed: tuple[Path, dict[str, str]]) -> None:
    libraries = [path for path in packed[0].rglob("*.so*") if path.is_file()]
    assert {str(path.relative_to(packed[0])).split(".")[0].split("/")[0] for path in libraries} == set(COMPILED)
    for library in libraries:
        assert "x86_64" in library.name or "abi3" in library.name
        assert max(versions(library, "GLIBC")) <= LAMBDA_GLIBC
        assert max(versions(library, "GLIBCXX"), default=(0,)) <= LAMBDA_GLIBCXX


def test_package_is_the_same_without_the_pip_configuration(packed: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    assert build(PipRunner(SubprocessPip()), tmp_path / "site") == packed[1]


def test_package_is_the_same_from_another_platform(packed: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    assert build(PipOnAMac(SubprocessPip()), tmp_path / "site") == packed[1]


@pytest.mark.usefixtures("as_make_deploys")
def test_requirement_without_a_wheel_stops_the_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, shelf = tmp_path / "source", tmp_path / "shelf"
    source.mkdir()
    (source / "setup.py").write_text(SETUP)
    (source / "onlysource.py").write_text("")
    argv = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(shelf)]
    subprocess.run(argv, cwd=source, check=True, capture_output=True)
    assert [path.suffix for path in shelf.iterdir()] == [".gz"]
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("onlysource==1.0\n")
    for name in [name for name in os.environ if name in {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"}]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))

    with pytest.raises(Exception, match="onlysource"):
        build(PipRunner(SubprocessPip()), tmp_path / "site", requirements)
    assert not (tmp_path / "site").exists()


@pytest.mark.usefixtures("as_make_deploys")
def test_file_with_another_hash_stops_the_deployment(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    text = REQUIREMENTS.read_text()
    start = text.index("pika==")
    requirements.write_text(re.sub(r"(--hash=sha256:)[0-9a-f]{64}", rf"\g<1>{'0' * 64}", text[start:], count=2))
    with pytest.raises(PackageDownloadError, match="DO NOT MATCH THE HASHES"):
        build(PipRunner(SubprocessPip()), tmp_path / "site", requirements)
