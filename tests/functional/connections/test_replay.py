"""Replay and purge of failed messages."""

import json
from typing import Any

import pytest

from chalicelib.connections import replay as replay_module
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.work_items import DownlinkJob, Wake
from chalicelib.entry.services import Services
from chalicelib.errors import Unavailable
from chalicelib.kernel.ids import last_id, new_id
from chalicelib.kernel.times import iso_time
from tests.functional.connection_cases import UNKNOWN, create, expect_problem
from tests.functional.doubles import READ_ONLY, Answer, Api, TestIssuer

DEVICE = "70B3D5E75E000001"
OTHER_DEVICE = "70B3D5E75E000002"


def failed(number: int, direction: Direction = Direction.UPLINK, **changes: Any) -> FailedMessage:
    moment = 1_764_000_000 + number
    bodies = {
        Direction.UPLINK: json.dumps({"DevEUI_uplink": {"DevEUI": DEVICE, "n": number}}),
        Direction.DOWNLINK: json.dumps(
            {"DevEUI_downlink": {"DevEUI": DEVICE, "FPort": 1, "payload_hex": f"{number:02x}"}}
        ),
    }
    fields: dict[str, Any] = {
        "id": new_id(moment),
        "time": iso_time(moment),
        "direction": direction,
        "reason": "UNROUTABLE",
        "detail": "no queue is bound",
        "dev_eui": DEVICE,
        "body": bodies[direction],
        "message_id": f"message-{number}" if direction is Direction.UPLINK else "",
        **changes,
    }
    return FailedMessage(**fields)


@pytest.fixture
def connection_id(api: Api, services: Services) -> str:
    """A connection whose creation wake was already received."""
    made = create(api)["id"]
    wakes(services)
    return str(made)


def replay(api: Api, connection_id: str, document: Any) -> Answer:
    return api.call("POST", f"/connections/{connection_id}/messages/replay", document)


def wakes(services: Services) -> list[Wake]:
    found: list[Wake] = []
    while messages := services.sqs.receive_message(QueueUrl=services.wake_queue.url, MaxNumberOfMessages=10).get(
        "Messages"
    ):
        found += [Wake.model_validate_json(message["Body"]) for message in messages]
    return found


def queued(services: Services, connection_id: str) -> list[Any]:
    found: list[Any] = []
    while received := services.uplink_queues.receive(connection_id, 10):
        found += received
        services.uplink_queues.delete_messages(connection_id, [report.receipt for report in received])
    return found


def downlink_jobs(services: Services) -> list[DownlinkJob]:
    answer = services.sqs.receive_message(QueueUrl=services.downlink_queue.url, MaxNumberOfMessages=10)
    return [DownlinkJob.model_validate_json(message["Body"]) for message in answer.get("Messages", [])]


def left(api: Api, connection_id: str) -> list[str]:
    return [message["id"] for message in api.call("GET", f"/connections/{connection_id}/messages").json][::-1]


def test_replayed_uplinks_keep_order_and_message_id_and_have_one_wake_each(
    api: Api, services: Services, connection_id: str
) -> None:
    # Given
    messages = [failed(number, driver=f"d:{number % 2}:1", validity="72h") for number in range(120)]
    services.failed_messages.add("demo", connection_id, messages)

    # When
    answer = replay(api, connection_id, {"all": True})

    # Then
    assert (answer.status, answer.json) == (202, {"replayed": 120})
    reports = queued(services, connection_id)
    assert [report.body for report in reports] == [message.body for message in messages]
    assert [report.message_id for report in reports] == [message.message_id for message in messages]
    assert {report.group for report in reports} == {DEVICE}
    assert [report.driver for report in reports] == [message.driver for message in messages]
    assert {report.validity for report in reports} == {"72h"}
    sent = wakes(services)
    assert {wake.message_id for wake in sent} == {message.message_id for message in messages}
    assert {(wake.tenant, wake.connection_id) for wake in sent} == {("demo", connection_id)}
    assert left(api, connection_id) == []
    (event,) = [e for e in api.call("GET", "/events").json if e["type"] == "MESSAGES_REPLAYED"]
    assert event["details"] == {"count": 120}
    assert replay(api, connection_id, {"all": True}).json == {"replayed": 0}


