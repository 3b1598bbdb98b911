"""Notifications of two tenants in a backup, an export and among the orphans."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from standardwebhooks import Webhook

from chalicelib.connections.notifications.dispatch import Dispatcher
from chalicelib.connections.notifications.outbox import Subscriptions
from chalicelib.entry.services import Services
from chalicelib.errors import NotFound
from infra.deploy.operate import tables
from infra.deploy.operate.notifications import copies
from tests.functional.infra.operate.cases import Operator
from tests.functional.infra.operate.test_orphans import kinds, old  # noqa: F401  # a fixture
from tests.functional.infra.operate.test_restore import TENANTS, World

if TYPE_CHECKING:
    from tests.functional.doubles import ScriptedWebhooks

URL = "https://hooks.example.com/{}"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:iot-flow-test-news"
LATER = (time.gmtime().tm_hour + 12) % 24
WANTED = {
    "faultyAfter": 9,
    "kinds": ["connection.faulty"],
    # Half a day from now, so that these tests can send at any time of the day.
    "quietHours": {"startTime": f"{LATER:02}:00", "endTime": f"{LATER:02}:30"},
}


class Notified(World):
    """A stage whose two tenants have webhooks, each with a delivered notification."""

    def __init__(self, services: Services, ssl: dict[str, Any]) -> None:
        super().__init__(services, ssl)
        self.webhooks = cast("ScriptedWebhooks", services.webhooks)
        self.secret = {}
        for tenant in TENANTS:
            _, made = services.notifications.replace(tenant, WANTED | {"url": URL.format(tenant)}, None)
            self.secret[tenant] = str(made)
            services.notifications.test(tenant)
        self.settings = {tenant: services.notifications.get(tenant) for tenant in TENANTS}

    def verify(self, tenant: str) -> Any:
        """Send a test and return its body, verified with the tenant's first secret."""
        self.services.notifications.test(tenant)
        url, headers, body = self.webhooks.received[-1]
        assert url == URL.format(tenant)
        return Webhook(self.secret[tenant]).verify(body, headers)


@pytest.fixture
def world(services: Services, ssl: dict[str, Any]) -> Notified:
    return Notified(services, ssl)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "backup"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export.json"


def row_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    [row] = [each for each in rows if each["kind"] == "notifications"]
    return row


def test_restored_notifications_are_signed_with_the_secret_of_before(
    world: Notified, operate: Operator, directory: Path
) -> None:
    # Given
    services = world.services
    log = {tenant: services.notifications.log(tenant) for tenant in TENANTS}
    counts = operate.json("backup", str(directory))
    assert (counts["notifications"], counts["deliveries"], counts["secrets"]) == (2, 2, 6)
    for name in ("notifications.jsonl", "deliveries.jsonl", "backup.json"):
        assert "whsec_" not in (directory / name).read_text()

    # When
    world.lose()
    planned = operate.json("restore", str(directory), "--dry-run")
    assert (planned["notifications"], planned["deliveries"]) == (2, 2)
    with pytest.raises(NotFound):
        services.notifications.get("demo")
    restored = operate.json("restore", str(directory), "--yes")
    assert "whsec_" not in operate.out + operate.err

    # Then
    assert (restored["notifications"], restored["deliveries"]) == (2, 2)
    for tenant in TENANTS:
        now, then = services.notifications.get(tenant), world.settings[tenant]
        assert now.model_copy(update={"version": then.version}) == then
        assert now.version > then.version
        assert services.notifications.log(tenant) == log[tenant]
        assert world.verify(tenant)["type"] == "test"

    # Then: a repeated restore leaves them
    repeated = operate.json("restore", str(directory), "--yes")
    assert (repeated["notifications"], repeated["deliveries"]) == (0, 0)


