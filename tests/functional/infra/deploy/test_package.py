"""The package is the same from the same sources, and has only wheels with pinned hashes that Lambda can load."""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath

import pytest

from infra.deploy.packaging import bytecode, libraries, package, wheels
from infra.deploy.packaging.bytecode import Interpreter
from infra.deploy.packaging.runtime import GLIBC, GLIBCXX, MACHINES, PYTHON, TASK_ROOT, PackageFailed
from infra.local.processes import ROOT

REQUIREMENTS = ROOT / "requirements.txt"
COMPILED = {"_cffi_backend", "_quickjs", "cryptography", "pydantic_core", "re2"}
SETUP = "from setuptools import setup; setup(name='onlysource', version='1.0', py_modules=['onlysource'])"
THIS_PYTHON = Interpreter(sys.executable, "{}.{}.{}".format(*sys.version_info))
UNCHECKED_HASH = 1
"""The flags in the header of a bytecode file that is never compared with its source."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project in another folder, with other times and permissions, and with bytecode of this Python."""
    copy = tmp_path / "elsewhere" / "project"
    shutil.copytree(ROOT / "chalicelib", copy / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "requirements.txt"):
        shutil.copyfile(ROOT / name, copy / name)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    cache = Path(cache_from_source(str(copy / "chalicelib" / "config.py")))
    cache.parent.mkdir()
    cache.write_bytes(b"not bytecode")
    return copy


