"""Backup of a stage with two tenants, the loss of everything, and a restore after which its connections work."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.work_items import DownlinkJob
from chalicelib.entry.services import Services
from chalicelib.kernel.ids import new_id
from chalicelib.ports.queues import QueueRecord
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.socket_slots import SocketSlots
from infra.deploy.operate import queue_copies
from infra.local.aws import data_stack
from tests.functional.connection_cases import failed
from tests.functional.infra.operate.cases import Operator, break_down, connect, messages, store_report
from tests.unit.flow import ScriptedBroker

TENANTS = ("demo", "other")
DEVICES = ("70B3D5E75E000001", "70B3D5E75E000002")


class Broker(ScriptedBroker):
    """A broker that records the secrets of each login."""

    logins: dict[str, ConnectionSecrets]

    def open(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> Any:
        self.logins = {**getattr(self, "logins", {}), connection.id: secrets}
        return super().open(connection, secrets, deadline)


class World:
    """A stage with a TCP and an SSL connection, of two tenants."""

    def __init__(self, services: Services, ssl: dict[str, Any]) -> None:
        self.services = services
        self.tcp = connect(services, "demo", name="tcp")
        self.ssl = services.connections.create("other", ssl)
        self.both = (self.tcp, self.ssl)
        for tenant in TENANTS:
            services.application_server_store.put(tenant, f"AS-{tenant}", f"key of {tenant}")
        self.secrets = {each.id: services.secret_store.of(self.stored(each)) for each in self.both}

    def stored(self, connection: Connection) -> Connection:
        return self.services.connection_store.get(connection.tenant, connection.id)

    def lose(self) -> None:
        """Delete every table, queue and secret of the stage, and deploy an empty data stack."""
        services = self.services
        for table in services.dynamodb.list_tables()["TableNames"]:
            services.dynamodb.delete_table(TableName=table)
        for url in services.sqs.list_queues()["QueueUrls"]:
            services.sqs.delete_queue(QueueUrl=url)
        for secret in services.secretsmanager.list_secrets()["SecretList"]:
            services.secretsmanager.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
        data_stack.create(services.dynamodb, services.sqs, services.settings.resource_prefix, services.settings.timing)

    def forward(self) -> Broker:
        """Run cold forwarders for all wakes and return the broker that they published to."""
        broker, cold = Broker(), Services(self.services.settings)
        cold.publisher_pool = PublisherPool(broker, cold.secret_store, SocketSlots(cold.slots, 120))
        for queue, forwarder in (("wakes", cold.forwarder), ("wakes-slow", cold.slow_forwarder)):
            url = cold.sqs.get_queue_url(QueueName=cold.settings.queue(queue))["QueueUrl"]
            while received := cold.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                records = [QueueRecord(each["ReceiptHandle"], each["MessageId"], each["Body"]) for each in received]
                forwarder.handle(records, time.monotonic() + 30)
        return broker


@pytest.fixture
def world(services: Services, ssl: dict[str, Any]) -> World:
    return World(services, ssl)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def uplink(number: int) -> bytes:
    report = {"DevEUI": DEVICES[0], "FPort": 1, "FCntUp": number, "payload_hex": "00"}
    return json.dumps({"DevEUI_uplink": report}).encode()


def test_restored_connections_work_with_their_secrets(world: World, operate: Operator, directory: Path) -> None:
    # Given: reports wait in order behind a broken broker, and a warm ingress knows both tenants
    services = world.services
    queued = {each.id: [store_report(services, each, n, d) for n in (1, 2) for d in DEVICES] for each in world.both}
    for each in world.both:
        break_down(services, each)
        services.ingress.accept(each.tenant, uplink(9))
    before = {each.id: world.stored(each) for each in world.both}
    as_key = services.secret_store.put_as_key("demo", world.tcp.id, "key of a downlink")

    # When: everything is lost and restored
    counts = operate.json("backup", str(directory), "--with-queues")
    assert (counts["connections"], counts["application-servers"], counts["secrets"]) == (2, 2, 5)
    assert counts["messages"] == 10
    world.lose()
    restored = operate.json("restore", str(directory), "--yes")

    # Then: the records are those of before, with another version and closed breakers
    assert {row["restarted"] for row in restored["connections"]} == {"yes"}
    for each in world.both:
        now, then = world.stored(each), before[each.id]
        same = {"name", "configuration", "alarms", "secret_version", "created_at", "certificate_ends", "active"}
        assert now.model_dump(include=same) == then.model_dump(include=same)
        assert now.version > then.version
        assert now.epoch > then.epoch
        assert not now.breaker_open
    cold = Services(services.settings)
    assert cold.application_server_store.keys("AS-other") == [("other", "key of other")]
    assert cold.secret_store.get_as_key(as_key) == "key of a downlink"

    # Then: both publish what waited, in order per device, with the secrets of before
    messages_of = world.forward()
    assert messages_of.logins == world.secrets
    for each in world.both:
        published = [m.body.decode() for m in messages_of.received if m.headers["connectionId"] == each.id]
        for device in DEVICES:
            expected = [body for body in [*queued[each.id], uplink(9).decode()] if device in body]
            assert [body for body in published if device in body] == expected

    # Then: the warm ingress stores new reports for the restored connections, and they can be changed
    for each in world.both:
        services.ingress.accept(each.tenant, uplink(10))
        assert services.uplink_queues.depth(each.id) == (1, 0)
        mask = {"configuration": {"description": "restored"}}
        cold.connections.patch(each.tenant, each.id, mask, None)
        assert cold.secret_store.of(world.stored(each)) == world.secrets[each.id]
    assert operate.json("list", "--tenant", "other")[0]["connection"] == f"other/{world.ssl.id}"


def test_new_connections_count_with_the_restored_ones(world: World, operate: Operator, directory: Path) -> None:
    operate("backup", str(directory))
    world.lose()
    operate("restore", str(directory), "--yes")
    connect(world.services, "demo")
    item = world.services.dynamodb.get_item(
        TableName=world.services.settings.table("connections"), Key={"tenant": {"S": "demo"}, "id": {"S": "#tenant"}}
    )["Item"]
    assert item["connections"] == {"N": "2"}


def test_failed_messages_are_restored_with_their_connection(world: World, operate: Operator, directory: Path) -> None:
    message = failed()
    world.services.failed_messages.add("other", world.ssl.id, [message.model_copy(update={"body": "x" * 5000})])
    operate("backup", str(directory))
    world.lose()
    operate("restore", str(directory), "--yes")
    [restored], _ = world.services.failed_messages.page("other", world.ssl.id, 5, None)
    assert (restored.id, restored.body, restored.message_id) == (message.id, "x" * 5000, "m")


def test_restore_leaves_what_exists(world: World, operate: Operator, directory: Path) -> None:
    # Given: after the backup, one connection is deleted and the other one changed, and its failed messages purged
    services = world.services
    services.failed_messages.add("demo", world.tcp.id, [failed()])
    operate("backup", str(directory))
    services.failed_messages.purge("demo", world.tcp.id)
    services.connections.patch("demo", world.tcp.id, {"name": "changed"}, None)
    services.connections.delete("other", world.ssl.id)

    # When
    planned = operate.json("restore", str(directory), "--dry-run")
    assert [each.id for each in services.connection_store.of_tenant("other")] == []
    done = operate.json("restore", str(directory), "--yes")

    # Then
    records = {row["connection"].split("/")[1]: row["record"] for row in done["connections"]}
    assert records == {world.tcp.id: "kept", world.ssl.id: "restored"}
    assert [row["record"] for row in planned["connections"]] == [row["record"] for row in done["connections"]]
    assert world.stored(world.tcp).name == "changed"
    assert services.failed_messages.page("demo", world.tcp.id, 5, None)[0] == []
    assert Services(services.settings).secret_store.of(world.stored(world.ssl)) == world.secrets[world.ssl.id]


def test_overwriting_restores_the_record_and_its_secret(world: World, operate: Operator, directory: Path) -> None:
    services = world.services
    operate("backup", str(directory))
    services.connections.patch("demo", world.tcp.id, {"name": "bad", "configuration": {"password": "bad"}}, None)
    changed = world.stored(world.tcp)
    operate("restore", str(directory), "--overwrite", "--tenant", "demo", "--yes")
    now = world.stored(world.tcp)
    assert (now.name, now.version > changed.version) == ("tcp", True)
    assert Services(services.settings).secret_store.of(now) == world.secrets[now.id]


def test_killed_restore_is_repeated_without_sending_a_report_twice(
    world: World, operate: Operator, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a restore that is killed within the messages of a queue
    for number in range(4):
        store_report(world.services, world.tcp, number)
    operate("backup", str(directory), "--with-queues")
    world.lose()
    real = queue_copies.QueueCopies.send

    def killed(self: Any, queue: str, documents: Any) -> Any:
        for number in real(self, queue, documents):
            yield number
            if number == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(queue_copies.QueueCopies, "send", killed)
    with pytest.raises(KeyboardInterrupt):
        operate("restore", str(directory), "--yes")
    assert world.services.connection_store.of_tenant("demo") == []

    # When
    monkeypatch.setattr(queue_copies.QueueCopies, "send", real)
    operate("restore", str(directory), "--yes")

    # Then
    numbers = [json.loads(m.body)["DevEUI_uplink"]["FCntUp"] for m in world.forward().received]
    assert numbers == [0, 1, 2, 3]


def test_reports_that_are_still_queued_are_not_sent_again(world: World, operate: Operator, directory: Path) -> None:
    # Given: only the table was lost
    services = world.services
    store_report(services, world.tcp)
    operate("backup", str(directory), "--with-queues")
    table = services.settings.table("connections")
    services.dynamodb.delete_table(TableName=table)
    data_stack.create(services.dynamodb, services.sqs, services.settings.resource_prefix, services.settings.timing)
    # When
    restored = operate.json("restore", str(directory), "--yes")
    # Then
    assert {row["queue"] for row in restored["connections"]} == {"kept"}
    assert len(world.forward().received) == 1


def test_taken_queues_are_empty_and_restored_whole(world: World, operate: Operator, directory: Path) -> None:
    # Given: more reports of one device than a copy can see, and a downlink
    services = world.services
    for number in range(25):
        store_report(services, world.tcp, number)
    job = DownlinkJob(
        tenant="demo", connection_id=world.tcp.id, downlink={"DevEUI": DEVICES[0]}, received_at=time.time()
    )
    services.downlink_queue.send([(job, new_id(time.time()))])

    # When
    assert operate.json("backup", str(directory), "--take-queues", "--yes")["messages"] == 26
    assert services.uplink_queues.depth(world.tcp.id) == (0, 0)
    assert messages(services, "downlinks.fifo") == []
    world.lose()
    operate("restore", str(directory), "--yes")

    # Then
    numbers = [json.loads(m.body)["DevEUI_uplink"]["FCntUp"] for m in world.forward().received]
    assert numbers == list(range(25))
    assert [each["tenant"] for each in messages(services, "downlinks.fifo")] == ["demo"]


def test_backup_is_readable_by_its_owner_only_and_shows_no_secret(
    world: World, operate: Operator, directory: Path
) -> None:
    assert world.secrets[world.tcp.id].password == "mypassword"
    shown = operate("backup", str(directory))
    assert {path.stat().st_mode & 0o077 for path in (directory, *directory.rglob("*"))} == {0}
    assert "mypassword" in (directory / "secrets.jsonl").read_text()
    assert "mypassword" not in shown.out + shown.err
    for name in ("connections.jsonl", "application-servers.jsonl", "backup.json"):
        assert "mypassword" not in (directory / name).read_text()
    operate("restore", str(directory), "--overwrite", "--yes")
    assert "mypassword" not in operate.out + operate.err


def test_missing_secret_is_named_and_the_rest_restored(world: World, operate: Operator, directory: Path) -> None:
    world.services.secret_store.delete("other", world.ssl.id)
    assert f"other/{world.ssl.id}" in operate("backup", str(directory), code=1).err
    world.lose()
    rows = operate.json("restore", str(directory), "--yes", code=1)["connections"]
    assert {row["connection"].split("/")[0]: row["secrets"] for row in rows} == {"demo": "restored", "other": "missing"}
    assert list(world.forward().logins) == [world.tcp.id]


def test_changed_or_unfinished_backup_is_refused(world: World, operate: Operator, directory: Path) -> None:
    assert world.both
    operate("backup", str(directory))
    assert "not empty" in operate("backup", str(directory), code=1).err
    with (directory / "connections.jsonl").open("a") as file:
        file.write("{}\n")
    assert "was changed" in operate("restore", str(directory), "--yes", code=1).err
    (directory / "backup.json").unlink()
    assert "not finished" in operate("restore", str(directory), "--yes", code=1).err


def test_backup_of_a_stage_with_the_same_secrets_is_refused(world: World, operate: Operator, directory: Path) -> None:
    assert world.both
    operate("backup", str(directory))
    manifest = json.loads((directory / "backup.json").read_text())
    (directory / "backup.json").write_text(json.dumps(manifest | {"prefix": "iot-flow-prod"}))
    assert "SECRET_PREFIX" in operate("restore", str(directory), "--yes", code=1).err


def test_nothing_is_restored_without_a_yes(world: World, operate: Operator, directory: Path) -> None:
    operate("backup", str(directory))
    world.lose()
    assert "--yes" in operate("restore", str(directory), code=3).err
    assert world.services.connection_store.of_tenant("demo") == []


def test_repair_makes_tables_work_that_aws_restored(world: World, operate: Operator) -> None:
    # Given: the records are there, a queue and a secret are not
    services = world.services
    services.uplink_queues.delete(world.tcp.id)
    services.secret_store.delete("other", world.ssl.id)
    # When
    rows = {row["connection"].split("/")[0]: row for row in operate.json("repair", "--yes", code=1)}
    # Then
    assert (rows["demo"]["queue"], rows["demo"]["secrets"], rows["demo"]["restarted"]) == ("created", "present", "yes")
    assert rows["other"]["secrets"] == "missing"
    services.ingress.accept("demo", uplink(1))
    assert services.uplink_queues.depth(world.tcp.id) == (1, 0)
