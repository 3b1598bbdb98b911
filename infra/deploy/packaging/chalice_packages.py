"""Chalice with our runtime and our package.

Chalice derives the functions' runtime from the Python that runs it, and packs what this Python has: bytecode files that
Python wrote, times of files, wheels that it compiled. It has no setting for either, so two of its names are replaced.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import chalice.cli
from chalice.config import Config
from chalice.deploy import deployer, validate
from chalice.deploy.packager import LambdaDeploymentPackager

from infra.deploy.packaging import package
from infra.deploy.packaging.runtime import RUNTIME


def _accept(config: Config, actual_py_version: str | None = None) -> None:
    """Replaces a check of the runtime against the Python of this process."""


def replace(say: Callable[[str], object]) -> None:
    """Let Chalice deploy our runtime and package, whose lines of progress go to ``say``.

    Call it before other functions of Chalice in this process. Chalice's functions then raise PackageFailed, too.
    """

    class Packager(LambdaDeploymentPackager):
        def create_deployment_package(self, project_dir: str, python_version: str) -> str:  # noqa: ARG002  # Chalice's
            built = package.cached(Path(project_dir), self._architecture, say)
            say(f"{built.size / 1e6:.1f} MB, SHA-256 {built.sha256}")
            return str(built.path)

    Config.lambda_python_version = property(lambda _config: RUNTIME)  # type: ignore[method-assign,assignment]
    validate.validate_python_version = _accept
    deployer.LambdaDeploymentPackager = Packager  # type: ignore[attr-defined]


def main() -> int:
    """``python -m infra.deploy.packaging.chalice_packages package ...``: Chalice's own commands, for linters."""
    replace(print)
    return int(chalice.cli.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
