"""The acceptance run: a line for each check, and reasons for those that cannot run."""

import pytest

from chalicelib.entry.services import Services
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import stage_named
from infra.deploy.verify import edges
from infra.deploy.verify.__main__ import checks_of
from infra.deploy.verify.report import Check, CheckFailed, NotRun, run_all
from infra.deploy.verify.site import BrokerAddress, Site, site_of


def not_run() -> str:
    raise NotRun("the moon is full")


def failed() -> str:
    raise CheckFailed("2 of 3 came")


def test_every_check_has_a_line_and_failures_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [Check("one", lambda: "3 of 3 came"), Check("two", not_run), Check("three", failed)]
    assert run_all(checks) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit(" (", 1)[0] for line in lines] == [
        "passed   one: 3 of 3 came",
        "not run  two: not run, because the moon is full",
        "FAILED   three: 2 of 3 came",
    ]


def test_checks_that_need_more_than_was_given_say_so() -> None:
    site = Site(stage_named("test"), "https://api.test", "token", None, None)
    checks = {check.name: check for check in checks_of(site, idle=0, deploy=False)}
    for name in ("uplinks over TCP", "uplinks over TLS", "downlink back", "broker killed", "frozen function thawed"):
        with pytest.raises(NotRun):
            checks[name].run()
    with pytest.raises(NotRun):
        checks["deploy twice"].run()


def test_short_receives_are_counted_and_leave_no_queue(services: Services) -> None:
    before = services.sqs.list_queues()["QueueUrls"]
    site = Site(stage_named("test"), "https://api.test", "token", None, None)
    assert "receives for 200 messages" in edges.short_receives(site)
    assert services.sqs.list_queues()["QueueUrls"] == before


def test_broker_is_given_as_a_url() -> None:
    address = BrokerAddress.from_url("amqps://user:p%40ss@broker.test/v%2Fhost")
    assert (address.host, address.port, address.virtual_host, address.password) == (
        "broker.test",
        5671,
        "v/host",
        "p@ss",
    )
    assert address.configuration()["protocol"] == "SSL"
    assert "p@ss" not in repr(address)
    with pytest.raises(OperateFailed):
        BrokerAddress.from_url("broker.test")


def test_run_without_a_token_names_the_variable() -> None:
    with pytest.raises(OperateFailed, match="VERIFY_TOKEN"):
        site_of("test", {})
