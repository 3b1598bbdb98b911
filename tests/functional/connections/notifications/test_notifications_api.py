"""``/notifications``: settings, secrets, tests and the log, over the API and the functions."""

import json
from typing import Any, cast

import pytest
from standardwebhooks import Webhook

from chalicelib.entry.services import Services
from chalicelib.errors import NotDelivered
from tests.functional.connection_cases import create, expect_problem
from tests.functional.doubles import Api, NotifyFunction, ScriptedWebhooks

URL = "https://hooks.example.com/iot"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:iot-flow-test-news"


@pytest.fixture
def webhooks(services: Services) -> ScriptedWebhooks:
    return cast("ScriptedWebhooks", services.webhooks)


def everywhere(services: Services, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the tables, the log and the requests to functions contain."""
    tables = services.dynamodb.list_tables()["TableNames"]
    items = [services.dynamodb.scan(TableName=name)["Items"] for name in tables]
    requests = cast("NotifyFunction", services.notify_client).requests
    return json.dumps(items, default=repr) + repr(requests) + capsys.readouterr().out


def test_secret_is_shown_once_and_stands_nowhere_else(
    api: Api, services: Services, webhooks: ScriptedWebhooks, capsys: pytest.CaptureFixture[str]
) -> None:
    # When
    made = api.call("PUT", "/notifications", {"url": URL})
    secret = made.json["secret"]
    read = api.call("GET", "/notifications")
    rotated = api.call("POST", "/notifications/rotate-secret").json
    tested = api.call("POST", "/notifications/test").json
    again = api.call("PUT", "/notifications", read.json | {"faultyAfter": 9})

    # Then
    assert secret.startswith("whsec_")
    assert (read.json["secret"], read.headers["etag"]) == ("*****", '"1"')
    assert (again.json["secret"], again.json["faultyAfter"], again.json["version"]) == ("*****", 9, 2)
    assert tested["status"] == "delivered"
    [(url, headers, body)] = webhooks.received
    assert url == URL
    for each in (secret, rotated["secret"]):
        assert Webhook(each).verify(body, headers)["type"] == "test"
    found = everywhere(services, capsys)
    assert secret not in found
    assert rotated["secret"] not in found
    assert "whsec_" not in found


def test_change_to_a_topic_deletes_the_secret(api: Api, services: Services) -> None:
    assert api.call("GET", "/notifications").status == 404
    api.call("PUT", "/notifications", {"url": URL})
    moved = api.call("PUT", "/notifications", {"topicArn": TOPIC}).json
    assert "secret" not in moved
    assert services.secretsmanager.list_secrets()["SecretList"] == []
    expect_problem(api.call("POST", "/notifications/rotate-secret"), 409)
    back = api.call("PUT", "/notifications", {"url": URL}).json
    assert back["secret"].startswith("whsec_")
    assert api.call("DELETE", "/notifications").status == 204
    assert services.secretsmanager.list_secrets()["SecretList"] == []
    expect_problem(api.call("DELETE", "/notifications"), 404)


def test_change_that_was_not_read_is_refused_and_leaves_no_secret(api: Api, services: Services) -> None:
    api.call("PUT", "/notifications", {"topicArn": TOPIC})
    for etag in ('"0"', '"2"', 'W/"1"'):
        expect_problem(api.call("PUT", "/notifications", {"url": URL}, if_match=etag), 412)
        expect_problem(api.call("DELETE", "/notifications", if_match=etag), 412)
    assert services.secretsmanager.list_secrets()["SecretList"] == []
    assert api.call("PUT", "/notifications", {"url": URL}, if_match='"1"').status == 200


def test_violations_have_their_pointers(api: Api) -> None:
    refused = api.call("PUT", "/notifications", {"url": "https://127.0.0.1", "faultyAfter": 0, "kind": []})
    expect_problem(refused, 422)
    assert refused.pointers == {"/url", "/faultyAfter", "/kind"}
    other = api.call("PUT", "/notifications", {"topicArn": TOPIC + "-other"})
    assert other.pointers == {"/topicArn"}


def test_failed_test_is_not_repeated_and_stands_in_the_log(
    api: Api, services: Services, webhooks: ScriptedWebhooks
) -> None:
    api.call("PUT", "/notifications", {"url": URL})
    webhooks.error = NotDelivered("The webhook answered 500.", 500, silent=True)
    tested = api.call("POST", "/notifications/test").json
    assert (tested["status"], tested["httpStatus"], tested["nextAttempt"]) == ("failed", 500, None)
    [listed] = api.call("GET", "/notifications/deliveries").json
    assert listed == tested
    services.reconciler.run()
    assert len(webhooks.received) == 1


def test_number_of_tests_is_limited(api: Api) -> None:
    api.call("PUT", "/notifications", {"url": URL})
    # Ten are allowed in a minute of the clock, and the next minute may begin between two of these calls.
    answers = [api.call("POST", "/notifications/test").status for _ in range(21)]
    assert set(answers) == {200, 429}
    assert 10 <= answers.count(200) <= 20


def test_opened_connection_is_reported_by_the_next_run(
    api: Api, services: Services, webhooks: ScriptedWebhooks
) -> None:
    from chalicelib.domain.breaker import recovered  # noqa: PLC0415

    # Given
    secret = api.call("PUT", "/notifications", {"url": URL}).json["secret"]
    stored = services.connection_store.get("demo", str(create(api)["id"]))
    now = services.clock()
    assert services.connection_store.update_breaker(recovered(stored, now, "token", now + 60), stored.epoch)

    # When
    services.reconciler.run()
    services.reconciler.run()

    # Then
    [(_, headers, body)] = webhooks.received
    document: dict[str, Any] = Webhook(secret).verify(body, headers)
    assert document["type"] == "connection.opened"
    assert document["data"]["connectionId"] == stored.id
    [listed] = api.call("GET", "/notifications/deliveries").json
    assert (listed["id"], listed["status"], listed["attempts"]) == (headers["webhook-id"], "delivered", 1)
    requests = cast("NotifyFunction", services.notify_client).requests
    assert [kind for kind, _ in requests] == ["Event"]
