"""Each alarm is raised by its condition in a running stage, and none by a customer's ordinary use."""

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import trustme
from botocore.exceptions import EndpointConnectionError

from app import app
from chalicelib.domain.delivery import Outcome, Result
from chalicelib.domain.notifications.notification import notification_of_test
from chalicelib.domain.work_items import Wake
from chalicelib.entry import invocations
from chalicelib.entry import services as wiring
from chalicelib.entry.services import Services
from chalicelib.errors import BrokerUnreachable, DownlinkDelayed, DownlinkRejected
from chalicelib.kernel.ids import new_id
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.queues import RETENTION
from chalicelib.uplinks.retention import NOTICE
from chalicelib.uplinks.settlement import ALONE_FROM
from chalicelib.vocabulary import EventType, FailureReason, RetryReason
from infra.deploy.stage import load
from infra.deploy.templates.alarms import ALARMS, FUNCTIONS, Alarm
from infra.local.processes import ROOT
from tests.functional.doubles import Api, TestIssuer
from tests.functional.infra.deploy.call_handler import Context
from tests.functional.infra.deploy.policy_runs import TENANT, World
from tests.functional.monitoring.cloudwatch import DOCUMENTED, CloudWatch
from tests.functional.monitoring.emulation import SHARED, Emulation, downlink
from tests.unit.flow import ScriptedBroker

PERIODS = max(alarm.periods for alarm in ALARMS)
REFUSED = BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused")
SILENT = BrokerUnreachable(EventType.CONFIRM_TIMEOUT, "no confirm came")
MANY = 6
"""More than the failures in a period that are normal."""


class Killed(BaseException):
    """The end of a function's process."""


@pytest.fixture
def stage(
    api: Api,
    issuer: TestIssuer,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Emulation]:
    metrics.take("", None)
    # In a deployed function, these are its own settings.
    monkeypatch.setattr(invocations, "settings", lambda: services.settings)
    watch = CloudWatch(load(ROOT, "test"))
    yield Emulation(World(api, issuer, services), watch, monkeypatch, lambda: capsys.readouterr().out)
    wiring.use(services)


def old_wakes(stage: Emulation) -> None:
    stage.connect()
    stage.post(1)
    stage.age("wakes", later=1000)


def old_slow_wakes(stage: Emulation) -> None:
    stage.connect()
    stage.post(1)
    stage.forward(ScriptedBroker(), "forward")
    stage.age("wakes-slow", later=1000)


def stored_downlinks_without_sender(stage: Emulation) -> None:
    stage.consume(stage.connect().id, downlink())
    stage.sent("downlinks.fifo", stage.visible("downlinks.fifo"))


def api_that_lambda_ends(stage: Emulation) -> None:
    def time_out() -> None:
        # The API answers every other fault itself.
        raise TimeoutError

    for _ in range(MANY):
        stage.run("api_handler", time_out)


def codec_without_its_process(stage: Emulation) -> None:
    for _ in range(MANY):
        stage.run("codec", lambda: app.handler_map["codec"]({"messages": [{"operation": "unknown"}]}, Context()))


def forwarder_without_dynamodb(handler: str) -> Callable[[Emulation], None]:
    def fail(stage: Emulation) -> None:
        if stage.watch.period == 0:
            stage.break_table("connections")
        for _ in range(MANY):
            stage.world.empty("wakes")
            stage.world.empty("wakes-slow")
            stage.world.plain.wake_queue.send([Wake(tenant=TENANT, connection_id=new_id(time.time()))])
            stage.forward(ScriptedBroker(), handler)

    return fail


def unreadable_poll_jobs(stage: Emulation) -> None:
    for _ in range(MANY):
        stage.world.empty("polls")
        stage.world.plain.sqs.send_message(QueueUrl=stage.url("polls"), MessageBody="{}")
        stage.world.function("consume")
        stage.invoke("consume")


def network_server_that_does_not_answer(stage: Emulation) -> None:
    connection = stage.connect(downlinkAsId="AS", downlinkAsKey="key")
    for _ in range(MANY):
        stage.store_downlinks(connection.id, 1)
        stage.send_downlinks(DownlinkDelayed("no answer"))


def reconciler_without_dynamodb(stage: Emulation) -> None:
    if stage.watch.period == 0:
        stage.break_table("connections")
    for _ in range(MANY):
        stage.reconcile()


def notify_with_an_unknown_event(stage: Emulation) -> None:
    for _ in range(MANY):
        stage.run("notify", lambda: app.handler_map["notify"]({}, Context()))


def notifications_that_lambda_refuses(stage: Emulation) -> None:
    plain = stage.world.plain
    if stage.watch.period == 0:
        plain.notifications.replace(TENANT, {"url": "https://hooks.example.com"}, None)
        due = notification_of_test(TENANT, new_id(time.time()), time.time())
        plain.notification_store.add(due.model_copy(update={"due_at": time.time() - 60}))
        plain.notify_client.failure = EndpointConnectionError(endpoint_url="https://lambda")
    stage.reconcile()


