"""Fixtures: AWS emulated by moto with the data stack's tables and queues, and a client of the API."""

from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from chalice.test import Client

from app import app
from chalicelib.config import Settings
from chalicelib.entry import services as wiring
from chalicelib.entry.services import Services
from chalicelib.http_api.issuer import Issuer
from infra.local.aws import data_stack
from tests.functional.connection_cases import TCP
from tests.functional.doubles import (
    AUDIENCE,
    ISSUER,
    Api,
    CodecFunction,
    NotifyFunction,
    RecordingRemover,
    ScriptedWebhooks,
    TestIssuer,
)
from tests.functional.emulated_aws import emulated_aws

SETTINGS = Settings(
    resource_prefix="iot-flow-test",
    oidc_issuer=ISSUER,
    oidc_audience=AUDIENCE,
    tenant_claim="tenant",
    network_server_url="http://127.0.0.1:9",
    max_connections_per_tenant=5,
    notification_topics=["arn:aws:sns:eu-west-1:123456789012:iot-flow-test-news"],
    resource_tags={"iot-flow:stage": "test"},
)


@pytest.fixture(scope="session")
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture
def functions() -> Iterator[CodecFunction]:
    """Lambda with the function ``codec``, whose process starts when it is called."""
    made = CodecFunction()
    yield made
    made.worker.stop()


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, issuer: TestIssuer, functions: CodecFunction) -> Iterator[Services]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with emulated_aws():
        made = Services(SETTINGS)
        made.issuer = Issuer(ISSUER, issuer.fetch)
        # No broker has the names in these tests.
        made.queue_remover = RecordingRemover()  # type: ignore[assignment]  # a cached property takes what it is given
        made.functions = functions
        made.notify_client = NotifyFunction(lambda: made.notification_sender)
        made.webhooks = ScriptedWebhooks()  # type: ignore[assignment]
        data_stack.create(made.dynamodb, made.sqs, SETTINGS.resource_prefix, SETTINGS.timing)
        before = wiring.services()
        wiring.use(made)
        yield made
        wiring.use(before)


@pytest.fixture
def api(services: Services, issuer: TestIssuer) -> Iterator[Api]:
    assert services.settings is SETTINGS
    with Client(app, stage_name="test") as client:
        yield Api(client, issuer.token())


@pytest.fixture(scope="session")
def pair() -> tuple[str, str]:
    """A client certificate and its key, PEM."""
    issued = trustme.CA().issue_cert("client.test")
    certificate = b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode()
    return certificate, issued.private_key_pem.bytes().decode()


@pytest.fixture
def ssl(pair: tuple[str, str]) -> dict[str, Any]:
    certificate, key = pair
    configuration = TCP["configuration"] | {
        "hostName": "amqp.actility.com:5671",
        "protocol": "SSL",
        "certificate": certificate,
        "privateKey": key,
    }
    return TCP | {"name": "Actility AMQP (SSL) Connection", "configuration": configuration}
