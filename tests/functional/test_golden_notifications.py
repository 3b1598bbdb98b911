"""Notifications and blocks of the message log that a release stored: read, changed without a loss, or skipped."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from standardwebhooks import Webhook

from chalicelib.adapters.aws.message_log.blocks import encode
from chalicelib.domain.notifications.notification import Notification
from chalicelib.entry.services import Services
from chalicelib.monitoring.metrics import metrics
from chalicelib.vocabulary import DeliveryStatus, Metric, NotificationKind
from tests.functional.doubles import Api, ScriptedWebhooks
from tests.functional.test_golden import RELEASES, assert_needed, content, restore, shape
from tests.golden.samples import (
    DEVICE,
    ID,
    LOG,
    NOW,
    SECRET_ID,
    TENANT,
    TOPIC_TENANT,
    WEBHOOK_SECRETS,
    notification_settings,
    notifications,
    samples,
)

FOLDERS = [path for path in RELEASES if (path / "notify.json").exists()]
release = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
MINUTE = int(NOW // 60)
DUE = NOW + 3600


@pytest.fixture
def now(services: Services) -> float:
    """The moment of the samples, as the product's clock."""
    services.clock = lambda: DUE
    return DUE


@pytest.fixture
def webhooks(services: Services) -> ScriptedWebhooks:
    return cast("ScriptedWebhooks", services.webhooks)


def store_secret(services: Services, folder: Path) -> None:
    text = json.dumps(content(folder, "notify")["secret"])
    services.secretsmanager.create_secret(Name=SECRET_ID, SecretString=text)


def change(services: Services, item_id: str, **values: Any) -> None:
    """Put further attributes into an item of the tenant's notifications, as another release might."""
    table = services.settings.table("notifications")
    key = {"tenant": {"S": TENANT}, "id": {"S": item_id}}
    item = services.dynamodb.get_item(TableName=table, Key=key)["Item"]
    services.dynamodb.put_item(TableName=table, Item=item | values)


def item_of(services: Services, item_id: str) -> Any:
    table = services.settings.table("notifications")
    return services.dynamodb.get_item(TableName=table, Key={"tenant": {"S": TENANT}, "id": {"S": item_id}})["Item"]


@release
def test_settings_and_notifications_of_the_release_are_read(
    services: Services, folder: Path, now: float, caplog: pytest.LogCaptureFixture
) -> None:
    restore(services, folder)
    store = services.notification_store
    webhook, topic = notification_settings()
    assert (store.find(TENANT), store.find(TOPIC_TENANT)) == (webhook, topic)
    assert sorted(store.all(), key=lambda each: each.tenant) == [webhook, topic]
    assert store.newest(TENANT, 10) == notifications()[::-1]
    assert store.due(now) == {TENANT: [notifications()[0].id]}
    assert not [line for line in caplog.records if line.levelname == "ERROR"]


@release
def test_function_sends_what_a_reconciler_and_an_api_of_the_release_ask_for(
    services: Services, folder: Path, webhooks: ScriptedWebhooks, now: float
) -> None:
    # Given
    restore(services, folder)
    store_secret(services, folder)
    first, *_, test = notifications()
    # When: a later release adds fields to a request
    for request in content(folder, "notify")["requests"]:
        jobs = [job | {"later": 1} for job in request["jobs"]]
        services.notification_sender.handle({"jobs": jobs, "later": 2}, time.monotonic() + 60)
    # Then: both secrets sign, because the rotation was an hour ago
    assert [headers["webhook-id"] for _, headers, _ in webhooks.received] == [first.id, test.id]
    for _, headers, body in webhooks.received:
        assert headers["webhook-timestamp"] == str(int(now))
        assert len(headers["webhook-signature"].split(" ")) == len(WEBHOOK_SECRETS)
        assert json.loads(body)["data"]["message"] == "é"
    stored = services.notification_store.find_one(TENANT, first.id)
    assert isinstance(stored, Notification)
    assert (stored.status, stored.attempts) == (DeliveryStatus.DELIVERED, 2)


@release
def test_secrets_of_the_release_sign_and_are_rotated(
    services: Services, folder: Path, webhooks: ScriptedWebhooks
) -> None:
    # Given: today's clock, which the library requires
    restore(services, folder)
    store_secret(services, folder)
    # When
    secret, _ = services.notifications.rotate_secret(TENANT)
    services.notifications.test(TENANT)
    # Then
    [(_, headers, body)] = webhooks.received
    for each in (secret, WEBHOOK_SECRETS[0]):
        assert Webhook(each).verify(body, headers)["type"] == "test"


@release
def test_requests_and_secrets_of_this_release_have_what_the_earlier_release_needs(
    services: Services, folder: Path
) -> None:
    written = samples(Services(services.settings, lambda: NOW))["notify"]
    assert_needed(shape(content(folder, "notify")), shape(written), strict=False, place="notify")


