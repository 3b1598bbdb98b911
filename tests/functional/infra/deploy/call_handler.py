"""Calls a function's handler as Lambda's runtime does.

test_deploy.py runs it in an interpreter that has only the unpacked package and the libraries of Lambda's runtime:
``python -I -S call_handler.py PACKAGE RUNTIME``. It reads ``{"handler", "event", "thorough"}`` from stdin and prints
``{"answer", "strange"}`` as the last line; ``strange`` lists the files of modules from other places.
"""

import importlib
import json
import pkgutil
import sys
import sysconfig
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any


class Context:
    """The context argument that Lambda passes to a handler."""

    aws_request_id = "00000000-0000-4000-8000-000000000000"
    function_name = "test"
    function_version = "$LATEST"
    memory_limit_in_mb = 1024

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 30_000


def build_everything(app: ModuleType) -> None:
    """Imports every module of the package, and builds every client, adapter and service."""
    chalicelib = importlib.import_module("chalicelib")
    for module in pkgutil.walk_packages(chalicelib.__path__, "chalicelib."):
        importlib.import_module(module.name)
    services = app.services()
    for name, value in vars(type(services)).items():
        if isinstance(value, cached_property):
            getattr(services, name)


def strange_files(known: list[str]) -> list[str]:
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [file for file in files if file and file != __file__ and not file.startswith(tuple(known))]


def main() -> None:
    package, runtime = (str(Path(argument).resolve()) for argument in sys.argv[1:])
    standard = [str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")]
    sys.path[:0] = [package, runtime]
    request: dict[str, Any] = json.load(sys.stdin)
    module, _, attribute = request["handler"].partition(".")
    app = importlib.import_module(module)
    answer = getattr(app, attribute)(request["event"], Context())
    if request["thorough"]:
        build_everything(app)
    strange = strange_files([f"{place}/" for place in (package, runtime, *standard)])
    print(json.dumps({"answer": answer, "strange": strange}))


if __name__ == "__main__":
    main()
