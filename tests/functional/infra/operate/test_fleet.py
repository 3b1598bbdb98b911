"""The operator's view of all tenants' connections, and restart and drain of one of them."""

import json
from pathlib import Path

import pytest

from chalicelib.entry.services import Services
from chalicelib.vocabulary import ConnectionState
from infra.deploy.operate.command_line import run
from tests.functional.connection_cases import UNKNOWN
from tests.functional.infra.operate.cases import Operator, break_down, connect, messages, store_report


def test_list_shows_connections_of_all_tenants_the_worst_first(services: Services, operate: Operator) -> None:
    # Given: one of each kind
    quiet = connect(services, "demo", name="quiet")
    inactive = connect(services, "demo", name="inactive", active=False)
    waiting = connect(services, "other", name="waiting")
    down = connect(services, "other", name="down")
    lost = connect(services, "third", name="lost")
    store_report(services, waiting)
    break_down(services, down)
    services.uplink_queues.delete(lost.id)

    # When
    rows = operate.json("list")

    # Then
    expected = [("third", lost), ("other", down), ("other", waiting), ("demo", quiet), ("demo", inactive)]
    assert [row["connection"] for row in rows] == [f"{tenant}/{each.id}" for tenant, each in expected]
    assert [row["backlog"] for row in rows] == [None, 0, 1, 0, 0]
    assert rows[1]["state"] == ConnectionState.UNREACHABLE
    assert 0 <= rows[1]["down"] < 60
    assert "no queue" in operate("list").out.splitlines()[1]


def test_list_filters_by_tenant_and_state(services: Services, operate: Operator) -> None:
    connect(services, "demo")
    down = connect(services, "other")
    connect(services, "other")
    break_down(services, down)
    assert len(operate.json("list", "--tenant", "other")) == 2
    [row] = operate.json("list", "--tenant", "other", "--state", "UNREACHABLE")
    assert row["connection"] == f"other/{down.id}"
    assert operate.json("list", "--tenant", "demo", "--state", "UNREACHABLE") == []


def test_show_prints_no_secret(services: Services, operate: Operator) -> None:
    made = connect(services)
    store_report(services, made)
    shown = operate.json("show", f"demo/{made.id}")
    assert shown["queue"]["backlog"] == 1
    assert shown["secret"] == "present"
    assert [event["type"] for event in shown["events"]] == ["CREATED"]
    assert "mypassword" not in operate.out + operate("show", f"demo/{made.id}").out
    assert "amqp.actility.com" in operate.out


def test_show_names_a_missing_secret(services: Services, operate: Operator) -> None:
    made = connect(services)
    services.secret_store.delete("demo", made.id)
    assert operate.json("show", f"demo/{made.id}")["secret"].startswith("missing")


def test_text_of_a_broker_cannot_move_the_cursor(services: Services, operate: Operator) -> None:
    break_down(services, connect(services), "access \x1b[2J refused")
    assert "access ?[2J refused" in operate("list").out
    assert "\x1b" not in operate("list").out


def test_restart_closes_the_breaker_and_sends_a_probe(services: Services, operate: Operator) -> None:
    made = connect(services)
    break_down(services, made)
    messages(services, "wakes")
    operate("restart", f"demo/{made.id}")
    stored = services.connection_store.get("demo", made.id)
    assert (stored.state, stored.breaker_open) == (ConnectionState.OPENING, False)
    assert [wake["probe"] for wake in messages(services, "wakes")] == [stored.epoch]


def test_drain_sends_a_wake(services: Services, operate: Operator) -> None:
    made = connect(services)
    store_report(services, made)
    messages(services, "wakes")
    assert operate.json("drain", f"demo/{made.id}")["backlog"] == 1
    [wake] = messages(services, "wakes")
    assert (wake["tenant"], wake["connectionId"], wake["probe"]) == ("demo", made.id, None)


def test_drain_of_a_broken_connection_names_the_remedy(services: Services, operate: Operator) -> None:
    made = connect(services)
    break_down(services, made)
    messages(services, "wakes")
    assert "Use restart" in operate("drain", f"demo/{made.id}", code=1).err
    assert messages(services, "wakes") == []


@pytest.mark.parametrize("command", ["show", "restart", "drain"])
def test_unknown_connection_is_one_line(operate: Operator, command: str) -> None:
    error = operate(command, f"demo/{UNKNOWN}", code=1).err
    assert error.count("\n") == 1
    assert UNKNOWN in error


def test_unknown_stage_is_one_line_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nowhere", "list"]) == 1
    assert "Known stages: dev, local, test" in capsys.readouterr().err


def test_local_stage_without_a_stack_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    assert run(["local", "list"]) == 1
    assert "make run" in capsys.readouterr().err


def test_missing_table_names_the_region(services: Services, operate: Operator) -> None:
    services.dynamodb.delete_table(TableName=services.settings.table("connections"))
    assert "does not exist in eu-west-1" in operate("list", code=1).err


def test_malformed_connection_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["test", "show", "no-slash"])
    assert caught.value.code == 2
    assert "TENANT/ID" in capsys.readouterr().err


def test_json_is_the_only_output_on_stdout(services: Services, operate: Operator) -> None:
    connect(services)
    assert isinstance(json.loads(operate("list", "--json").out), list)
