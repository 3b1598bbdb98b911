"""Templates of ``infra/deploy``: their documents, and stacks that moto's CloudFormation creates from them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml  # type: ignore[import-untyped]
from moto import mock_aws

from infra.local.processes import ROOT

REGION = "eu-west-1"
DEPLOY = ROOT / "infra" / "deploy" / "templates"


def document(template: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(template.read_text(encoding="utf-8"))
    return loaded


def properties(template: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = document(template)["Resources"][name]["Properties"]
    return found


def client(service: Any) -> Any:
    return boto3.client(service, region_name=REGION)


@contextmanager
def emulation() -> Iterator[None]:
    """moto, whose CloudFormation leaves out types of resources that it does not know."""
    with pytest.MonkeyPatch.context() as patch, mock_aws(), warnings.catch_warnings():
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": REGION}.items():
            patch.setenv(f"AWS_{name}", value)
        warnings.filterwarnings("ignore", message="Tried to parse")
        yield


def create(template: Path, **parameters: str) -> dict[str, str]:
    """Create a stack and return its outputs."""
    cloudformation = client("cloudformation")
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    cloudformation.create_stack(
        StackName=template.stem,
        TemplateBody=template.read_text(encoding="utf-8"),
        Parameters=given,
        Capabilities=["CAPABILITY_IAM"],
    )
    [stack] = cloudformation.describe_stacks(StackName=template.stem)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
