"""Backup and restore of the flows and drivers of two tenants."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.drivers.driver import code_hash
from chalicelib.domain.flows.flow import Flow, FlowConnector, Matcher
from chalicelib.entry.services import Services
from infra.deploy.operate import tables
from infra.deploy.operate.flows import copies
from infra.deploy.operate.restore import _Restore
from tests.functional.driver_cases import CODE, add_driver
from tests.functional.flow_cases import add_flow
from tests.functional.infra.operate.cases import Operator
from tests.functional.infra.operate.test_restore import DEVICES, TENANTS, World, uplink

DRIVER = "company:sensor:1"
FLOW = "01KAT5JFT2ZMK0QW8YQ6T1E5A7"
OTHER_FLOW = "01KAT5JFT2ZMK0QW8YQ6T1E5A8"
KEYS = [Matcher(type="key", key=f"lora:{DEVICES[0].lower()}"), Matcher(type="thing", tags=["Zürich"])]


def code(tenant: str) -> str:
    return f"// {tenant} é\n{CODE}"


@pytest.fixture
def world(services: Services, ssl: dict[str, Any]) -> World:
    """Two tenants whose flow and driver have the same ids, and other contents."""
    made = World(services, ssl)
    for each in made.both:
        add_driver(services, DRIVER, tenant=each.tenant, code=code(each.tenant), name=each.tenant)
        connectors = [FlowConnector(connection_id=each.id, uplink_time_validity="72h")]
        fields = {"name": each.tenant, "driver": DRIVER, "matchers": KEYS, "connectors": connectors}
        add_flow(services, FLOW, tenant=each.tenant, **fields)
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def flow_of(services: Services, tenant: str) -> Flow:
    return services.flow_store.find(tenant, FLOW)


def tenant_item(services: Services, tenant: str) -> dict[str, Any]:
    return dict(
        services.dynamodb.get_item(
            TableName=services.settings.table("connections"), Key={"tenant": {"S": tenant}, "id": {"S": "#tenant"}}
        )["Item"]
    )


def test_restored_flows_and_drivers_of_two_tenants_work_as_before(
    world: World, operate: Operator, directory: Path
) -> None:
    # Given
    services = world.services
    before = {tenant: flow_of(services, tenant) for tenant in TENANTS}
    counts = operate.json("backup", str(directory))
    assert (counts["flows"], counts["drivers"]) == (2, 2)

    # When
    world.lose()
    assert operate.json("restore", str(directory), "--dry-run")["flows"] == 2
    assert list(services.flow_store.of_tenant("demo")) == []
    restored = operate.json("restore", str(directory), "--yes")

    # Then: each tenant has its own flow and its own code
    assert (restored["flows"], restored["drivers"]) == (2, 2)
    cold = Services(services.settings)
    for tenant in TENANTS:
        now = flow_of(cold, tenant)
        assert now.model_copy(update={"version": 1}) == before[tenant]
        assert now.version > before[tenant].version
        driver = cold.driver_store.find(tenant, DRIVER)
        assert (driver.name, cold.driver_store.code(driver)) == (tenant, code(tenant))
        item = tenant_item(services, tenant)
        assert (item["flows"], item["drivers"]) == ({"N": "1"}, {"N": "1"})

    # Then: reports are routed and decoded as before, by a warm ingress, too
    for ingress in (services.ingress, cold.ingress):
        for device in DEVICES:
            ingress.accept("demo", uplink(1).replace(DEVICES[0].encode(), device.encode()))
    queued = services.uplink_queues.receive(world.tcp.id, 10)
    assert {(report.group, report.driver) for report in queued} == {(DEVICES[0], DRIVER)}


def test_flows_are_restored_before_connections(
    world: World, operate: Operator, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a connection without its flow would receive every report
    operate("backup", str(directory))
    world.lose()
    real = _Restore._record

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    # When
    monkeypatch.setattr(_Restore, "_record", killed)
    with pytest.raises(KeyboardInterrupt):
        operate("restore", str(directory), "--yes")

    # Then
    for each in world.both:
        assert world.services.connection_store.of_tenant(each.tenant) == []
        assert flow_of(world.services, each.tenant).names(each.id)

    # Then: a repeated restore leaves them
    monkeypatch.setattr(_Restore, "_record", real)
    repeated = operate.json("restore", str(directory), "--yes")
    assert (repeated["flows"], repeated["drivers"]) == (0, 0)
    assert tenant_item(world.services, "demo")["flows"] == {"N": "1"}


def test_restore_leaves_flows_and_drivers_that_exist(world: World, operate: Operator, directory: Path) -> None:
    # Given: one flow was changed after the backup, the other one deleted
    services = world.services
    operate("backup", str(directory))
    flow = flow_of(services, "demo")
    services.flow_store.replace(flow.model_copy(update={"name": "changed", "version": 2}), 1)
    services.flow_store.delete("other", FLOW)

    # When
    restored = operate.json("restore", str(directory), "--yes")

    # Then
    assert (restored["flows"], restored["drivers"]) == (1, 0)
    assert flow_of(services, "demo").name == "changed"
    assert flow_of(services, "other").name == "other"


def test_overwriting_restores_flows_and_drivers_of_one_tenant(world: World, operate: Operator, directory: Path) -> None:
    # Given
    services = world.services
    operate("backup", str(directory))
    for tenant in TENANTS:
        flow, driver = flow_of(services, tenant), services.driver_store.find(tenant, DRIVER)
        services.flow_store.replace(flow.model_copy(update={"name": "changed", "version": 2}), 1)
        changed = driver.model_copy(update={"code_hash": code_hash("//"), "code_size": 2, "version": 2})
        services.driver_store.replace(changed, "//", driver)

    # When
    restored = operate.json("restore", str(directory), "--overwrite", "--tenant", "demo", "--yes")

    # Then: the code of the change is gone, and an If-Match of before fails
    assert (restored["flows"], restored["drivers"]) == (1, 1)
    assert [flow_of(services, tenant).name for tenant in TENANTS] == ["demo", "changed"]
    driver = services.driver_store.find("demo", DRIVER)
    assert services.driver_store.code(driver) == code("demo")
    assert driver.version > 2
    assert flow_of(services, "demo").version > 2
    assert services.driver_store.code(services.driver_store.find("other", DRIVER)) == "//"
    items = services.dynamodb.scan(TableName=services.settings.table("drivers"))["Items"]
    assert sum(item["tenant"]["S"] == "demo#code" for item in items) == 1
    assert tenant_item(services, "demo")["drivers"] == {"N": "1"}


def test_restored_flow_names_no_connection_that_is_gone(world: World, operate: Operator, directory: Path) -> None:
    # Given: a flow names a connection that was deleted before the backup
    services = world.services
    gone, both = FlowConnector(connection_id=OTHER_FLOW), FlowConnector(connection_id=world.tcp.id)
    flow = flow_of(services, "demo")
    services.flow_store.replace(flow.model_copy(update={"connectors": [gone, both]}), 1, check=False)
    operate("backup", str(directory))
    world.lose()
    # When
    operate("restore", str(directory), "--yes")
    # Then
    assert flow_of(services, "demo").connectors == [both]


def test_flow_of_a_later_release_is_restored_as_it_is(world: World, operate: Operator, directory: Path) -> None:
    # Given
    services, table = world.services, world.services.settings.table("flows")
    key = {"tenant": {"S": "demo"}, "id": {"S": FLOW}}
    item = services.dynamodb.get_item(TableName=table, Key=key)["Item"]
    services.dynamodb.put_item(TableName=table, Item=item | {"later": {"M": {"B": {"S": "x"}}}})
    operate("backup", str(directory))
    world.lose()
    # When
    operate("restore", str(directory), "--yes")
    # Then
    restored: Any = services.dynamodb.get_item(TableName=table, Key=key)["Item"]
    assert restored["later"] == {"M": {"B": {"S": "x"}}}
    assert bytes(restored["matchers"]["B"]) == bytes(item["matchers"]["B"])


def test_driver_that_is_replaced_during_the_backup_has_its_new_code(
    world: World, operate: Operator, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the driver changes between the scan and the read of its code
    services, real = world.services, tables.scan

    def scan(stage: Any, kind: str) -> Any:
        for item in list(real(stage, kind)):
            if (kind, item["tenant"]["S"]) == ("drivers", "demo"):
                driver = services.driver_store.find("demo", DRIVER)
                changed = driver.model_copy(update={"code_hash": code_hash("//"), "code_size": 2, "version": 2})
                services.driver_store.replace(changed, "//", driver)
            yield item

    monkeypatch.setattr(copies, "scan", scan)
    operate("backup", str(directory))
    world.lose()
    # When
    operate("restore", str(directory), "--yes")
    # Then
    assert services.driver_store.code(services.driver_store.find("demo", DRIVER)) == "//"


def test_driver_whose_code_is_gone_is_named(world: World, operate: Operator, directory: Path) -> None:
    services, table = world.services, world.services.settings.table("drivers")
    for item in services.dynamodb.scan(TableName=table)["Items"]:
        if item["tenant"]["S"] == "other#code":
            services.dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("tenant", "id")})
    assert f"other/{DRIVER}" in operate("backup", str(directory), code=1).err
    assert json.loads((directory / "backup.json").read_text())["counts"]["drivers"] == 1
