"""Export and import of the flows and drivers of a tenant."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.connections.flows.service import FlowService
from chalicelib.domain.connection import Connection
from chalicelib.entry.services import Services
from tests.functional.driver_cases import CODE, DRIVER
from tests.functional.infra.operate.cases import Operator, StageCodec, connect
from tests.functional.infra.operate.test_transfer import actions

FLOWS = ("first", "second")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo.json"


@pytest.fixture
def connection(services: Services) -> Connection:
    """A connection of the tenant demo, which two flows with a driver name."""
    made = connect(services, "demo", name="tcp")
    services.driver_service.create("demo", DRIVER)
    connectors = [{"connectionId": made.id, "uplinkTimeValidity": "72h"}]
    for name in FLOWS:
        document = {"name": name, "driver": {"id": DRIVER["id"]}, "connectors": connectors}
        services.flow_service.create("demo", document | {"matchers": [{"type": "thing", "tags": [name]}]})
    return made


def test_export_makes_the_same_flows_and_drivers_of_another_tenant(
    services: Services, operate: Operator, codec: StageCodec, file: Path, connection: Connection
) -> None:
    # When
    shown = operate.json("export", str(file), "--tenant", "demo", "--with-secrets")
    imported = operate.json("import", str(file), "--tenant", "copy", "--yes")

    # Then
    assert (shown["drivers"], shown["flows"]) == (1, 2)
    assert [row["kind"] for row in imported] == ["driver", "connection", "flow", "flow"]
    assert set(actions(imported).values()) == {"created"}
    assert set(codec.names) == {"iot-flow-amqp-test-codec"}
    [copy] = services.connection_store.of_tenant("copy")
    assert copy.active
    assert copy.id != connection.id
    driver = services.driver_store.find("copy", DRIVER["id"])
    assert services.driver_store.code(driver) == CODE
    assert driver.models == services.driver_store.find("demo", DRIVER["id"]).models
    # Then: the flows name the new connection, in the order in which the first one that matches decides
    flows = list(services.flow_store.of_tenant("copy"))
    assert [flow.name for flow in flows] == list(FLOWS)
    assert [flow.connectors[0].connection_id for flow in flows] == [copy.id] * 2
    for flow, original in zip(flows, services.flow_store.of_tenant("demo"), strict=True):
        assert (flow.matchers, flow.driver, flow.active) == (original.matchers, original.driver, original.active)
        assert flow.connectors[0].uplink_time_validity == "72h"

    # Then: a repeated import changes nothing
    assert set(actions(operate.json("import", str(file), "--tenant", "copy", "--yes")).values()) == {"same"}


@pytest.mark.usefixtures("connection")
def test_import_changes_flows_and_drivers_of_the_tenant(services: Services, operate: Operator, file: Path) -> None:
    # Given
    operate("export", str(file), "--tenant", "demo")
    document = json.loads(file.read_text())
    document["drivers"][0]["code"] += "// changed"
    document["flows"][0] |= {"description": "changed", "active": False}
    file.write_text(json.dumps(document))

    # When
    planned = operate.json("import", str(file), "--dry-run")
    assert services.driver_store.find("demo", DRIVER["id"]).version == 1
    done = operate.json("import", str(file), "--yes")

    # Then
    changes = {row["name"]: row["fields"] for row in planned if row["action"] == "change"}
    assert changes == {DRIVER["id"]: ["code"], "first": ["description", "active"]}
    assert actions(done) == {DRIVER["id"]: "changed", "tcp": "same", "first": "changed", "second": "same"}
    first, second = services.flow_store.of_tenant("demo")
    assert (first.description, first.active, first.version) == ("changed", False, 2)
    assert second.version == 1
    assert services.driver_store.code(services.driver_store.find("demo", DRIVER["id"])) == f"{CODE}// changed"


@pytest.mark.usefixtures("connection")
def test_new_connection_receives_nothing_before_its_flows_exist(
    services: Services, operate: Operator, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    operate("export", str(file), "--tenant", "demo", "--with-secrets")
    real = FlowService.create
    active: list[bool] = []

    def create(self: FlowService, tenant: str, document: Any) -> Any:
        active.extend(each.active for each in services.connection_store.of_tenant(tenant))
        return real(self, tenant, document)

    monkeypatch.setattr(FlowService, "create", create)
    # When
    operate("import", str(file), "--tenant", "copy", "--yes")
    # Then
    assert active == [False, False]
    assert [each.active for each in services.connection_store.of_tenant("copy")] == [True]


@pytest.mark.usefixtures("connection")
def test_refused_flow_and_driver_are_named_and_the_connection_stays_inactive(
    services: Services, operate: Operator, file: Path
) -> None:
    # Given
    operate("export", str(file), "--tenant", "demo", "--with-secrets")
    document = json.loads(file.read_text())
    document["drivers"][0]["code"] = "function ("
    file.write_text(json.dumps(document))
    # When
    rows = operate.json("import", str(file), "--tenant", "copy", "--yes", code=1)
    # Then
    assert actions(rows) == {DRIVER["id"]: "refused", "tcp": "created", "first": "refused", "second": "refused"}
    assert "/code" in operate.err
    assert "/driver/id" in operate.err
    assert "stays inactive, because the flow" in operate.err
    assert [each.active for each in services.connection_store.of_tenant("copy")] == [False]


def test_export_of_an_earlier_release_has_neither(services: Services, operate: Operator, file: Path) -> None:
    connect(services, "demo", name="tcp")
    operate("export", str(file), "--tenant", "demo", "--with-secrets")
    document = json.loads(file.read_text())
    del document["flows"], document["drivers"]
    file.write_text(json.dumps(document))
    assert actions(operate.json("import", str(file), "--tenant", "copy", "--yes")) == {"tcp": "created"}
    assert [each.active for each in services.connection_store.of_tenant("copy")] == [True]