def throttles(handler: str) -> Callable[[Emulation], None]:
    def throttle(stage: Emulation) -> None:
        # Lambda counts them without the function.
        stage.watch.put("AWS/Lambda", "Throttles", 1, FunctionName=stage.watch.stage.function(handler))

    return throttle


def full_account(stage: Emulation) -> None:
    stage.watch.put("AWS/Lambda", "ConcurrentExecutions", 801)


def nothing(_stage: Emulation) -> None:
    """The schedule calls no function."""


def api_without_dynamodb(stage: Emulation) -> None:
    if stage.watch.period == 0:
        stage.break_table("connections")
    assert {stage.request("GET", "/connections").status for _ in range(MANY)} == {503}


def slow_uplinks(stage: Emulation) -> None:
    stage.connect()
    seconds = itertools.count(0, 4)
    slow = SimpleNamespace(monotonic=lambda: next(seconds), time=time.time)
    stage.patch.setattr(invocations, "time", slow)
    stage.post(1)


def open_breakers_of_most_tenants(stage: Emulation) -> None:
    if stage.watch.period == 0:
        for tenant in ("one", "two", "three"):
            stage.fail(stage.connect(tenant), REFUSED)
        stage.connect("four")
    stage.reconcile()


def reports_without_a_wake(stage: Emulation) -> None:
    connection = stage.connect()
    stage.post(1)
    stage.forward(ScriptedBroker())
    store = stage.world.plain.connection_store
    before = store.get(TENANT, connection.id)
    store.clear_pending_wake(TENANT, connection.id, before.wake_token or "")
    # The function that held the connection's slot has ended long ago.
    table = stage.world.plain.settings.table("coordination")
    stage.world.plain.dynamodb.delete_item(TableName=table, Key={"id": {"S": f"slots#{connection.id}"}})
    stage.post(2)
    stage.world.empty("wakes")
    stage.sweep()


def overdue_wake(stage: Emulation) -> None:
    stage.world.plain.connection_store.set_pending_wake(TENANT, stage.connect().id, time.time() - 700, "token")
    # SQS takes no wakes, so that none is sent.
    stage.world.plain.sqs.delete_queue(QueueUrl=stage.url("wakes"))
    stage.reconcile()