@pytest.fixture
def with_few_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package needs no download. Its bytecode is that of this Python, which every machine has."""
    monkeypatch.setattr(wheels, "files_of", lambda *_: {"library/__init__.py": b"VALUE = 1\n"})
    monkeypatch.setattr(bytecode, "interpreter", lambda: THIS_PYTHON)


def versions(library: bytes, name: str) -> list[tuple[int, ...]]:
    """The versions of the symbols that a library needs from another one."""
    found = re.findall(rb"\b%s_(\d+(?:\.\d+)+)\b" % name.encode(), library)
    return [tuple(map(int, version.split(b"."))) for version in found]


@pytest.mark.parametrize(("architecture", "elf_machine"), [("x86_64", 62), ("arm64", 183)])
def test_every_compiled_library_loads_on_lambda(architecture: str, elf_machine: int) -> None:
    files = wheels.files_of(REQUIREMENTS, architecture)
    compiled = {path: content for path, content in files.items() if ".so" in PurePosixPath(path).suffixes}
    assert {path.split(".")[0].split("/")[0] for path in compiled} == COMPILED
    for path, content in compiled.items():
        assert content[:4] == b"\x7fELF"
        assert struct.unpack_from("<H", content, 18) == (elf_machine,)
        assert f"cpython-{PYTHON[0]}{PYTHON[1]}-{MACHINES[architecture]}" in path or ".abi3." in path
        assert max(versions(content, "GLIBC")) <= GLIBC == (2, 34)
        assert max(versions(content, "GLIBCXX"), default=(0,)) <= GLIBCXX == (3, 4, 29)
        assert b"/usr/include/" not in content, f"{path} has debug information"


def test_wheels_have_no_folder_that_only_builds_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def downloaded(_requirements: Path, directory: Path, *_: object) -> None:
        with zipfile.ZipFile(directory / "cffi-2.0-py3-none-any.whl", "w") as archive:
            for name in ("cffi/api.py", "_cffi_backend.abi3.so", "cffi-2.0.dist-info/METADATA"):
                archive.writestr(name, name)

    monkeypatch.setattr(wheels, "download", downloaded)
    found = wheels.files_of(tmp_path / "requirements.txt", "x86_64")
    assert set(found) == {"_cffi_backend.abi3.so", "cffi-2.0.dist-info/METADATA"}


def elf(name: bytes, flags: int, content: bytes) -> bytes:
    """A library with one section of this name, between its header and its table of sections."""
    texts = b"\0" + name + b"\0.shstrtab\0"
    at = 64 + len(content)
    section = struct.pack("<IIQQQQIIQQ", 1, 1, flags, 0, 64, len(content), 0, 0, 1, 0)
    names = struct.pack("<IIQQQQIIQQ", len(name) + 2, 3, 0, 0, at, len(texts), 0, 0, 1, 0)
    head = bytearray(b"\x7fELF\x02\x01".ljust(64, b"\0"))
    struct.pack_into("<Q", head, 0x28, at + len(texts))
    struct.pack_into("<HHH", head, 0x3A, 64, 2, 1)
    return bytes(head) + content + texts + section + names


@pytest.mark.parametrize(
    ("name", "flags", "left"), [(b".debug_info", 0, bytes(4)), (b".debug_info", 2, b"used"), (b".text", 0, b"used")]
)
def test_debug_information_becomes_zeros_in_its_place(name: bytes, flags: int, left: bytes) -> None:
    assert libraries.without_debug_information(elf(name, flags, b"used")) == elf(name, flags, left)
    assert libraries.without_debug_information(b"no library") == b"no library"


def test_package_has_what_an_installation_would_import_with_versions_and_licences(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "library-1.0-py3-none-any.whl", "w") as archive:
        for name in (
            *("library/__init__.py", "library-1.0.data/purelib/more.py", "library-1.0.data/scripts/program"),
            *(f"library-1.0.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")),
        ):
            archive.writestr(name, name)
    assert dict(wheels._unpacked(tmp_path / "library-1.0-py3-none-any.whl")) == {
        "library/__init__.py": b"library/__init__.py",
        "more.py": b"library-1.0.data/purelib/more.py",
        "library-1.0.dist-info/METADATA": b"library-1.0.dist-info/METADATA",
        "library-1.0.dist-info/licenses/LICENSE": b"library-1.0.dist-info/licenses/LICENSE",
    }


@pytest.mark.usefixtures("with_few_libraries")
def test_package_is_the_same_from_another_folder_at_another_time(project: Path, tmp_path: Path) -> None:
    first = package.build(ROOT, tmp_path / "first.zip")
    second = package.build(project, tmp_path / "second.zip")
    assert first.sha256 == second.sha256 == hashlib.sha256((tmp_path / "first.zip").read_bytes()).hexdigest()
    with zipfile.ZipFile(second.path) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted({entry.filename for entry in entries})
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}


@pytest.mark.usefixtures("with_few_libraries")
def test_every_source_has_bytecode_that_is_never_checked(project: Path, tmp_path: Path) -> None:
    built = package.build(project, tmp_path / "package.zip")
    with zipfile.ZipFile(built.path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    names = {PurePosixPath(cache_from_source(name)).as_posix(): name for name in files if name.endswith(".py")}
    assert set(names) == {name for name in files if name.endswith(".pyc")}
    for cache, source in names.items():
        assert struct.unpack_from("<I", files[cache], 4) == (UNCHECKED_HASH,)
        # The same names in tracebacks as on Lambda, so that nothing of this machine is in the package.
        assert f"{TASK_ROOT}/{source}".encode() in files[cache]


@pytest.mark.usefixtures("with_few_libraries")
def test_unchanged_project_takes_the_package_that_is_there(project: Path) -> None:
    said: list[str] = []
    first = package.cached(project, "x86_64", said.append)
    written = first.path.stat().st_mtime_ns
    assert package.cached(project, "x86_64", said.append) == first
    assert (first.path.stat().st_mtime_ns, said) == (written, ["Building the package ..."])

    (project / "app.py").write_text("changed = True\n")
    changed = package.cached(project, "x86_64", said.append)
    assert (changed.path != first.path, changed.sha256 != first.sha256) == (True, True)


@pytest.mark.usefixtures("with_few_libraries")
def test_machine_without_the_runtime_builds_without_bytecode_and_warns(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bytecode, "interpreter", lambda: None)
    built = package.build(project, tmp_path / "package.zip")
    [warning] = capsys.readouterr().out.splitlines()
    assert warning.startswith("Warning: no python3.13 was found on this machine, so the package has no bytecode")
    with zipfile.ZipFile(built.path) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".pyc")]


@pytest.mark.usefixtures("with_few_libraries")
def test_too_large_package_is_refused(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "LARGEST", 1000)
    with pytest.raises(PackageFailed, match="MB are allowed"):
        package.build(project, tmp_path / "package.zip")
    assert not list(tmp_path.glob("package*"))


def test_markers_are_evaluated_for_lambda_and_not_for_this_machine() -> None:
    text = """
    always==1 --hash=sha256:aa \\
        --hash=sha256:bb
    old==1 ; python_version < '3.13' --hash=sha256:cc
    new==1 ; python_full_version >= '3.13' and sys_platform == 'linux' --hash=sha256:dd
    windows==1 ; sys_platform == 'win32' --hash=sha256:ee
    # a comment
    --only-binary :all:
    """
    assert list(wheels._for_lambda(text, "x86_64", "3.13")) == [
        "always==1 --hash=sha256:aa --hash=sha256:bb",
        "new==1 --hash=sha256:dd",
    ]


def test_requirement_without_a_wheel_stops_the_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, shelf = tmp_path / "source", tmp_path / "shelf"
    source.mkdir()
    (source / "setup.py").write_text(SETUP)
    (source / "onlysource.py").write_text("")
    argv = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(shelf)]
    subprocess.run(argv, cwd=source, check=True, capture_output=True)
    [archive] = shelf.iterdir()
    assert archive.suffix == ".gz"
    requirements = tmp_path / "requirements.txt"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    requirements.write_text(f"onlysource==1.0 --hash=sha256:{digest}\n")
    for name in [name for name in os.environ if name in {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"}]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))

    with pytest.raises(PackageFailed, match="onlysource"):
        wheels.files_of(requirements, "x86_64")


def test_file_with_another_hash_stops_the_deployment(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    text = REQUIREMENTS.read_text()
    [stated] = re.findall(r"^pika==(?:.|\n)*?\n(?=\S)", text, re.MULTILINE)
    requirements.write_text(re.sub(r"(--hash=sha256:)[0-9a-f]{64}", rf"\g<1>{'0' * 64}", stated))
    with pytest.raises(PackageFailed, match="DO NOT MATCH THE HASHES"):
        wheels.files_of(requirements, "x86_64")
