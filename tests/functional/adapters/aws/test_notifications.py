"""Notifications, their settings and their secrets in DynamoDB and Secrets Manager."""

from typing import Any

import pytest

from chalicelib.adapters.aws.notifications.store import DynamoDbNotifications
from chalicelib.domain.notifications.notification import Notification
from chalicelib.domain.notifications.settings import NotificationRequest, NotificationSettings, QuietHours
from chalicelib.entry.services import Services
from chalicelib.errors import NotDelivered, NotFound, PreconditionFailed
from chalicelib.kernel.ids import id_of
from chalicelib.vocabulary import DeliveryStatus

NOW = 1_795_000_000.0
NIGHT = QuietHours(start_time="22:00", end_time="07:00", timezone="Europe/Paris")


@pytest.fixture
def store(services: Services) -> DynamoDbNotifications:
    return services.notification_store


def settings(tenant: str = "demo", **changes: Any) -> NotificationSettings:
    wanted = NotificationRequest(url="https://hooks.example.com", quiet_hours=NIGHT, faulty_after=10)
    made = NotificationSettings(
        tenant=tenant, wanted=wanted, secret_id="name", active_since=NOW, created_at="then", updated_at="now"
    )
    return made.model_copy(update=changes)


def notification(number: int = 0, tenant: str = "demo", **changes: Any) -> Notification:
    made = Notification(
        tenant=tenant,
        id=id_of(NOW + number, tenant, str(number)),
        kind="connection.opened",
        time="2026-11-27T09:00:00.000Z",
        connection_id="01",
        body='{"data": {"message": "ä"}}',
        due_at=NOW + number,
    )
    return made.model_copy(update=changes)


def test_settings_are_read_as_they_were_written(store: DynamoDbNotifications) -> None:
    assert (store.find("demo"), store.all()) == (None, [])
    store.put(settings(), 0)
    store.put(settings("other", secret_id=None), 0)
    assert store.find("demo") == settings()
    assert sorted(each.tenant for each in store.all()) == ["demo", "other"]
    assert settings() in store.all()


def test_change_of_another_version_is_refused(store: DynamoDbNotifications) -> None:
    store.put(settings(), 0)
    for version in (0, 2):
        with pytest.raises(PreconditionFailed):
            store.put(settings(version=3), version)
    with pytest.raises(PreconditionFailed):
        store.delete("demo", 2)
    store.put(settings(version=2), 1)
    store.delete("demo", 2)
    assert store.find("demo") is None


def test_settings_of_another_release_are_read(store: DynamoDbNotifications, services: Services) -> None:
    store.put(settings(), 0)
    services.dynamodb.update_item(
        TableName=services.settings.table("notifications"),
        Key={"tenant": {"S": "demo"}, "id": {"S": "#settings"}},
        UpdateExpression="SET #s.#w.#f = :v, #s.#f = :v",
        ExpressionAttributeNames={"#s": "settings", "#w": "wanted", "#f": "later"},
        ExpressionAttributeValues={":v": {"S": "unknown"}},
    )
    assert store.find("demo") == settings()


def test_notification_is_stored_once(store: DynamoDbNotifications) -> None:
    assert store.add(notification())
    assert not store.add(notification(body="other"))
    assert store.find_one("demo", notification().id) == notification()
    assert store.find_one("other", notification().id) is None


def test_due_notifications_are_listed_by_tenant_the_longest_due_first(store: DynamoDbNotifications) -> None:
    for number in (3, 1, 2, 5):
        store.add(notification(number))
    store.add(notification(1, "other"))
    found = store.due(NOW + 3)
    assert found["demo"] == [notification(number).id for number in (1, 2, 3)]
    assert found["other"] == [notification(1, "other").id]


def test_attempt_hides_a_notification_until_it_ends_or_its_time_is_over(store: DynamoDbNotifications) -> None:
    # Given
    store.add(notification())
    name = notification().id

    # When
    taken = store.take("demo", name, NOW, NOW + 60)

    # Then
    assert taken is not None
    assert (taken.attempts, taken.first_attempt, taken.last_attempt) == (1, NOW, NOW)
    assert store.take("demo", name, NOW + 59, NOW + 100) is None
    assert not store.due(NOW + 59)
    again = store.take("demo", name, NOW + 60, NOW + 120)
    assert again is not None
    assert (again.attempts, again.first_attempt) == (2, NOW)
    # The result of the first attempt is too late.
    store.finish(taken.model_copy(update={"status": DeliveryStatus.FAILED, "due_at": None}))
    found = store.find_one("demo", name)
    assert found is not None
    assert found.status is DeliveryStatus.PENDING


def test_finished_notification_is_not_due_and_shows_its_result(store: DynamoDbNotifications) -> None:
    store.add(notification())
    taken = store.take("demo", notification().id, NOW, NOW + 60)
    assert taken is not None
    result = {"status": DeliveryStatus.DELIVERED, "due_at": None, "http_status": 204, "milliseconds": 12}
    store.finish(taken.model_copy(update=result))
    assert not store.due(NOW + 1000)
    assert store.take("demo", notification().id, NOW + 1000, NOW + 2000) is None
    [listed] = store.newest("demo", 100)
    assert (listed.status, listed.http_status, listed.milliseconds) == (DeliveryStatus.DELIVERED, 204, 12)


def test_log_has_the_newest_notifications_without_the_settings(store: DynamoDbNotifications) -> None:
    store.put(settings(), 0)
    for number in range(5):
        store.add(notification(number))
    assert [each.id for each in store.newest("demo", 3)] == [notification(number).id for number in (4, 3, 2)]
    assert len(store.newest("demo", 100)) == 5


@pytest.mark.parametrize("name", ["#settings", "", "x", "../other"])
def test_only_notifications_can_be_taken(store: DynamoDbNotifications, name: str) -> None:
    store.put(settings(), 0)
    assert store.take("demo", name, NOW, NOW + 60) is None
    assert store.find("demo") == settings()


def test_secret_is_rotated_with_an_overlap(services: Services) -> None:
    secrets = services.webhook_secrets
    name, first = secrets.create("demo")
    assert name.startswith("iot-flow/demo/notifications/")
    now = services.clock()
    second = secrets.rotate(name, now + 100)
    assert secrets.keys(name, now) == [second, first]
    assert secrets.keys(name, now + 101) == [second]
    third = secrets.rotate(name, now + 200)
    # Two secrets at most.
    assert secrets.keys(name, now) == [third, second]
    secrets.delete(name)
    secrets.delete(name)
    with pytest.raises(NotFound):
        secrets.keys(name, now)


def test_secrets_have_the_tags_of_the_stage(services: Services) -> None:
    name, _ = services.webhook_secrets.create("demo")
    tags = services.secretsmanager.describe_secret(SecretId=name)["Tags"]
    assert tags == [{"Key": "iot-flow:stage", "Value": "test"}]


def test_only_topics_of_the_operator_are_published_to(services: Services) -> None:
    [arn] = services.settings.notification_topics
    with pytest.raises(NotDelivered, match="NotFound"):
        services.topics.publish(arn, "connection.opened", "{}")
    services.sns.create_topic(Name=arn.rsplit(":", 1)[-1])
    assert services.topics.publish(arn, "connection.opened", "{}").status is None
    other = services.sns.create_topic(Name="iot-flow-other")["TopicArn"]
    with pytest.raises(NotDelivered, match="does not offer"):
        services.topics.publish(other, "connection.opened", "{}")
