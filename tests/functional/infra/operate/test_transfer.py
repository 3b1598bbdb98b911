"""Export and import of a tenant, the search for a device, and the attributes of existing queues."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.adapters.aws import failed_messages, statistics
from chalicelib.adapters.aws.devices import minutes, sketches
from chalicelib.adapters.aws.sqs import uplink_queue_attributes
from chalicelib.entry.services import Services
from tests.functional.connection_cases import failed
from tests.functional.infra.operate.cases import DEVICE, Operator, connect


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo.json"


def actions(rows: Any) -> dict[str, str]:
    return {row["name"]: row["action"] for row in rows}


def test_export_with_secrets_makes_the_same_connections_of_another_tenant(
    services: Services, operate: Operator, file: Path, ssl: dict[str, Any]
) -> None:
    # Given
    connect(services, "demo", name="tcp")
    services.connections.create("demo", ssl | {"name": "ssl"})
    services.application_server_store.put("demo", "AS1", "key of AS1")
    # When
    shown = operate("export", str(file), "--tenant", "demo", "--with-secrets")
    # A key that two tenants have would be refused.
    services.application_server_store.delete("demo", "AS1")
    imported = operate.json("import", str(file), "--tenant", "copy", "--yes")
    # Then
    assert "mypassword" not in shown.out + shown.err + operate.out + operate.err
    assert file.stat().st_mode & 0o777 == 0o600
    assert actions(imported) == {"tcp": "created", "ssl": "created", "AS1": "created"}
    copies = {each.name: each for each in services.connection_store.of_tenant("copy")}
    originals = {each.name: each for each in services.connection_store.of_tenant("demo")}
    for name, copy in copies.items():
        assert copy.configuration == originals[name].configuration
        assert services.secret_store.of(copy) == services.secret_store.of(originals[name])
    assert services.application_server_store.keys("AS1") == [("copy", "key of AS1")]
    assert set(actions(operate.json("import", str(file), "--tenant", "copy", "--yes")).values()) == {"same"}


def test_export_without_secrets_changes_fields_and_keeps_the_stored_secrets(
    services: Services, operate: Operator, file: Path
) -> None:
    made = connect(services, "demo", name="tcp")
    operate("export", str(file), "--tenant", "demo")
    assert "mypassword" not in file.read_text()
    document = json.loads(file.read_text())
    document["connections"][0]["configuration"]["description"] = "changed"
    file.write_text(json.dumps(document))

    [planned] = operate.json("import", str(file), "--dry-run")
    assert (planned["action"], planned["fields"]) == ("change", ["configuration.description"])
    assert services.connection_store.get("demo", made.id).version == 1
    [done] = operate.json("import", str(file), "--yes")

    assert done["action"] == "changed"
    stored = services.connection_store.get("demo", made.id)
    assert stored.configuration.description == "changed"
    assert Services(services.settings).secret_store.of(stored).password == "mypassword"


def test_import_names_missing_secrets_and_creates_nothing_without_them(
    services: Services, operate: Operator, file: Path
) -> None:
    connect(services, "demo", name="tcp")
    services.application_server_store.put("demo", "AS1", "key of AS1")
    operate("export", str(file), "--tenant", "demo")
    rows = operate.json("import", str(file), "--tenant", "copy", "--yes", code=1)
    assert [row["missing_secrets"] for row in rows] == [["password"], ["asKey"]]
    assert services.connection_store.of_tenant("copy") == []


def test_import_of_an_invalid_connection_is_refused_with_its_field(
    services: Services, operate: Operator, file: Path
) -> None:
    connect(services, "demo", name="tcp")
    operate("export", str(file), "--tenant", "demo", "--with-secrets")
    file.write_text(file.read_text().replace("amqp.actility.com", "10.0.0.1"))
    [row] = operate.json("import", str(file), "--tenant", "copy", "--yes", code=1)
    assert row["action"] == "refused"
    assert "/configuration/hostName" in operate.err
    assert "mypassword" not in operate.err


def test_import_asks_first(services: Services, operate: Operator, file: Path) -> None:
    connect(services, "demo", name="tcp")
    operate("export", str(file), "--tenant", "demo", "--with-secrets")
    operate("import", str(file), "--tenant", "copy", code=3)
    assert services.connection_store.of_tenant("copy") == []
    assert "exists" in operate("export", str(file), "--tenant", "demo", code=1).err


def test_device_is_found_by_deliveries_and_by_failed_messages(services: Services, operate: Operator) -> None:
    delivered, refused = connect(services, "demo", name="delivered"), connect(services, "other", name="refused")
    connect(services, "demo", name="neither")
    services.statistics.add("demo", delivered.id, {"uplinksDelivered": 1}, [DEVICE])
    services.failed_messages.add("other", refused.id, [failed(1), failed(2)])

    found = operate.json("find", DEVICE.lower())
    rows = {row["name"]: row for row in found["connections"]}

    assert set(rows) == {"delivered", "refused"}
    assert rows["delivered"]["last_delivered"].endswith(":00.000Z")
    assert (rows["refused"]["failed"], rows["refused"]["reason"]) == (2, "UNROUTABLE")
    assert "SQS cannot be searched" in found["notKnown"]
    kept = (statistics._KEPT, sketches._KEPT, failed_messages._KEPT)
    assert [f"more than {seconds // 86400} days ago" in found["notKnown"] for seconds in kept] == [True] * 3
    assert f"more than {minutes.MOST} devices" in found["notKnown"]
    assert operate.json("find", "0000000000000000", code=1)["connections"] == []
    assert "16 hexadecimal digits" in operate("find", "xyz", code=1).err


def test_existing_queues_get_the_attributes_of_new_ones(services: Services, operate: Operator) -> None:
    # Given: a queue that another release created
    old, current = connect(services, "demo"), connect(services, "other")
    url = services.sqs.get_queue_url(QueueName=services.settings.queue(f"uplinks-{old.id}.fifo"))["QueueUrl"]
    services.sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"VisibilityTimeout": "30", "MessageRetentionPeriod": "345600"}
    )
    # When
    planned = {row["connection"]: row for row in operate.json("migrate-queues", "--dry-run")}
    operate("migrate-queues", code=3)
    operate("migrate-queues", "--yes")
    # Then
    assert planned[f"demo/{old.id}"]["attributes"] == {"VisibilityTimeout": "60", "MessageRetentionPeriod": "1209600"}
    assert planned[f"other/{current.id}"]["action"] == "same"
    has: Any = services.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    wanted = uplink_queue_attributes(services.settings)
    assert {name: has[name] for name in wanted} == wanted
