"""Rules of the tree: import contracts, sizes, constructors and docstrings."""

import ast
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "chalicelib"
SHIPPED = sorted([ROOT / "app.py", *LIBRARY.rglob("*.py")])
PYTHON = sorted([*SHIPPED, *(ROOT / "infra").rglob("*.py")])

FLOORS = "Each floor knows only the floors below it, and a flow only itself"
VIOLATIONS = {
    "a kernel module imports the wiring from its package": (
        "kernel/theta_sketch.py",
        "from chalicelib import entry",
        FLOORS,
    ),
    "a kernel module imports an API module by its full name": (
        "kernel/theta_sketch.py",
        "import chalicelib.http_api.auth",
        FLOORS,
    ),
    "a flow imports an adapter": (
        "uplinks/ingress.py",
        "from chalicelib.adapters.aws.sqs import SqsUplinkQueues",
        "Flows reach the outside through ports only",
    ),
    "a flow imports pika": (
        "uplinks/drain.py",
        "import pika",
        "boto3 and pika stay in their adapter, Chalice at the edge",
    ),
    "an adapter imports another adapter": (
        "adapters/aws/sqs.py",
        "from chalicelib.adapters.amqp.loop import Loop",
        "The adapters do not know each other",
    ),
    "the AMQP adapter imports boto3": (
        "adapters/amqp/loop.py",
        "import boto3",
        "boto3 is used in adapters.aws only",
    ),
    "the AWS adapter imports pika": (
        "adapters/aws/sqs.py",
        "import pika",
        "pika is used in adapters.amqp only",
    ),
    "the domain imports a flow": (
        "domain/breaker.py",
        "from chalicelib.uplinks.drain import Drain",
        FLOORS,
    ),
    "a flow runs customers' code itself": (
        "uplinks/drain.py",
        "from chalicelib.adapters.codec.engine import Sandbox",
        "Customers' code runs in codec, which only the wiring knows",
    ),
    "the codec imports settings": (
        "adapters/codec/worker.py",
        "from chalicelib.config import settings",
        "The codec knows the kernel and its engine, and nothing of the product",
    ),
    "a new room is on no floor": ("attic/__init__.py", "", FLOORS),
}


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def test_every_import_contract_is_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_breaks_its_contract(name: str, tmp_path: Path) -> None:
    path, line, contract = VIOLATIONS[name]
    shutil.copytree(LIBRARY, tmp_path / "chalicelib", ignore=shutil.ignore_patterns("__pycache__", "console"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    module = tmp_path / "chalicelib" / path
    module.parent.mkdir(exist_ok=True)
    module.write_text((module.read_text() if module.exists() else "") + f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert contract in done.stdout.split("Broken contracts")[-1]


def test_library_has_at_most_sixteen_rooms() -> None:
    entries = [entry.name for entry in LIBRARY.iterdir() if not entry.name.startswith("__")]
    assert len(entries) <= 16, sorted(entries)


def test_folder_has_at_most_eighteen_modules() -> None:
    modules = [
        path
        for top in (LIBRARY, ROOT / "infra", ROOT / "tests")
        for path in top.rglob("*")
        if path.suffix in {".py", ".js"} and path.stem != "__init__" and "node_modules" not in path.parts
    ]
    folders = Counter(path.parent.relative_to(ROOT) for path in modules)
    assert max(folders.values()) <= 18, folders.most_common(1)


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_short_and_its_constructors_take_few_parameters(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            assert len(names) - 1 <= 6, f"line {node.lineno}: pass a frozen context"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_and_public_classes_say_what_they_are(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    documented = [("the module", ast.get_docstring(module))]
    documented += [
        (node.name, ast.get_docstring(node))
        for node in module.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    for name, docstring in documented:
        assert docstring, f"{name} has no docstring"
        opening = docstring.split(maxsplit=1)[0]
        assert opening not in {"What", "Who", "Whoever", "How", "Where", "Which", "Whether", "When"}, (
            f"{name}: {opening}"
        )
