"""Flows in chaos runs: what each connection must get, and what the checker says of anything else."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from infra.chaos.checker import ConnectionResult, Evidence, check
from infra.chaos.expectation import FlowOf, decoded, flow_for, without_added
from infra.chaos.flows import flows_of
from infra.chaos.plan import WITH_FLOWS
from infra.chaos.poster import device_of, varied_report
from infra.chaos.records import Arrival, Post
from infra.local.network_server.lrc import body_elements

TAGS = FlowOf("Tags", [{"type": "thing", "tags": ["cold", "Site=Paris"]}, {"type": "thing", "tags": ["leak"]}], [0])
KEYS = FlowOf("Keys", [{"type": "key", "key": "lora:C4A05C0DE0000001"}, {"type": "key", "keys": ["lora:ffff00*"]}], [1])
DRIVER = FlowOf("Driver", [{"type": "thing", "tags": ["level"]}], [0, 1], "chaos:level:1")
FLOWS = [TAGS, KEYS, DRIVER]
PAYLOAD = "000700c8 63 ffce".replace(" ", "")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def post(device: str = "C4A05C0DE0000001", counter: int = 0, payload: str = PAYLOAD, **fields: Any) -> Post:
    document = {"DevEUI": device, "FCntUp": counter, "payload_hex": payload, "CustomerData": {"tags": []}, **fields}
    text = json.dumps({"DevEUI_uplink": document}, indent=1)
    return Post(device, counter, digest(text), 100.0 + counter, 100.5 + counter, 1, text)


def tagged(*tags: str, **fields: Any) -> Post:
    return post("C4A05C0DE0000002", CustomerData={"tags": list(tags)}, **fields)


def arrival(posted: Post, connection: int, member: str | None = None) -> Arrival:
    body = posted.report if member is None else f"{posted.report[:-3]},{member}{posted.report[-3:]}"
    rest, added = without_added(body)
    at = posted.began + 1
    ids = f"id {posted.device} {posted.counter}"
    return Arrival(connection, posted.device, posted.counter, digest(body), ids, at, False, added, digest(rest))


def results(posts: list[Post], *arrivals: Arrival) -> list[ConnectionResult]:
    return check(2, Evidence(posts, arrivals, flows=FLOWS))


@pytest.mark.parametrize(
    ("posted", "first", "second"),
    [
        (tagged("COLD", "site=paris"), TAGS, None),
        (tagged("cold"), None, None),
        (tagged("site=Paris", ModelCfg="1:Cold, 2:Other"), TAGS, None),
        (tagged("LEAK"), TAGS, None),
        (tagged("leak", "level"), TAGS, DRIVER),
        (tagged("Level"), DRIVER, DRIVER),
        (tagged(ModelCfg="1:a,2:LEVEL"), DRIVER, DRIVER),
        (post(), None, KEYS),
        (post("c4a05c0de0000001"), None, KEYS),
        (post("FFFF000000000001"), None, KEYS),
        (post("FFFF010000000001"), None, None),
        (post(CustomerData={"tags": ["level"]}), DRIVER, KEYS),
    ],
)
def test_first_flow_that_matches_decides_for_each_connection(
    posted: Post, first: FlowOf | None, second: FlowOf | None
) -> None:
    assert (flow_for(FLOWS, 0, posted), flow_for(FLOWS, 1, posted)) == (first, second)


def test_flow_without_matchers_sends_every_report() -> None:
    everything = FlowOf("All", [], [1])
    assert flow_for([everything], 1, post()) is everything
    assert flow_for([everything], 0, post()) is None


def test_report_at_the_connection_of_its_flow_has_no_faults() -> None:
    posted = post()
    first, second = results([posted], arrival(posted, 1))
    assert (first.acknowledged, first.not_chosen, first.faults([])) == (0, 1, [])
    assert (second.acknowledged, second.by_flow, second.faults([])) == (1, {"Keys": 1}, [])


def test_report_at_the_connection_of_another_flow_is_unexpected() -> None:
    posted = post()
    first, second = results([posted], arrival(posted, 0), arrival(posted, 1))
    assert first.faults([]) == ["1 unexpected, such as ('C4A05C0DE0000001', 0)"]
    assert second.faults([]) == []


def test_report_that_misses_one_of_its_connections_is_lost_there() -> None:
    posted = tagged("leak", "level")
    first, second = results([posted], arrival(posted, 0))
    assert (first.lost, second.lost) == ([], [(posted.device, 0)])


def test_connection_that_no_flow_names_gets_every_report() -> None:
    posted = tagged("nothing")
    evidence = Evidence([posted], [], flows=[TAGS])
    assert [result.lost for result in check(2, evidence)] == [[], [(posted.device, 0)]]


RIGHT = '"payload":{"temperature":-5,"counter":7,"battery":99,"device":200}'


@pytest.mark.parametrize(
    ("member", "counts"),
    [
        (RIGHT, (1, 0)),
        (None, (0, 1)),
        (RIGHT.replace("99", "98"), (0, 1)),
        (RIGHT.replace("}", ',"more":1}'), (0, 1)),
        ('"payloadDecodedError":{"code":"com-5002","message":"short"}', (0, 1)),
        (f'"other":1,{RIGHT}', (0, 1)),
    ],
)
def test_decoded_report_has_the_right_payload_and_nothing_else(member: str | None, counts: tuple[int, int]) -> None:
    posted = tagged("level")
    first, second = results([posted], *(arrival(posted, connection, member) for connection in (0, 1)))
    assert (first.decoded, len(first.wrongly_decoded)) == counts
    assert second.faults([]) == first.faults([]) == (["1 wrongly decoded, such as ('C4A05C0DE0000002', 0)"] * counts[1])


def test_other_bytes_of_a_decoded_report_must_be_those_that_were_posted() -> None:
    posted = tagged("level")
    spaced = replace(posted, report=posted.report.replace(": ", ":"))
    first, _ = results([posted], arrival(spaced, 0, RIGHT), arrival(posted, 1, RIGHT))
    assert first.wrongly_decoded == [(posted.device, 0)]


def test_payload_that_is_too_short_must_read_as_not_decoded() -> None:
    posted = tagged("level", payload_hex="ee")
    failed = '"payloadDecodedError": {"message": "too short", "code": "com-5002"}'
    for member, wrong in ((failed, 0), (failed.replace("5002", "5003"), 1), (RIGHT, 1)):
        first, _ = results([posted], arrival(posted, 0, member), arrival(posted, 1, member))
        assert len(first.wrongly_decoded) == wrong


def test_decoded_report_is_unexpected_where_no_driver_applies() -> None:
    posted = post()
    assert results([posted], arrival(posted, 1, RIGHT))[1].unexpected == [(posted.device, 0)]


def test_posted_reports_reach_each_connection_through_each_flow_and_also_none() -> None:
    flows = flows_of(WITH_FLOWS)
    found: set[tuple[int, str | None]] = set()
    for number in range(WITH_FLOWS.devices):
        document, text = varied_report(number, number % 10, WITH_FLOWS.seed)
        posted = Post(device_of(number), number % 10, digest(text), 0, 1, 1, text)
        for connection in (0, 1):
            flow = flow_for(flows, connection, posted)
            found.add((connection, flow.name if flow else None))
        # The token covers what the document says, so the text must say the same.
        assert body_elements(json.loads(text)) == body_elements(document)
    assert found == {(0, "Tags"), (0, "Driver"), (0, None), (1, "Keys"), (1, "Driver"), (1, None)}


def test_some_payloads_are_too_short_for_the_driver() -> None:
    texts = [varied_report(3, counter, 1)[1] for counter in range(11)]
    added = [decoded(Post("", counter, "", 0, 1, 1, text)) for counter, text in enumerate(texts)]
    assert [counter for counter, each in enumerate(added) if "payloadDecodedError" in each] == [8]
    assert added[2] == {"payload": {"counter": 2, "device": 3, "battery": 253, "temperature": -45.3}}
