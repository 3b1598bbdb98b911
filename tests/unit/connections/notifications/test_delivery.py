"""Notifications reach their targets: changes, retries, isolation, quiet hours and signatures."""

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from standardwebhooks import Webhook

from chalicelib.domain.notifications.notification import GIVE_UP_AFTER
from chalicelib.domain.notifications.settings import QuietHours
from chalicelib.errors import NotDelivered, Unavailable
from chalicelib.vocabulary import DeliveryStatus, NotificationKind
from tests.unit.connections.notifications.world import HOUR, MINUTE, World

PARIS = ZoneInfo("Europe/Paris")
HANGS = NotDelivered("https://demo.example did not answer in time.", silent=True)
REFUSES = NotDelivered("The webhook answered 400.", 400)


@pytest.fixture
def world() -> World:
    return World()


def test_opening_a_long_fault_and_the_recovery_are_sent_once_each(world: World) -> None:
    world.subscribe()
    world.now += 1
    world.connect("one")
    world.reconcile(3)
    world.fail("one")
    world.reconcile(10)
    world.fail("one")
    world.reconcile(5)
    world.open("one")
    world.reconcile(5)
    assert world.kinds() == ["connection.opened", "connection.faulty", "connection.recovered"]
    assert len(world.webhook.calls) == 3
    faulty, recovered = (json.loads(call[3]) for call in world.webhook.calls[1:])
    assert faulty["data"]["connectionName"] == "one"
    assert "The broker refused the login." in faulty["data"]["message"]
    assert "open again after 15 minute(s)" in recovered["data"]["message"]


def test_short_fault_is_not_sent(world: World) -> None:
    world.subscribe()
    world.connect("one")
    world.reconcile(1)
    world.fail("one")
    world.reconcile(5)
    world.open("one")
    world.reconcile(5)
    assert world.kinds() == ["connection.opened"]


def test_only_the_wanted_kinds_are_sent_after_the_wanted_minutes(world: World) -> None:
    world.subscribe(kinds=[NotificationKind.FAULTY], faulty_after=30)
    world.connect("one")
    world.fail("one")
    world.reconcile(30)
    assert world.kinds() == []
    world.reconcile(1)
    world.open("one")
    world.reconcile(1)
    assert world.kinds() == ["connection.faulty"]


def test_tenant_without_settings_and_one_that_turned_them_off_get_nothing(world: World) -> None:
    world.subscribe("off", active=False)
    world.connect("one", "off")
    world.connect("two", "none")
    world.reconcile(10)
    assert (world.webhook.calls, world.notifications.stored) == ([], {})


def test_changes_before_the_settings_are_not_sent(world: World) -> None:
    world.connect("one")
    world.now += HOUR
    world.subscribe()
    world.reconcile(5)
    assert world.kinds() == []


def test_webhook_that_hangs_for_an_hour_loses_nothing_and_delays_no_other_tenant(world: World) -> None:
    # Given: two tenants, and the webhook of one hangs
    secret = world.subscribe("demo")
    world.subscribe("other")
    world.webhook.failing = lambda url: HANGS if "demo" in url else None
    begin = world.now
    for number in range(20):
        world.connect(f"demo-{number}", "demo")
        world.connect(f"other-{number}", "other")

    # When: an hour passes, with faults of all connections
    world.reconcile(10)
    for name in world.connections:
        world.fail(name)
    world.reconcile(50)
    assert world.kinds("demo") == []
    other = [moment for moment, url, _, _ in world.webhook.received if "other" in url]
    for name in world.connections:
        world.open(name)
    world.webhook.failing = lambda _: None
    back = world.now
    world.reconcile(20)

    # Then: the other tenant got its notifications within a minute of each change
    assert [moment - begin for moment in other] == [MINUTE] * 20 + [16 * MINUTE] * 20
    # and the hanging webhook got all its notifications within a quarter of an hour, each with a signature that verifies
    assert sorted(world.kinds("demo")) == sorted(
        ["connection.opened", "connection.faulty", "connection.recovered"] * 20
    )
    assert max(moment for moment, url, _, _ in world.webhook.received if "demo" in url) <= back + 16 * MINUTE
    for moment, url, headers, body in world.webhook.received:
        if "demo" in url:
            assert headers["webhook-timestamp"] == str(int(moment))
            signed = Webhook(secret).sign(headers["webhook-id"], datetime.fromtimestamp(int(moment), UTC), body)
            assert headers["webhook-signature"] == signed
    # It was tried once a minute at most.
    tries = [moment for moment, url, _, _ in world.webhook.calls if "demo" in url and moment <= back]
    assert len(tries) == len(set(tries)) <= 60


