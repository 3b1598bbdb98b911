"""The acceptance run: a line for each check, and reasons for those that cannot run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pika.exceptions import AMQPConnectionError

from chalicelib.entry.services import Services
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import stage_named
from infra.deploy.verify import edges, flows
from infra.deploy.verify.__main__ import checks_of
from infra.deploy.verify.patient_api import Patience, PatientApi
from infra.deploy.verify.report import Check, CheckFailed, NotRun, run_all
from infra.deploy.verify.site import BrokerAddress, Site, site_of
from infra.local.http_service import Reply, Request, service
from infra.local.tcp_ports import free_ports


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


@contextmanager
def answering(respond: Any) -> Iterator[str]:
    """A server on a free port; its address."""
    (port,) = free_ports(1)
    server = service(port, respond)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_request_that_aws_answers_too_late_is_repeated_unless_it_makes_something() -> None:
    asked: list[tuple[str, str]] = []

    def respond(request: Request) -> Reply:
        asked.append((request.method, request.path))
        return Reply.of_json({}, 200 if asked.count(asked[-1]) > 2 else 503)

    waited: list[float] = []
    with answering(respond) as url:
        api = PatientApi(url, "token", patience=Patience(sleep=waited.append))
        assert [api.request("POST", "/uplinks", {})[0], api.request("GET", "/connections/1")[0]] == [200, 200]
        assert api.request("POST", "/connections", {})[0] == 503
        hasty = PatientApi(url, "token", patience=Patience(seconds=-1))
        assert hasty.request("GET", "/connections/2")[0] == 503
    assert waited == [1.0] * 4
    assert (api.patience.repeated, hasty.patience.repeated) == (4, 0)
    assert asked.count(("POST", "/connections")) == asked.count(("GET", "/connections/2")) == 1


@dataclass(frozen=True)
class ScriptedBroker(BrokerAddress):
    """A customer's broker whose queue has what the API was given, until its ``start`` command failed."""

    queue: list[bytes] = field(default_factory=list)
    down: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def open(self) -> Iterator[Any]:  # type: ignore[override]
        if self.down.is_set():
            raise AMQPConnectionError
        yield self

    def channel(self) -> Any:
        return self

    def queue_declare(self, *_: Any, **__: Any) -> None:
        return

    queue_bind = queue_delete = queue_declare

    def basic_get(self, *_: Any, **__: Any) -> tuple[Any, Any, bytes]:
        return (object(), None, self.queue.pop(0)) if self.queue else (None, None, b"")


def test_broker_that_does_not_start_again_is_the_reported_fault(capsys: pytest.CaptureFixture[str]) -> None:
    broker = ScriptedBroker("127.0.0.1", 1, "/", "user", "password")

    def respond(request: Request) -> Reply:
        if request.path == "/uplinks":
            broker.queue.append(request.body)
            if len(broker.queue) > 10:
                broker.down.set()
        if request.method == "DELETE":
            return Reply(204, b"")
        state = "UNREACHABLE" if len(broker.queue) == 10 else "OPENED"
        return Reply.of_json({"id": "1", "state": state, "stateReason": None})

    commands = {"stop": ["true"], "start": ["sh", "-c", "echo it did not start within 240 s >&2; exit 1"]}
    with answering(respond) as url:
        site = Site(stage_named("test"), url, "token", broker, None, {"amqp": commands})
        assert run_all([Check("broker killed", lambda: flows.broker_killed(site))]) == 1
    line = capsys.readouterr().out
    assert line.startswith("FAILED   broker killed: the broker did not start: it did not start within 240 s; not ")
    assert "not removed: connection 1, queue verify." in line
    assert "(AMQPConnectionError)" in line
