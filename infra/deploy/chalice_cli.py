"""``python -m infra.deploy.chalice_cli deploy --stage dev``: Chalice with our runtime and our package.

Chalice derives the functions' runtime from the Python that runs it, and packs what this Python has: bytecode files that
Python wrote, times of files, wheels that it compiled. It has no setting for either, so two of its names are replaced.
"""

import sys
from pathlib import Path

import chalice.cli
import click
from chalice.config import Config
from chalice.deploy import deployer, validate
from chalice.deploy.packager import LambdaDeploymentPackager

from infra.deploy import package
from infra.deploy.runtime import RUNTIME, PackageFailed


class _Packager(LambdaDeploymentPackager):
    def create_deployment_package(self, project_dir: str, python_version: str) -> str:  # noqa: ARG002  # Chalice's
        try:
            built = package.cached(Path(project_dir), self._architecture, lambda line: self._ui.write(f"{line}\n"))
        except PackageFailed as error:
            # Chalice prints a traceback of any other exception.
            raise click.ClickException(str(error)) from error
        self._ui.write(f"Package: {built.size / 1e6:.1f} MB, SHA-256 {built.sha256}\n")
        return str(built.path)


def _accept(config: Config, actual_py_version: str | None = None) -> None:
    """Replaces a check of the runtime against the Python of this process."""


def prepare() -> None:
    """Make Chalice deploy our runtime and package. Call it before other functions of Chalice in this process."""
    Config.lambda_python_version = property(lambda _config: RUNTIME)  # type: ignore[method-assign,assignment]
    validate.validate_python_version = _accept
    deployer.LambdaDeploymentPackager = _Packager  # type: ignore[attr-defined]


def main() -> int:
    prepare()
    return int(chalice.cli.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