def test_refused_notification_does_not_hold_back_the_others(world: World) -> None:
    world.subscribe()
    world.connect("one")
    world.connect("two")
    refused: list[str] = []

    def refuse_first(_url: str) -> NotDelivered | None:
        refused.append("call")
        return REFUSES if len(refused) == 1 else None

    world.webhook.failing = refuse_first
    world.reconcile(1)
    assert len(world.webhook.received) == 1
    world.reconcile(1)
    assert len(world.webhook.received) == 2


def test_notification_is_tried_for_two_days_and_then_failed(world: World) -> None:
    world.subscribe(kinds=[NotificationKind.OPENED])
    world.webhook.failing = lambda _: HANGS
    world.connect("one")
    world.reconcile(1)
    began = world.now
    while world.now - began < GIVE_UP_AFTER - MINUTE:
        world.reconcile(1)
    [pending] = world.notifications.newest("demo", 100)
    assert pending.status is DeliveryStatus.PENDING
    world.reconcile(16)
    [failed] = world.notifications.newest("demo", 100)
    assert (failed.status, failed.due_at) == (DeliveryStatus.FAILED, None)
    assert failed.detail == str(HANGS)
    assert failed.attempts > 24 * 4
    calls = len(world.webhook.calls)
    world.reconcile(60)
    assert len(world.webhook.calls) == calls


def test_quiet_hours_hold_notifications_until_their_end(world: World) -> None:
    # Given: the night in which the clock goes back
    hours = QuietHours(start_time="22:00", end_time="07:00", timezone="Europe/Paris")
    world.now = datetime(2026, 10, 24, 21, 58, tzinfo=PARIS).timestamp()
    world.subscribe(quiet=hours)
    world.connect("evening")
    world.reconcile(1)
    world.reconcile(1)
    world.connect("night")
    world.reconcile(10 * 60 - 1)
    assert len(world.webhook.received) == 1

    # When the night, which has ten hours, ends
    world.reconcile(1)

    # Then
    assert datetime.fromtimestamp(world.now, PARIS).strftime("%H:%M") == "07:00"
    assert [call[0] for call in world.webhook.received][1:] == [world.now]


def test_quiet_hours_of_one_tenant_do_not_hold_another(world: World) -> None:
    world.now = datetime(2026, 11, 27, 0, 30, tzinfo=PARIS).timestamp()
    world.subscribe("demo", quiet=QuietHours(start_time="22:00", end_time="07:00", timezone="Europe/Paris"))
    world.subscribe("other")
    world.connect("one", "demo")
    world.connect("two", "other")
    world.reconcile(2)
    assert (world.kinds("demo"), world.kinds("other")) == ([], ["connection.opened"])


def test_topic_gets_the_same_document(world: World) -> None:
    world.subscribe(topic_arn="arn:aws:sns:eu-west-1:123456789012:iot-flow-test-news")
    world.connect("one")
    world.reconcile(1)
    [(arn, kind, body)] = world.published
    assert (arn.rsplit(":", 1)[-1], kind) == ("iot-flow-test-news", "connection.opened")
    assert json.loads(body)["data"]["connectionId"] == "one"


def test_deleted_settings_end_what_waits(world: World) -> None:
    world.subscribe()
    world.webhook.failing = lambda _: HANGS
    world.connect("one")
    world.reconcile(1)
    [waiting] = world.notifications.newest("demo", 100)
    world.settings.delete("demo", 1)
    world.now += HOUR
    world.sender.handle({"jobs": [{"tenant": "demo", "ids": [waiting.id]}]}, 60.0)
    [failed] = world.notifications.newest("demo", 100)
    assert failed.status is DeliveryStatus.FAILED
    assert "deleted" in (failed.detail or "")


def test_invocation_that_lambda_refuses_is_made_by_the_next_run(world: World) -> None:
    world.subscribe()
    world.connect("one")
    world.refused = Unavailable("Lambda does not answer")
    with pytest.raises(Unavailable):
        world.reconcile(1)
    world.refused = None
    world.reconcile(1)
    assert world.kinds() == ["connection.opened"]


def test_secret_that_was_deleted_is_a_fault_of_the_settings(world: World) -> None:
    world.subscribe()
    world.secrets.stored.clear()
    world.connect("one")
    world.reconcile(1)
    [pending] = world.notifications.newest("demo", 100)
    assert pending.status is DeliveryStatus.PENDING
    assert "set them up again" in (pending.detail or "")