def test_pending_notification_is_sent_after_the_restore_and_an_expired_one_is_not_restored(
    world: Notified, operate: Operator, directory: Path
) -> None:
    # Given
    services, table = world.services, world.services.settings.table("notifications")
    waiting = services.notifications.log("demo")[0]
    key: Any = {"tenant": {"S": "demo"}, "id": {"S": waiting.id}}
    item: dict[str, Any] = services.dynamodb.get_item(TableName=table, Key=key)["Item"]
    pending = {"status": {"S": "pending"}, "shard": {"S": "due"}, "dueAt": {"N": "1"}}
    services.dynamodb.put_item(TableName=table, Item=item | pending)
    [other] = services.notifications.log("other")
    ended: Any = services.dynamodb.get_item(
        TableName=table, Key=key | {"tenant": {"S": "other"}, "id": {"S": other.id}}
    )
    services.dynamodb.put_item(TableName=table, Item=ended["Item"] | {"expires": {"N": str(int(time.time()) - 1)}})
    operate("backup", str(directory))
    world.lose()
    # When
    assert operate.json("restore", str(directory), "--yes")["deliveries"] == 1
    # The first run of a process reads the settings.
    again = Subscriptions(services.notification_store, services.clock, period=0)
    Dispatcher(again, services.notification_store, services.notify_function, services.clock).run()
    # Then
    [sent] = [each for each in services.notifications.log("demo") if each.id == waiting.id]
    assert (sent.status.value, sent.attempts) == ("delivered", 2)
    assert services.notifications.log("other") == []


def test_restore_leaves_changed_settings_and_a_rotated_secret(
    world: Notified, operate: Operator, directory: Path
) -> None:
    # Given: after the backup, one secret was rotated and the other tenant changed to a topic
    services = world.services
    operate("backup", str(directory))
    world.secret["demo"], _ = services.notifications.rotate_secret("demo")
    services.notifications.replace("other", {"topicArn": TOPIC}, None)
    # When
    assert operate.json("restore", str(directory), "--yes")["notifications"] == 0
    # Then
    assert world.verify("demo")["type"] == "test"
    assert services.notifications.get("other").target == TOPIC

    # When
    restored = operate.json("restore", str(directory), "--yes", "--overwrite", "--tenant", "other")
    # Then
    assert restored["notifications"] == 1
    assert services.notifications.get("other").version > world.settings["other"].version + 1
    assert world.verify("other")["type"] == "test"
    assert world.verify("demo")["type"] == "test"


def test_missing_secret_of_a_webhook_is_named(world: Notified, operate: Operator, directory: Path) -> None:
    services = world.services
    secret = str(world.settings["other"].secret_id)
    services.webhook_secrets.delete(secret)
    assert secret.removeprefix("iot-flow/") in operate("backup", str(directory), code=1).err
    world.lose()
    restored = operate.json("restore", str(directory), "--yes", code=1)
    assert restored["notifications"] == 2
    assert "DELETE /notifications" in operate.err
    assert services.notifications.get("other").target == URL.format("other")


