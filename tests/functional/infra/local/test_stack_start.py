"""Checks of the local stack before it starts a process."""

import socket
from pathlib import Path

import pytest

from infra.local import directory
from infra.local.errors import StackFailed
from infra.local.stack_config import StackConfig
from infra.local.stack_ports import Ports, ports_from
from infra.local.tcp_ports import free_ports


def test_taken_port_is_reported_with_purpose_and_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackFailed, match=rf"Port {port} \(the API\) is in use .*PORT_BASE"):
            Ports(port).check()


def test_all_ports_stay_within_twenty_of_the_base() -> None:
    [base] = free_ports(1)
    assert all(base <= port <= base + 20 for port in Ports(base).purposes())
    assert len(Ports(base).purposes()) == len(set(Ports(base).purposes().values()))


@pytest.mark.parametrize("text", ["abc", "80", "65530", "-1", "35670"])
def test_invalid_port_base_is_refused(text: str) -> None:
    with pytest.raises(StackFailed, match="PORT_BASE"):
        ports_from(text)


def test_files_of_other_programs_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(StackFailed, match="another program"):
        directory.take(tmp_path)
    assert (tmp_path / "precious").exists()


def test_directory_belongs_to_one_stack_and_is_emptied(tmp_path: Path) -> None:
    where = tmp_path / "local"
    directory.take(where)
    (where / "logs").mkdir()
    with pytest.raises(StackFailed, match="Another local stack"):
        directory.take(where)
    assert directory.clear(where, where / "broker")
    assert not directory.clear(where, where / "broker")


def test_invalid_setting_is_named() -> None:
    with pytest.raises(StackFailed, match="TIME_SCALE"):
        StackConfig.from_environment({"TIME_SCALE": "fast"}).settings()


def test_external_emulation_gets_real_credentials_and_local_one_does_not() -> None:
    own = {"AWS_ACCESS_KEY_ID": "real", "AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "real"}
    ours = StackConfig.from_environment(own).environment()
    assert ours["AWS_ACCESS_KEY_ID"] == "test"
    assert "AWS_PROFILE" not in ours
    assert "AWS_SESSION_TOKEN" not in ours

    given = StackConfig.from_environment({**own, "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}).environment()
    assert given["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert given["AWS_ACCESS_KEY_ID"] == "real"


def test_sqs_may_have_another_endpoint_than_other_services() -> None:
    config = StackConfig.from_environment({"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:4566", "PORT_BASE": "20000"})
    assert config.sqs_url == "http://127.0.0.1:4566"
    assert config.environment()["AWS_ENDPOINT_URL_SQS"] == "http://127.0.0.1:4566"
    assert config.environment()["AWS_ENDPOINT_URL"] == config.aws_url
    assert StackConfig.from_environment({}).sqs_url == StackConfig.from_environment({}).aws_url