def killing_report(stage: Emulation) -> None:
    connection = stage.connect()
    stage.post(1)
    stage.receive_in_vain(connection.id, ALONE_FROM - 1)

    def kill(_: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        stage.forward(ScriptedBroker(on_publish=kill))


def reports_near_their_end(stage: Emulation) -> None:
    stage.fail(stage.connect(), REFUSED)
    stage.post(1)
    stage.sweep(time.time() + RETENTION - NOTICE + 60)


def reports_at_their_end(stage: Emulation) -> None:
    stage.fail(stage.connect(), REFUSED)
    stage.post(1)
    stage.sweep(time.time() + RETENTION)


def ending_certificate(stage: Emulation) -> None:
    issued = trustme.CA().issue_cert("client.test", not_after=datetime.now(UTC) + timedelta(days=3))
    stage.connect(
        protocol="SSL",
        certificate=b"".join(each.bytes() for each in issued.cert_chain_pems).decode(),
        privateKey=issued.private_key_pem.bytes().decode(),
    )
    stage.reconcile()


def late_reconciler(stage: Emulation) -> None:
    stage.reconcile(late=100)


def slow_reconciler(stage: Emulation) -> None:
    ticks = itertools.count(int(time.time()), 50)
    stage.reconcile(clock=lambda: float(next(ticks)))


def program_error_of_a_downlink(stage: Emulation) -> None:
    connection = stage.connect(downlinkAsId="AS", downlinkAsKey="key")
    stage.store_downlinks(connection.id, 1)
    for _ in range(ALONE_FROM - 1):
        stage.age("downlinks.fifo")
    stage.send_downlinks(RuntimeError("a fault of the program"))


def unreadable_wake(stage: Emulation) -> None:
    stage.world.plain.sqs.send_message(QueueUrl=stage.url("wakes"), MessageBody="{}")
    stage.forward(ScriptedBroker())


def events_without_their_table(stage: Emulation) -> None:
    stage.break_table("events")
    stage.connect()


HANDLERS = {name: "api_handler" if name == "api" else name for name in FUNCTIONS}
CONDITIONS: dict[str, Callable[[Emulation], None]] = {
    "wakes-age": old_wakes,
    "wakes-slow-age": old_slow_wakes,
    "downlinks-stopped": stored_downlinks_without_sender,
    "api-errors": api_that_lambda_ends,
    "codec-errors": codec_without_its_process,
    "notify-errors": notify_with_an_unknown_event,
    "notifications-stopped": notifications_that_lambda_refuses,
    "forward-errors": forwarder_without_dynamodb("forward"),
    "forward_slow-errors": forwarder_without_dynamodb("forward_slow"),
    "consume-errors": unreadable_poll_jobs,
    "send_downlinks-errors": network_server_that_does_not_answer,
    "reconcile-errors": reconciler_without_dynamodb,
    **{f"{name}-throttles": throttles(handler) for name, handler in HANDLERS.items()},
    "concurrency": full_account,
    "reconcile-stopped": nothing,
    "gateway-5xx": api_without_dynamodb,
    "api-5xx": api_without_dynamodb,
    "uplinks-latency": slow_uplinks,
    "breakers-open": open_breakers_of_most_tenants,
    "swept": reports_without_a_wake,
    "wake-overdue": overdue_wake,
    "uplinks-stuck": killing_report,
    "uplinks-expire": reports_near_their_end,
    "uplinks-lost": reports_at_their_end,
    "certificates-ending": ending_certificate,
    "reconciler-late": late_reconciler,
    "reconciler-slow": slow_reconciler,
    "downlinks-delayed": network_server_that_does_not_answer,
    "not-handled": program_error_of_a_downlink,
    "unreadable": unreadable_wake,
    "events-lost": events_without_their_table,
}
"""By alarm: what a period of its condition looks like."""


def test_every_alarm_has_a_condition() -> None:
    assert set(CONDITIONS) == {alarm.name for alarm in ALARMS}


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
def test_condition_raises_its_alarm(alarm: Alarm, stage: Emulation) -> None:
    on: list[bool] = []
    for _ in range(alarm.periods):
        CONDITIONS[alarm.name](stage)
        on.append(alarm.name in stage.end_period())
    # Only when it lasts.
    assert on[-1]
    assert alarm.missing == "breaching" or on.count(True) == 1


def test_metrics_of_aws_are_named_as_it_documents_them() -> None:
    queries = [query for alarm in ALARMS for query in alarm.queries if query.namespace.startswith("AWS/")]
    assert {(query.namespace, query.name, frozenset(query.dimensions)) for query in queries} == {
        (*names, frozenset(dimensions)) for names, dimensions in DOCUMENTED.items()
    }


def ordinary_period(stage: Emulation, connections: dict[str, str]) -> None:
    """Play five minutes of ordinary actions and mistakes of customers and their brokers."""
    period = stage.watch.period
    for status, method, path, body, tenant in (
        (401, "GET", "/connections", None, None),
        (404, "GET", f"/connections/{new_id(time.time())}", None, TENANT),
        (422, "POST", "/connections", {"name": "no connector"}, TENANT),
        (422, "POST", "/uplinks", {"no": "report"}, TENANT),
        (403, "POST", "/uplinks", {}, "reader"),
    ):
        for _ in range(MANY):
            scope = {"scope": "connections:read"} if tenant == "reader" else {}
            assert stage.request(method, path, body, tenant=tenant, **scope).status == status
    # Unroutable, nacked for half an hour by a full queue, and never confirmed.
    stage.post(3 * period + 1)
    stage.forward(
        ScriptedBroker(answer=lambda _: Outcome(Result.FAILED, FailureReason.UNROUTABLE, "no queue is bound"))
    )
    stage.post(3 * period + 2, DevEUI="00000000000000AA")
    for each in connections.values():
        stage.receive_in_vain(each, ALONE_FROM - 1)
    stage.forward(ScriptedBroker(answer=lambda _: Outcome(Result.RETRY, RetryReason.NACKED)))
    gone = stage.connect()
    stage.post(3 * period + 3, DevEUI="00000000000000BB")
    stage.receive_in_vain(gone.id, ALONE_FROM - 1)
    stage.forward(ScriptedBroker(fault=SILENT))
    # A deleted connection with a wake, a downlink and a poll job.
    stage.post(3 * period + 4, DevEUI="00000000000000CC")
    stage.store_downlinks(gone.id, 1)
    assert stage.request("DELETE", f"/connections/{gone.id}").status == 204
    stage.forward(ScriptedBroker())
    stage.consume(gone.id)
    stage.send_downlinks()
    # Downlinks that are no downlinks, and those that the network server rejects.
    stage.consume(connections["good"], b"{", downlink(payload_hex="no hex"), *[downlink(DevEUI="01")] * MANY)
    stage.store_downlinks(connections["good"], MANY)
    stage.send_downlinks(DownlinkRejected("no such device"))
    if period == 0:
        # They wait for 12 hours at a time until the connection is activated, or for as long as they are valid.
        stage.store_downlinks(connections["inactive"], 40, ValidityTime=str(14 * 86400))
    stage.send_downlinks()
    # The broker of one customer is down; that of another one recovers, with a backlog that a forwarder is draining.
    stage.consume(connections["down"])
    stage.keep_draining(connections["good"])
    stage.sweep()
    for queue in SHARED[:2]:
        stage.age(queue)


def test_ordinary_use_raises_no_alarm(stage: Emulation) -> None:
    good = stage.connect(downlinkAsId="AS", downlinkAsKey="key").id
    inactive = stage.connect().id
    assert stage.request("PATCH", f"/connections/{inactive}", {"active": False}).status == 200
    down = stage.connect()
    stage.fail(down, REFUSED)
    for _ in range(PERIODS):
        ordinary_period(stage, {"good": good, "inactive": inactive, "down": down.id})
        assert stage.end_period() == set()