def test_failed_message_without_readable_downlink_remains_and_does_not_stop_others(
    api: Api, services: Services, connection_id: str
) -> None:
    bodies = ("{", "[]", "{}", '{"DevEUI_downlink": 1}', '{"DevEUI_downlink": {}}')
    unreadable = [failed(number, Direction.DOWNLINK, body=body) for number, body in enumerate(bodies)]
    services.failed_messages.add("demo", connection_id, [*unreadable, failed(9, Direction.DOWNLINK)])
    assert replay(api, connection_id, {"all": True}).json == {"replayed": 1}
    assert left(api, connection_id) == [message.id for message in unreadable]
    assert len(downlink_jobs(services)) == 1


def test_replay_by_id_skips_unknown_and_repeated_ids(api: Api, services: Services, connection_id: str) -> None:
    messages = [failed(number, dev_eui=None if number == 2 else DEVICE) for number in range(4)]
    services.failed_messages.add("demo", connection_id, messages)
    ids = [messages[2].id, messages[0].id, messages[0].id, UNKNOWN, "no id at all", "\x00"]
    assert replay(api, connection_id, {"ids": ids}).json == {"replayed": 2}
    assert sorted((r.message_id, r.group) for r in queued(services, connection_id)) == [
        ("message-0", DEVICE),
        ("message-2", "-"),
    ]
    assert left(api, connection_id) == [messages[1].id, messages[3].id]
    assert replay(api, connection_id, {"ids": ids}).json == {"replayed": 0}
    assert replay(api, connection_id, {"ids": []}).json == {"replayed": 0}


def test_replayed_downlinks_keep_order_and_as_key(api: Api, services: Services, connection_id: str) -> None:
    first = failed(1, Direction.DOWNLINK, as_key_secret="demo/x/1")
    second = failed(2, Direction.DOWNLINK)
    services.failed_messages.add("demo", connection_id, [second, first])
    assert replay(api, connection_id, {"all": True}).json == {"replayed": 2}
    jobs = downlink_jobs(services)
    assert [job.downlink["payload_hex"] for job in jobs] == ["01", "02"]
    assert [job.as_key_secret for job in jobs] == ["demo/x/1", None]
    assert {(job.tenant, job.connection_id) for job in jobs} == {("demo", connection_id)}
    assert all(abs(job.received_at - services.clock()) < 60 for job in jobs)
    assert wakes(services) == []
    assert left(api, connection_id) == []


def test_replay_is_not_deduplicated_with_first_send(api: Api, services: Services, connection_id: str) -> None:
    message = failed(0)
    services.uplink_queues.send(
        connection_id, body=message.body, group=DEVICE, message_id=message.message_id, deduplication_id="first"
    )
    queued(services, connection_id)
    for _ in range(2):
        # The second failure of the report is a new failed message.
        services.failed_messages.add("demo", connection_id, [message])
        assert replay(api, connection_id, {"all": True}).json == {"replayed": 1}
        assert len(queued(services, connection_id)) == 1
        message = failed(1, message_id=message.message_id)


class _Refusing:
    """A queue or store with one method that raises Unavailable after ``allowed`` calls."""

    def __init__(self, real: Any, method: str, allowed: int) -> None:
        self._real, self._method, self._allowed = real, method, allowed

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            self._allowed -= 1
            if self._allowed < 0:
                raise Unavailable("refused")
        return getattr(self._real, name)


