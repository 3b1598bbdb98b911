"""Two stages of an account have no name in common, and no policy of one matches a resource of the other."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from infra.deploy.policies import narrowed
from infra.deploy.stage import Stage, load
from infra.local.processes import ROOT

ACCOUNT = "123456789012"
TEMPLATES = sorted((ROOT / ".chalice").glob("policy-*.json"))


def stage(tmp_path: Path, name: str, **variables: str) -> Stage:
    document = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    own = document["stages"].pop("test")
    own["environment_variables"] |= {"RESOURCE_PREFIX": f"iot-flow-{name}", **variables}
    document["stages"][name] = own
    (tmp_path / ".chalice").mkdir(exist_ok=True)
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(document), encoding="utf-8")
    return load(tmp_path, name)


def resources(template: Path, of: Stage) -> list[str]:
    document: dict[str, Any] = json.loads(template.read_text(encoding="utf-8"))
    return [each for statement in narrowed(document, of, ACCOUNT)["Statement"] for each in statement["Resource"]]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
@pytest.mark.parametrize("other", ["dev2", "de", "prod"])
def test_no_policy_of_a_stage_matches_a_resource_of_another(template: Path, other: str, tmp_path: Path) -> None:
    one, two = stage(tmp_path, "dev"), stage(tmp_path, other)
    for pattern in resources(template, one):
        assert "iot-flow-*" not in pattern
        assert f":eu-west-1:{ACCOUNT}:" in pattern
        for resource in (each.replace("*", "x") for path in TEMPLATES for each in resources(path, two)):
            assert not fnmatchcase(resource, pattern), (pattern, resource)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_policy_of_a_stage_matches_what_the_template_matches_in_it(template: Path, tmp_path: Path) -> None:
    one = stage(tmp_path, "dev")
    document = json.loads(template.read_text(encoding="utf-8"))
    patterns = [each for statement in document["Statement"] for each in statement["Resource"]]
    for resource in resources(template, one):
        assert any(fnmatchcase(resource.replace("secret:iot-flow-dev/", "secret:iot-flow/"), each) for each in patterns)


def test_stage_with_secrets_of_the_first_release_keeps_their_prefix(tmp_path: Path) -> None:
    old = stage(tmp_path, "dev", SECRET_PREFIX="iot-flow")
    assert old.secret_prefix == "iot-flow"
    [path] = [path for path in TEMPLATES if path.stem == "policy-api_handler"]
    assert [each for each in resources(path, old) if ":secret:iot-flow/*" in each]


def test_names_derive_from_the_stage(tmp_path: Path) -> None:
    prod = stage(tmp_path, "prod")
    assert (prod.prefix, prod.application, prod.secret_prefix) == (
        "iot-flow-prod",
        "iot-flow-amqp-prod",
        "iot-flow-prod",
    )
    assert (prod.function("api_handler"), prod.function("forward")) == (
        "iot-flow-amqp-prod",
        "iot-flow-amqp-prod-forward",
    )
    assert prod.tags == {"iot-flow:stage": "prod"}