@release
def test_fields_of_a_later_release_are_kept_by_changes(
    services: Services, folder: Path, webhooks: ScriptedWebhooks, now: float
) -> None:
    # Given
    restore(services, folder)
    store_secret(services, folder)
    later: Any = {"S": "of a later release"}
    first = notifications()[0]
    change(services, first.id, later=later)
    record = item_of(services, "#settings")["settings"]["M"]
    kinds = {"L": [{"S": "connection.later"}, {"S": NotificationKind.FAULTY.value}]}
    wanted = {"M": record["wanted"]["M"] | {"later": later, "kinds": kinds}}
    change(services, "#settings", later=later, settings={"M": record | {"later": later, "wanted": wanted}})
    settings = services.notification_store.find(TENANT)
    assert settings is not None
    assert settings.wanted.kinds == [NotificationKind.FAULTY]

    # When
    services.notifications.replace(TENANT, {"url": settings.wanted.url, "faultyAfter": 3}, None)
    assert services.dispatcher.run() == 1

    # Then
    written = item_of(services, "#settings")
    record = written["settings"]["M"]
    assert [each["later"] for each in (written, record, record["wanted"]["M"])] == [later] * 3
    assert "quietHours" not in record["wanted"]["M"]
    assert record["wanted"]["M"]["faultyAfter"] == {"N": "3"}
    assert len(webhooks.received) == 1
    sent = item_of(services, first.id)
    assert (sent["later"], sent["status"], sent["lastAttempt"]) == (later, {"S": "delivered"}, {"N": repr(now)})


@pytest.fixture
def unreadable(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Keys that the lines about unreadable records must have. The metric counts the lines."""
    found: list[dict[str, Any]] = []
    counted: list[Metric] = []
    monkeypatch.setattr(metrics, "add", lambda metric, *_, **__: counted.append(metric))
    yield found
    lines = [line for line in caplog.get_records("call") if line.message == "unreadable record"]
    assert lines
    for keys in found:
        assert any(all(vars(line).get(name) == value for name, value in keys.items()) for line in lines), keys
    assert counted.count(Metric.UNREADABLE) == len(lines)


DAMAGES: list[dict[str, Any]] = [
    {"body": {"S": "no JSON"}},
    {"body": {"S": '{"data": {}}'}},
    {"body": {"S": "[]"}},
    {"milliseconds": {"S": "many"}},
    {"status": {"S": "of a later release"}},
]


@release
@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_unreadable_notification_is_skipped_by_the_list_and_by_the_function(
    api: Api,
    services: Services,
    folder: Path,
    webhooks: ScriptedWebhooks,
    now: float,
    damage: dict[str, Any],
    unreadable: list[dict[str, Any]],
) -> None:
    # Given
    assert now == DUE
    restore(services, folder)
    store_secret(services, folder)
    first, *others = notifications()
    change(services, first.id, **damage)
    unreadable.append({"tenant": TENANT, "id": first.id})
    # When
    listed = api.call("GET", "/notifications/deliveries")
    services.dispatcher.run()
    # Then
    assert listed.status == 200
    assert [each["id"] for each in listed.json] == [each.id for each in reversed(others)]
    assert webhooks.received == []


@release
def test_unreadable_settings_are_skipped(
    api: Api, services: Services, folder: Path, unreadable: list[dict[str, Any]]
) -> None:
    restore(services, folder)
    change(services, "#settings", settings={"M": {"schema": {"N": "9"}}})
    unreadable.append({"tenant": TENANT, "id": "#settings"})
    assert [each.tenant for each in services.notification_store.all()] == [TOPIC_TENANT]
    assert api.call("GET", "/notifications").status == 404
    services.reconciler.run()


@release
def test_block_of_a_later_release_hides_no_other_block(
    api: Api, services: Services, folder: Path, unreadable: list[dict[str, Any]]
) -> None:
    # Given: an hour after the samples, in the item of the same minute
    services.clock = lambda: NOW + 3600
    restore(services, folder)
    key: Any = {"connection": {"S": f"{TENANT}#{ID}"}, "sort": {"N": str(MINUTE)}}
    services.dynamodb.update_item(
        TableName=services.settings.table("statistics"),
        Key=key,
        UpdateExpression="ADD #log :more SET later = :later",
        ExpressionAttributeNames={"#log": "log"},
        ExpressionAttributeValues={":more": {"BS": [b"\x02later", encode(LOG)[:9]]}, ":later": {"S": "later"}},
    )
    unreadable.append({"connection": f"{TENANT}#{ID}", "sort": MINUTE})
    # When
    answer = api.call("GET", f"/messages?devEUI={DEVICE}")
    entries = services.message_log.entries(TENANT, ID, MINUTE, MINUTE)
    # Then
    assert answer.status == 200
    assert [each["status"] for each in answer.json if each["fCntUp"] == LOG[0].frame_counter] == ["delivered"]
    assert sorted(entries, key=repr) == sorted(LOG, key=repr)
    counters = services.statistics.counters(TENANT, ID, MINUTE, MINUTE)
    assert counters == {MINUTE: {"uplinksDelivered": 2, "uplinksFailed": 1}}


@release
def test_totals_of_a_tenant_ignore_attributes_of_a_later_release(services: Services, folder: Path) -> None:
    restore(services, folder)
    table = services.settings.table("statistics")
    [item] = [each for each in services.dynamodb.scan(TableName=table)["Items"] if "#*" in each["connection"]["S"]]
    services.dynamodb.put_item(TableName=table, Item=item | {"later": {"S": "x"}, "log": {"BS": [b"x"]}})
    services.statistics.add(TENANT, ID, {"uplinksDelivered": 1})
    assert services.statistics.totals(TENANT, MINUTE, MINUTE) == {
        MINUTE // 15 * 15: {"uplinksDelivered": 2, "uplinksFailed": 1}
    }