@pytest.mark.parametrize(
    ("part", "method", "allowed"),
    [("uplink_queues", "send", 3), ("wake_queue", "send", 0), ("failed_messages", "remove", 0)],
)
def test_failed_replay_loses_no_message_and_repeat_adds_no_duplicate(
    api: Api, services: Services, connection_id: str, part: str, method: str, allowed: int
) -> None:
    # Given
    messages = [failed(n, dev_eui=(DEVICE, OTHER_DEVICE)[n % 2]) for n in range(10)]
    services.failed_messages.add("demo", connection_id, messages)
    real = getattr(services, part)

    # When
    setattr(services, part, _Refusing(real, method, allowed))
    expect_problem(replay(api, connection_id, {"all": True}), 503)
    for built in ("replay", "messages_api"):
        delattr(services, built)
    setattr(services, part, real)
    assert replay(api, connection_id, {"all": True}).status == 202

    # Then
    reports = queued(services, connection_id)
    assert sorted(report.message_id for report in reports) == sorted(message.message_id for message in messages)
    for device in (DEVICE, OTHER_DEVICE):
        numbers = [json.loads(report.body)["DevEUI_uplink"]["n"] for report in reports if report.group == device]
        assert numbers == sorted(numbers)
    assert {wake.message_id for wake in wakes(services)} == {message.message_id for message in messages}
    assert left(api, connection_id) == []


def test_messages_that_fail_again_are_not_replayed_in_a_loop(api: Api, services: Services, connection_id: str) -> None:
    services.failed_messages.add("demo", connection_id, [failed(number) for number in range(60)])
    real = services.failed_messages

    class Refilling:
        """Simulates a forwarder in which each replayed message fails again immediately."""

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def remove(self, tenant: str, own: str, ids: list[str]) -> None:
            real.remove(tenant, own, ids)
            real.add(tenant, own, [failed(0, id=new_id(services.clock() + 1 + n)) for n in range(len(ids))])

    services.failed_messages = Refilling()  # type: ignore[assignment]
    assert replay(api, connection_id, {"all": True}).json == {"replayed": 60}


