"""An emulation of AWS as a deployment target, and a copy of the project in which a deployment may write.

``python -m tests.functional.infra.deploy.deploy_target PORT`` runs the emulation: moto's server in a separate process.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from chalicelib import __version__
from infra.local.processes import ROOT
from infra.local.tcp_ports import free_ports
from infra.local.waiting import accepts, wait_until
from tests.functional.infra.deploy.strict_moto import make_strict

REGION = "eu-west-1"
STAGE = "test"
_SHIPPED = ("app.py", "chalicelib", "requirements.txt", ".chalice", "infra")
_START_SECONDS = 90


def application() -> WSGIApplication:
    """moto as strict as AWS, and the addresses below ``/double/`` that answer as the deployed API."""
    make_strict()
    moto: WSGIApplication = DomainDispatcherApplication(create_backend_app)

    def serve(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environment["PATH_INFO"]
        if not path.startswith("/double/"):
            return moto(environment, start_response)
        status = "200 OK" if path == "/double/health" else "401 Unauthorized"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({"status": "ok", "release": __version__}).encode()]

    return serve


@dataclass(frozen=True)
class Target:
    """A running emulation. A process reaches it with the variables in ``environment``."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@contextmanager
def target() -> Iterator[Target]:
    """A running emulation without any resource."""
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "tests.functional.infra.deploy.deploy_target", str(port)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: accepts(port), _START_SECONDS)
        aws = Target(f"http://127.0.0.1:{port}")
        yield aws
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Project:
    """Copies the files that a deployment needs."""

    directory: Path

    @classmethod
    def copied_to(cls, directory: Path) -> "Project":
        unwanted = shutil.ignore_patterns("__pycache__", "deployed", "deployments", "venv")
        directory.mkdir()
        for name in _SHIPPED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, directory / name, ignore=unwanted)
            else:
                shutil.copy(source, directory)
        return cls(directory)

    def run(self, module: str, *arguments: str, aws: Target, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a module of the copy, as the Makefile does."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.directory,
            env={**clean, **aws.environment},
            check=False,
            text=True,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def deploy(self, aws: Target, *arguments: str) -> str:
        """Deploy the stage ``test`` like a user and return the output."""
        answer = self.run("infra.deploy", STAGE, "--address", f"{aws.endpoint}/double", *arguments, aws=aws)
        assert answer.returncode == 0, answer.stdout
        return answer.stdout

    @property
    def package(self) -> Path:
        """The package that was uploaded to every function."""
        [package] = (self.directory / ".chalice" / "deployments").glob("*.zip")
        return package


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), application(), threaded=True).serve_forever()
