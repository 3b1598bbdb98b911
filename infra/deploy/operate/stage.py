"""A stage and its resources, from the settings in ``.chalice/config.json``.

The stage ``local`` is the running local stack (``make run``, with the same PORT_BASE and LOCAL_DIR).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from pydantic import ValidationError

from chalicelib.adapters.aws.clients import client_configuration
from chalicelib.config import Settings
from chalicelib.entry.services import Services
from infra.deploy.declared import COST_TAG
from infra.deploy.operate.errors import OperateFailed
from infra.local.directory import STACK_FILE
from infra.local.processes import ROOT
from infra.local.stack_config import StackConfig

CONFIG = ROOT / ".chalice" / "config.json"
LOCAL = "local"


@dataclass(frozen=True)
class Stage:
    """A stage: its name, the name of Chalice's app, and the settings of its functions."""

    name: str
    app_name: str
    settings: Settings

    @cached_property
    def services(self) -> Services:
        """The services of the product with this stage's settings and the credentials of the account."""
        return Services(self.settings)

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service that the product itself does not use."""
        return boto3.client(service, config=client_configuration())  # type: ignore[call-overload]

    @property
    def function_prefix(self) -> str:
        """The beginning of the functions' names; the API's function has no further part."""
        return f"{self.app_name}-{self.name}"


def stage_named(name: str, config: Path = CONFIG) -> Stage:
    """Return a stage of the file. Raises OperateFailed for an unknown stage or an unusable setting."""
    document = json.loads(config.read_text(encoding="utf-8"))
    stages: dict[str, Any] = document["stages"]
    if name not in stages:
        known = ", ".join(sorted(stages))
        raise OperateFailed(f"The stage {name} is not in {config}. Known stages: {known}.")
    common = document.get("environment_variables", {})
    if name == LOCAL:
        environment = _local_environment()
    else:
        environment = common | stages[name].get("environment_variables", {})
        if "RESOURCE_PREFIX" not in environment:
            raise OperateFailed(f"The stage {name} has no RESOURCE_PREFIX in {config}. Set it to the stack's Prefix.")
        tags = {**document.get("tags", {}), **stages[name].get("tags", {}), COST_TAG: name}
        environment = {"RESOURCE_TAGS": ",".join(f"{key}={value}" for key, value in tags.items())} | environment
        environment.setdefault("CODEC_FUNCTION", f"{document['app_name']}-{name}-codec")
    return Stage(name, document["app_name"], _settings(name, environment))


def _settings(stage: str, environment: Mapping[str, str]) -> Settings:
    try:
        return Settings.from_environment(environment)
    except ValidationError as error:
        names = ", ".join(str(each["loc"][0]).upper() for each in error.errors() if each["loc"])
        raise OperateFailed(f"The stage {stage} has an unusable setting: {names}. See infra/README.md.") from error


def _local_environment() -> dict[str, str]:
    """Return the environment of the running local stack, and let boto3 use its emulation of AWS."""
    config = StackConfig.from_environment(os.environ)
    file = config.directory / STACK_FILE
    if not file.exists():
        raise OperateFailed(f"No local stack runs: {file} does not exist. Start one with make run, or set LOCAL_DIR.")
    stack = json.loads(file.read_text(encoding="utf-8"))
    addresses = {
        "AWS_ENDPOINT_URL": stack["awsEndpointUrl"],
        "AWS_ENDPOINT_URL_SQS": stack["sqsEndpointUrl"],
        "AWS_REGION": config.environment()["AWS_REGION"],
    }
    environment = config.environment() | addresses
    os.environ.update({name: value for name, value in environment.items() if name.startswith("AWS_")})
    return environment