# Replays that take longer than a request


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call, and each run of the reconciler for each replay, has time for one chunk of 50 messages."""
    monkeypatch.setattr(replay_module, "SECONDS", -1.0)
    monkeypatch.setattr(replay_module, "RESUME_SECONDS", 0.001)


@pytest.mark.usefixtures("short")
def test_replay_of_all_continues_in_the_reconciler(api: Api, services: Services, connection_id: str) -> None:
    messages = [failed(number, dev_eui=(DEVICE, OTHER_DEVICE)[number % 2]) for number in range(120)]
    services.failed_messages.add("demo", connection_id, messages)
    answer = replay(api, connection_id, {"all": True})
    assert (answer.status, answer.json) == (202, {"replayed": 50, "underWay": True})
    # A message that fails after the request is not replayed, so that a replay ends.
    later = failed(0, id=new_id(services.clock() + 1))
    services.failed_messages.add("demo", connection_id, [later])

    numbers: list[int] = []
    while list(services.pending_replays.all()) and len(numbers) < 5:
        numbers.append(services.replay.resume())
    assert sum(numbers) == 70
    assert left(api, connection_id) == [later.id]
    reports = queued(services, connection_id)
    for device in (DEVICE, OTHER_DEVICE):
        expected = [message.message_id for message in messages if message.dev_eui == device]
        assert [report.message_id for report in reports if report.group == device] == expected
    events = [e["details"]["count"] for e in api.call("GET", "/events").json if e["type"] == "MESSAGES_REPLAYED"]
    assert sum(events) == 120
    assert services.replay.resume() == 0


@pytest.mark.usefixtures("short")
def test_replay_of_ids_says_how_many_remain(api: Api, services: Services, connection_id: str) -> None:
    messages = [failed(number) for number in range(120)]
    services.failed_messages.add("demo", connection_id, messages)
    ids = [message.id for message in messages]
    answers = [replay(api, connection_id, {"ids": ids}).json for _ in range(3)]
    assert answers == [{"replayed": 50, "remaining": 70}, {"replayed": 50, "remaining": 20}, {"replayed": 20}]
    assert not list(services.pending_replays.all())


@pytest.mark.usefixtures("short")
def test_replays_of_other_connections_go_on_beside_a_broken_one(
    api: Api, services: Services, connection_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "RESUME_SECONDS", 20.0)
    deleted, unreadable = (create(api)["id"] for _ in range(2))
    services.failed_messages.add("demo", connection_id, [failed(number) for number in range(60)])
    services.failed_messages.add("demo", unreadable, [failed(0, Direction.DOWNLINK, body="cut off {")])
    for each in (deleted, unreadable, connection_id):
        services.pending_replays.add("demo", each, last_id(services.clock()))
    assert api.call("DELETE", f"/connections/{deleted}").status == 204
    assert services.replay.resume() == 60
    assert not list(services.pending_replays.all())
    assert len(api.call("GET", "/connections").json) == 2


def test_replay_that_a_queue_refuses_waits_for_the_next_run(api: Api, services: Services, connection_id: str) -> None:
    services.failed_messages.add("demo", connection_id, [failed(0)])
    services.pending_replays.add("demo", connection_id, last_id(services.clock()))
    real = services.uplink_queues
    services.uplink_queues = _Refusing(real, "send", 0)  # type: ignore[assignment]
    assert services.replay.resume() == 0
    del services.replay
    services.uplink_queues = real
    assert services.replay.resume() == 1
    assert left(api, connection_id) == []


def test_later_replay_takes_the_place_of_an_unfinished_one(services: Services) -> None:
    store = services.pending_replays
    store.add("demo", "01A", "1")
    (first,) = store.all()
    store.add("demo", "01A", "2")
    for change in (store.postpone, store.end):
        change(first)
        (second,) = store.all()
        assert second.last == "2"
    store.end(second)
    assert not list(store.all())


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], ""),
        ({}, "/ids"),
        ({"ids": "x"}, "/ids"),
        ({"ids": [5]}, "/ids/0"),
        ({"ids": ["x"] * 1001}, "/ids"),
        ({"all": False}, "/all"),
        ({"all": 1}, "/all"),
        ({"all": True, "ids": []}, "/all"),
        ({"all": True, "status": "failed"}, "/status"),
    ],
)
def test_replay_without_valid_selection_is_refused(
    api: Api, services: Services, connection_id: str, document: Any, pointer: str
) -> None:
    services.failed_messages.add("demo", connection_id, [failed(0)])
    answer = replay(api, connection_id, document)
    expect_problem(answer, 422)
    assert pointer in answer.pointers
    assert len(left(api, connection_id)) == 1


def test_replay_and_purge_are_refused_for_unauthorized_callers(
    api: Api, issuer: TestIssuer, services: Services, connection_id: str
) -> None:
    services.failed_messages.add("demo", connection_id, [failed(0)])
    path = f"/connections/{connection_id}/messages?status=failed"
    for token, status in ((issuer.token("other"), 404), (issuer.token(scope=READ_ONLY), 403), (None, 401)):
        expect_problem(replay(api.as_token(token), connection_id, {"all": True}), status)
        expect_problem(api.as_token(token).call("DELETE", path), status)
    expect_problem(replay(api, UNKNOWN, {"all": True}), 404)
    assert len(left(api, connection_id)) == 1


def test_purge_deletes_only_requested_direction(api: Api, services: Services, connection_id: str) -> None:
    messages = [failed(n, (Direction.UPLINK, Direction.DOWNLINK)[n % 2]) for n in range(60)]
    services.failed_messages.add("demo", connection_id, messages)
    path = f"/connections/{connection_id}/messages"
    for query in ("", "?status=", "?status=waiting", "?status=failed&direction=up"):
        expect_problem(api.call("DELETE", f"{path}{query}"), 422)
    assert len(left(api, connection_id)) == 50
    answer = api.call("DELETE", f"{path}?status=failed&direction=downlink")
    assert (answer.status, answer.body) == (204, b"")
    assert left(api, connection_id) == [message.id for message in messages[::2]]
    assert api.call("DELETE", f"{path}?status=failed").status == 204
    assert left(api, connection_id) == []
    assert api.call("DELETE", f"{path}?status=failed").status == 204
    assert [e["type"] for e in api.call("GET", "/events").json].count("MESSAGES_PURGED") == 3