def test_secret_that_changes_during_the_backup_is_in_it(
    world: Notified, operate: Operator, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the tenant changes the target between the scan and the read of the secret
    services, real = world.services, tables.scan

    def scan(stage: Any, kind: str) -> Any:
        for item in list(real(stage, kind)):
            if (item["id"]["S"], item["tenant"]["S"]) == ("#settings", "demo"):
                services.notifications.replace("demo", {"topicArn": TOPIC}, None)
                _, made = services.notifications.replace("demo", {"url": URL.format("demo")}, None)
                world.secret["demo"] = str(made)
            yield item

    monkeypatch.setattr(copies, "scan", scan)
    operate("backup", str(directory))
    world.lose()
    # When
    operate("restore", str(directory), "--yes")
    # Then
    assert world.verify("demo")["type"] == "test"


def test_export_makes_the_same_notifications_of_another_tenant(world: Notified, operate: Operator, file: Path) -> None:
    # Given
    services = world.services
    shown = operate("export", str(file), "--tenant", "demo", "--with-secrets")
    assert world.secret["demo"] in file.read_text()
    # When
    row = row_of(operate.json("import", str(file), "--tenant", "copy", "--yes", code=1))
    # Then: only the key of the application server is refused
    assert (row["action"], row["name"]) == ("created", "copy")
    assert services.notifications.get("copy").wanted == world.settings["demo"].wanted
    services.notifications.test("copy")
    _, headers, body = world.webhooks.received[-1]
    assert Webhook(world.secret["demo"]).verify(body, headers)["type"] == "test"
    again = row_of(operate.json("import", str(file), "--tenant", "copy", "--yes", code=1))
    assert again["action"] == "same"
    assert world.secret["demo"] not in shown.out + shown.err + operate.out + operate.err


def test_import_without_secrets_keeps_the_stored_one_and_names_a_missing_one(
    world: Notified, operate: Operator, file: Path
) -> None:
    # Given
    services = world.services
    operate("export", str(file), "--tenant", "demo")
    assert "whsec_" not in file.read_text()
    document = json.loads(file.read_text())
    document["notifications"][0]["faultyAfter"] = 30
    file.write_text(json.dumps(document))
    # When
    missing = row_of(operate.json("import", str(file), "--tenant", "copy", "--yes", code=1))
    planned = row_of(operate.json("import", str(file), "--dry-run"))
    changed = row_of(operate.json("import", str(file), "--yes"))
    # Then
    assert (missing["action"], missing["missing_secrets"]) == ("missing secrets", ["secret"])
    assert services.notification_store.find("copy") is None
    assert (planned["action"], planned["fields"]) == ("change", ["faultyAfter"])
    assert changed["action"] == "changed"
    assert services.notifications.get("demo").wanted.faulty_after == 30
    assert world.verify("demo")["type"] == "test"


def test_imported_secret_signs_beside_the_previous_one(world: Notified, operate: Operator, file: Path) -> None:
    # Given
    operate("export", str(file), "--tenant", "demo", "--with-secrets")
    document = json.loads(file.read_text())
    document["notifications"][0]["secret"] = world.secret["other"]
    file.write_text(json.dumps(document))
    # When
    row = row_of(operate.json("import", str(file), "--yes"))
    # Then
    assert (row["action"], row["fields"]) == ("changed", ["secret"])
    assert world.verify("demo")["type"] == "test"
    _, headers, body = world.webhooks.received[-1]
    assert Webhook(world.secret["other"]).verify(body, headers)["type"] == "test"

    # When: it is no secret
    document["notifications"][0]["secret"] = "whsec_short"
    file.write_text(json.dumps(document))
    # Then
    assert row_of(operate.json("import", str(file), "--yes", code=1))["action"] == "refused"
    assert "/secret" in operate.err
    assert "whsec_short" not in operate.err


def test_topic_that_the_stage_does_not_offer_is_refused(
    world: Notified, operate: Operator, file: Path, tmp_path: Path
) -> None:
    services = world.services
    services.notifications.replace("demo", {"topicArn": TOPIC}, None)
    assert operate.json("export", str(file), "--tenant", "demo")["notifications"] == 1
    row = row_of(operate.json("import", str(file), "--tenant", "copy", "--yes", code=1))
    assert row["action"] == "refused"
    assert "/topicArn" in operate.err
    services.notifications.delete("demo", None)
    assert operate.json("export", str(tmp_path / "none.json"), "--tenant", "demo")["notifications"] == 0


@pytest.mark.usefixtures("old")
def test_secret_that_no_settings_name_is_an_orphan(world: Notified, operate: Operator) -> None:
    # Given
    services = world.services
    assert operate.json("orphans") == []
    lost = str(world.settings["other"].secret_id)
    services.dynamodb.delete_item(
        TableName=services.settings.table("notifications"), Key={"tenant": {"S": "other"}, "id": {"S": "#settings"}}
    )
    # When
    [found] = operate.json("orphans", code=1)
    # Then
    assert (found["kind"], found["name"]) == ("secret", lost)
    assert kinds(operate.json("orphans", "--remove", "--yes")) == {("secret", "removed")}
    assert operate.json("orphans") == []
    assert world.verify("demo")["type"] == "test"
