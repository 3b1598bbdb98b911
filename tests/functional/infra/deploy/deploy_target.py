"""An emulation of AWS as a deployment target, and a copy of the project in which `chalice deploy` may write.

``python -m tests.functional.infra.deploy.deploy_target PORT`` runs the emulation: moto's server in a separate process.
"""

import io
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

from infra.local.aws import data_stack
from infra.local.processes import ROOT
from infra.local.tcp_ports import free_ports
from infra.local.waiting import accepts, wait_until

REGION = "eu-west-1"
STAGE = "test"
_SHIPPED = ("app.py", "chalicelib", "requirements.txt", ".chalice")
_START_SECONDS = 30


def application() -> WSGIApplication:
    """moto with API documents converted to OpenAPI 3 with a description, which moto requires and AWS does not."""
    moto: WSGIApplication = DomainDispatcherApplication(create_backend_app)

    def serve(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environment["PATH_INFO"].startswith("/restapis") and "mode=" in environment["QUERY_STRING"]:
            document = json.loads(environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"])))
            del document["swagger"]
            document["openapi"] = "3.0.0"
            document["info"].setdefault("description", "")
            body = json.dumps(document).encode()
            environment.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        return moto(environment, start_response)

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
    """A running emulation with the data stack of the stage ``test``."""
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "tests.functional.infra.deploy.deploy_target", str(port)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: accepts(port), _START_SECONDS)
        aws = Target(f"http://127.0.0.1:{port}")
        aws.client("cloudformation").create_stack(
            StackName="iot-flow-test-data",
            TemplateBody=data_stack.TEMPLATE.read_text(encoding="utf-8"),
            Parameters=[
                {"ParameterKey": "Prefix", "ParameterValue": "iot-flow-test"},
                {"ParameterKey": "FunctionPrefix", "ParameterValue": "iot-flow-amqp-test"},
            ],
        )
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

    def chalice(self, command: str, aws: Target) -> str:
        """Runs Chalice's COMMAND for the stage as `make deploy` does, and returns its output."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        answer = subprocess.run(
            [sys.executable, "-m", "infra.deploy.chalice_cli", command, "--stage", STAGE],
            cwd=self.directory,
            env={**clean, **aws.environment, "PYTHONPATH": str(ROOT)},
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert answer.returncode == 0, answer.stdout
        return answer.stdout

    @property
    def package(self) -> Path:
        """The package that was uploaded to every function."""
        [package] = (self.directory / ".chalice" / "deployments").glob("*.zip")
        return package


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), application(), threaded=True).serve_forever()
