"""A stage of ``.chalice/config.json``: its names, settings and numbers. All names derive from the stage's."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chalicelib.config import Settings
from infra.deploy.declared import COST_TAG, RESERVED, SOURCES, Source

APP = "iot-flow-amqp"
_NAME = re.compile("[a-z][a-z0-9]{0,19}")
"""No hyphen, so that one stage's names and policies never begin as another's."""


class Refused(Exception):
    """A deployment that cannot begin or go on. The text is one line: what is wrong, the value, the remedy."""


@dataclass(frozen=True)
class Stage:
    """A stage, read and checked without AWS."""

    name: str
    region: str
    account: str
    """The account that the stage belongs to, or an empty string if the configuration names none."""
    variables: Mapping[str, str]
    """The functions' environment variables."""
    document: Mapping[str, Any]
    """The whole configuration file."""

    @property
    def _own(self) -> Mapping[str, Any]:
        own: Mapping[str, Any] = self.document["stages"][self.name].get("deploy", {})
        return own

    @property
    def prefix(self) -> str:
        """The beginning of the names of tables and queues."""
        return f"iot-flow-{self.name}"

    @property
    def application(self) -> str:
        """The name of the REST API, and the beginning of the names of functions, roles and rules."""
        return f"{APP}-{self.name}"

    def function(self, handler: str) -> str:
        """Return the name of a handler's function."""
        return self.application if handler == "api_handler" else f"{self.application}-{handler}"

    @property
    def handlers(self) -> list[str]:
        """The names of the handlers in app.py that become functions."""
        return sorted(self.document["lambda_functions"])

    @property
    def secret_prefix(self) -> str:
        """The beginning of the names of secrets, without the slash."""
        return self.variables["SECRET_PREFIX"]

    @property
    def gateway_stage(self) -> str:
        """The first part of the paths of the API's address."""
        return str(self.document["stages"][self.name].get("api_gateway_stage", "api"))

    @property
    def tags(self) -> dict[str, str]:
        """The tags of every resource."""
        own: dict[str, str] = self.document["stages"][self.name].get("tags", {})
        return {**self.document.get("tags", {}), **own, COST_TAG: self.name}

    def parameters(self, stack: str) -> dict[str, str]:
        """Return the parameters of a stack, ``data_stack`` or ``alarms``, that the stage sets."""
        return {name: str(value) for name, value in self._own.get(stack, {}).items()}

    @property
    def sources(self) -> dict[str, Source]:
        """The event sources by handler, with the stage's concurrency."""
        own = self._own.get("concurrency", {})
        return {name: replace(each, concurrency=own.get(name, each.concurrency)) for name, each in SOURCES.items()}

    @property
    def reserved(self) -> dict[str, int]:
        """Reserved concurrency by handler."""
        own = self._own.get("concurrency", {})
        return {name: own.get(name, number) for name, number in RESERVED.items()}


def load(root: Path, name: str, *, finished: bool = True) -> Stage:
    """Read a stage. Raises Refused for an unknown one, and for an unfinished one unless ``finished`` is false."""
    path = root / ".chalice" / "config.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refused(f"{path} is no valid JSON: {error}") from error
    stages = document.get("stages", {})
    if name not in stages:
        known = ", ".join(sorted(stages))
        raise Refused(
            f'Stage "{name}" is not in .chalice/config.json, which has: {known}. Copy the stage "dev" to add it.'
        )
    if not _NAME.fullmatch(name):
        raise Refused(f'Stage "{name}": a name has 1 to 20 lower-case letters and digits and begins with a letter.')
    own = stages[name]
    region = own.get("deploy", {}).get("region", "")
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        stated = f'"{region}"' if region else "no region"
        raise Refused(f'Stage "{name}" has {stated}; set deploy.region in .chalice/config.json, such as "eu-west-1".')
    variables = {"RESOURCE_PREFIX": f"iot-flow-{name}", **own.get("environment_variables", {})}
    variables.setdefault("SECRET_PREFIX", variables["RESOURCE_PREFIX"])
    variables.setdefault("CODEC_FUNCTION", f"{APP}-{name}-codec")
    variables.setdefault("NOTIFY_FUNCTION", f"{APP}-{name}-notify")
    stage = Stage(name, region, str(own.get("deploy", {}).get("account", "")), variables, document)
    variables.setdefault("RESOURCE_TAGS", ",".join(f"{key}={value}" for key, value in stage.tags.items()))
    if finished:
        _check(stage)
    return stage


def _check(stage: Stage) -> None:
    name = stage.name
    if stage.variables["RESOURCE_PREFIX"] != stage.prefix:
        raise Refused(
            f'Stage "{name}" has RESOURCE_PREFIX {stage.variables["RESOURCE_PREFIX"]}, the queues and tables of '
            f"another stage; use {stage.prefix}."
        )
    try:
        settings = Settings.from_environment(stage.variables)
    except ValidationError as error:
        first = error.errors()[0]
        setting = str(first["loc"][0]).upper() if first["loc"] else "a setting"
        raise Refused(f'Stage "{name}": {setting} is invalid: {first["msg"]}.') from error
    if unfinished := settings.unfinished():
        values = ", ".join(f"{each} = {stage.variables.get(each, '') or 'nothing'}" for each in unfinished)
        raise Refused(f'Stage "{name}" has placeholders or empty settings in .chalice/config.json: {values}.')
    if 2 * settings.connection_tests_at_once > stage.reserved["api_handler"]:
        raise Refused(
            f'Stage "{name}": CONNECTION_TESTS_AT_ONCE is {settings.connection_tests_at_once}, more than half of '
            f"the {stage.reserved['api_handler']} executions of the API. Uplinks need the rest."
        )
    if [key for key, value in stage.tags.items() if set("=,") & set(key) or "," in value]:
        raise Refused(f'Stage "{name}": a tag has a comma, or an equals sign in its name; use other characters.')
    for each, source in stage.sources.items():
        if source.concurrency < 2:  # noqa: PLR2004  # AWS's minimum
            raise Refused(f'Stage "{name}": deploy.concurrency.{each} is {source.concurrency}; AWS accepts 2 to 1000.')
