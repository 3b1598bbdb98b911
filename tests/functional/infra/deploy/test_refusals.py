"""A deployment that cannot succeed is refused in one line, before anything is made."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from moto import mock_aws

from infra.deploy import __main__ as command
from infra.deploy.account import Account
from infra.deploy.stage import Refused, load
from infra.deploy.state import Lock
from infra.local.processes import ROOT
from tests.functional.infra.deploy import strict_moto
from tests.functional.infra.deploy.deploy_target import REGION

_READS = ("Get", "List", "Describe")
PLACEHOLDERS = "OIDC_ISSUER = https://cognito-idp.REGION.amazonaws.com/USER_POOL_ID, OIDC_AUDIENCE = APP_CLIENT_ID"


@pytest.fixture(scope="module", autouse=True)
def strict() -> None:
    strict_moto.make_strict()


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The changing calls that reach AWS."""
    made: list[str] = []
    client: Any = botocore.client.BaseClient
    call = client._make_api_call

    def record(self: Any, operation: str, arguments: Any) -> Any:
        if not operation.startswith(_READS):
            made.append(operation)
        return call(self, operation, arguments)

    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        monkeypatch.setattr(client, "_make_api_call", record)
        yield made


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], object]], None]:
    """Changes the configuration of a copy of the project."""
    document = json.loads((ROOT / ".chalice" / "config.json").read_text())
    (tmp_path / ".chalice").mkdir()
    monkeypatch.setattr(command, "ROOT", tmp_path)

    def configure(change: Callable[[Any], object]) -> None:
        change(document)
        (tmp_path / ".chalice" / "config.json").write_text(json.dumps(document))

    configure(lambda _: None)
    return configure


def refused(capsys: pytest.CaptureFixture[str], stage: str, *arguments: str) -> str:
    """The line that a refused deployment prints."""
    assert command.main([stage, *arguments]) == 1
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    return line


def stage_of(document: Any) -> Any:
    return document["stages"]["test"]


CASES: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "unknown stage": (
        "prod",
        lambda _: None,
        'Stage "prod" is not in .chalice/config.json, which has: dev, local, test.',
    ),
    "region not filled in": ("dev", lambda _: None, 'Stage "dev" has "REGION"; set deploy.region'),
    "placeholders": (
        "dev",
        lambda document: document["stages"]["dev"]["deploy"].update(region=REGION),
        f'Stage "dev" has placeholders or empty settings in .chalice/config.json: {PLACEHOLDERS}, NETWORK_SERVER_URL =',
    ),
    "empty setting": (
        "test",
        lambda document: stage_of(document)["environment_variables"].pop("NETWORK_SERVER_URL"),
        "NETWORK_SERVER_URL = nothing",
    ),
    "setting that the functions refuse": (
        "test",
        lambda document: stage_of(document)["environment_variables"].update(MAX_CONNECTIONS_PER_TENANT="0"),
        "MAX_CONNECTIONS_PER_TENANT is invalid",
    ),
    "queues of another stage": (
        "test",
        lambda document: stage_of(document)["environment_variables"].update(RESOURCE_PREFIX="iot-flow-dev"),
        "has RESOURCE_PREFIX iot-flow-dev, the queues and tables of another stage; use iot-flow-test.",
    ),
    "name with a hyphen": (
        "test-eu",
        lambda document: document["stages"].update({"test-eu": {}}),
        "a name has 1 to 20 lower-case letters and digits",
    ),
    "other region": (
        "test",
        lambda document: stage_of(document)["deploy"].update(region="eu-central-1"),
        'The credentials state the region eu-west-1, but stage "test" is in eu-central-1',
    ),
    "other account": (
        "test",
        lambda document: stage_of(document)["deploy"].update(account="999999999999"),
        'Stage "test" belongs to account 999999999999, the credentials to 123456789012.',
    ),
    "connection tests that leave uplinks too little": (
        "test",
        lambda document: stage_of(document)["environment_variables"].update(CONNECTION_TESTS_AT_ONCE="51"),
        "CONNECTION_TESTS_AT_ONCE is 51, more than half of the 100 executions of the API.",
    ),
    "reservation that leaves too little": (
        "test",
        lambda document: stage_of(document)["deploy"].update(concurrency={"api_handler": 900}),
        "stage test may need 1201 (950 reserved for the API and the codec, 250 for queues, 1 for the schedule)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_deployment_is_refused_in_one_line(
    case: str,
    configure: Callable[[Callable[[Any], object]], None],
    changes: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage, change, expected = CASES[case]
    configure(change)
    assert expected in refused(capsys, stage)
    assert changes == []


@pytest.mark.usefixtures("configure")
def test_small_quota_is_refused(
    changes: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict_moto, "_limit", [10])
    assert "Lambda allows 10 concurrent executions" in refused(capsys, "test")
    assert changes == []


@pytest.mark.usefixtures("configure")
def test_missing_region_is_refused(
    changes: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert "No region is stated" in refused(capsys, "test")
    assert changes == []


@pytest.mark.usefixtures("configure")
def test_missing_credentials_are_refused(
    changes: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Account, "credentials", lambda _: None)
    assert "There are no AWS credentials" in refused(capsys, "test")
    assert changes == []


def test_second_deployment_at_the_same_time_is_refused(
    changes: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = load(ROOT, "test")
    aws = Account.of_environment(REGION, pause=0.01)
    aws.caller = "arn:aws:iam::123456789012:user/other"
    key = [{"AttributeName": "id", "KeyType": "HASH"}]
    aws.client("dynamodb").create_table(
        TableName="iot-flow-test-coordination",
        KeySchema=key,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    other = Lock(stage, aws)
    monkeypatch.setattr(other, "_host", "elsewhere")
    other.hold()
    own = Lock(stage, aws)
    with pytest.raises(Refused, match=r"is being deployed by .*user/other on elsewhere"):
        own.hold()
    other.release()
    own.hold()
    assert own.held
    assert changes.count("DeleteItem") == 1
    assert capsys.readouterr().out == ""
