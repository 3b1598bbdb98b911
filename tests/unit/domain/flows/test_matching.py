"""The rules by which flows choose reports, and the compiled table against a plain one."""

import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.flows.flow import Flow, FlowConnector, Matcher
from chalicelib.domain.flows.matching import DeviceKeys, FlowMatch, FlowTable, first_matcher
from chalicelib.domain.report import Report
from chalicelib.network_servers.thingpark.reports import parse_report
from tests.unit.domain.flows.cases import DEVICE, flow, key, report, thing


def matches(report: Report, *matchers: Matcher) -> bool:
    """Return whether a flow with these matchers chooses a report."""
    return "c1" in FlowTable([flow(matchers=list(matchers))]).route(report, ["c1"])


# Matchers


def test_matchers_are_joined_by_or() -> None:
    either = [thing("Paris"), key("lora:0018b20000000b20")]
    assert matches(report(tags=["Paris"]), *either)
    assert matches(report("0018B20000000B20"), *either)
    assert not matches(report(tags=["London"]), *either)


def test_all_tags_of_one_matcher_must_be_in_the_report() -> None:
    both = thing("TemperatureService", "site=Paris")
    assert matches(report(tags=["x", "site=Paris", "TemperatureService"]), both)
    assert not matches(report(tags=["site=Paris"]), both)


def test_flow_without_matchers_matches_every_report() -> None:
    assert matches(report())
    assert matches(report(tags=["x"]))


@pytest.mark.parametrize(
    ("tag", "reported"), [("site=Paris", "SITE=PARIS"), ("STRASSE", "straße"), ("ÉTÉ", "été"), ("a", "A")]
)
def test_tags_are_compared_without_case(tag: str, reported: str) -> None:
    assert matches(report(tags=[reported]), thing(tag))
    assert matches(report(tags=[tag]), thing(reported))


def test_tags_match_whole_and_not_in_part() -> None:
    assert not matches(report(tags=["site=Paris-2"]), thing("site=Paris"))


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({"CustomerData": {"tags": ["a", "B:c"]}}, ("a", "B:c")),
        ({"ModelCfg": "1:TemperatureService, 2:SwissPostDevice"}, ("TemperatureService", "SwissPostDevice")),
        ({"ModelCfg": "TemperatureService"}, ("TemperatureService",)),
        ({"ModelCfg": " 12 : a b ,, x:1 "}, ("a b", "x:1")),
        ({"CustomerData": {"tags": ["a"]}, "ModelCfg": "1:b"}, ("a", "b")),
        ({"CustomerData": {"tags": ["", 1, None, ["a"], "b"]}}, ("b",)),
        ({"CustomerData": {"tags": "a"}, "ModelCfg": 1}, ()),
        ({"CustomerData": "tags", "ModelCfg": ""}, ()),
        ({"CustomerData": None}, ()),
        ({"CustomerData": {"tags": ["\ud800", "b"]}}, ("b",)),
    ],
)
def test_tags_are_those_of_the_customer_and_of_the_model(fields: dict[str, Any], tags: tuple[str, ...]) -> None:
    assert report(**fields).tags == tags


@pytest.mark.parametrize(
    ("text", "device", "expected"),
    [
        ("lora:0018b20000000b20", "0018B20000000B20", True),
        ("LoRa:0018B20000000b20", "0018b20000000B20", True),
        ("lora:0018b20000000b20", "0018B20000000B21", False),
        ("lora:0018b2*", "0018B20000000000", True),
        ("lora:0018b2*", "0018B2FFFFFFFFFF", True),
        ("lora:0018b2*", "0018B30000000000", False),
        ("lora:0018b2*", "0018B1FFFFFFFFFF", False),
        ("lora:0018b20000000b20*", "0018B20000000B20", True),
        ("lora:ffffff*", "FFFFFFFFFFFFFFFF", True),
        ("lora:000000*", "0000000000000000", True),
    ],
)
def test_key_is_a_device_or_a_prefix_in_any_case(text: str, device: str, expected: bool) -> None:
    assert matches(report(device), key(text)) is expected
    assert matches(report(device), key("lora:1111111111111111", text)) is expected


@pytest.mark.parametrize("root", ["BS_alarm", "DevEUI_uplink"])
def test_report_without_device_matches_only_flows_without_matchers(root: str) -> None:
    alarm = parse_report(f'{{"{root}": {{"CustomerData": {{"tags": ["a"]}}}}}}'.encode())
    assert matches(alarm)
    assert not matches(alarm, thing("a"), key("lora:000000*"))


# Connections


def test_connection_that_no_flow_names_receives_every_report() -> None:
    table = FlowTable([flow(to=["c2"], matchers=[thing("x")])])
    assert table.route(report(), ["c1", "c2"]) == {"c1": None}
    assert FlowTable().route(report(), ["c1"]) == {"c1": None}
    assert not table.names("c1")


def test_connection_that_only_inactive_flows_name_receives_nothing() -> None:
    table = FlowTable([flow(active=False)])
    assert table.route(report(), ["c1"]) == {}
    assert table.names("c1")


def test_connection_receives_what_one_of_its_active_flows_matches() -> None:
    table = FlowTable([flow("a", matchers=[thing("x")]), flow("b", matchers=[thing("y")]), flow("c", active=False)])
    assert table.route(report(tags=["y"]), ["c1"]) == {"c1": FlowMatch("b")}
    assert table.route(report(tags=["z"]), ["c1"]) == {}


def test_first_matching_flow_in_order_of_creation_gives_driver_and_validity() -> None:
    table = FlowTable(
        [
            flow("a", matchers=[thing("x")], driver="d:a:1", validity="1h"),
            flow("b", to=["c1", "c2"], driver="d:b:1", validity="2h"),
            flow("c", to=["c1", "c2"], driver="d:c:1"),
        ]
    )
    assert table.route(report(tags=["x"]), ["c1", "c2"]) == {
        "c1": FlowMatch("a", "d:a:1", "1h"),
        "c2": FlowMatch("b", "d:b:1", "2h"),
    }


def test_flow_for_unknown_connection_is_harmless() -> None:
    assert FlowTable([flow(to=["gone", "c1"])]).route(report(), ["c1"]) == {"c1": FlowMatch("f1")}


# Downlinks


def test_downlink_is_encoded_by_first_active_flow_of_the_connection_that_matches_its_device() -> None:
    table = FlowTable(
        [
            flow("a", active=False, driver="inactive:a:1"),
            flow("b", to=["c2"], driver="other:b:1"),
            flow("c", matchers=[key("lora:0018b2*")], driver="keys:c:1"),
            flow("d", driver="all:d:1"),
        ]
    )
    assert table.driver_for_downlink("c1", "0018b20000000b20") == "keys:c:1"
    assert table.driver_for_downlink("c1", "20635F0100000000") == "all:d:1"


def test_downlink_is_encoded_by_the_connections_only_flow_even_if_it_chooses_by_tags() -> None:
    only = flow("a", matchers=[thing("x")], driver="d:a:1")
    assert FlowTable([only]).driver_for_downlink("c1", DEVICE) == "d:a:1"
    assert FlowTable([only, flow("b", active=False)]).driver_for_downlink("c1", DEVICE) == "d:a:1"
    assert FlowTable([only, flow("b", matchers=[thing("y")], driver="d:b:1")]).driver_for_downlink("c1", DEVICE) is None


def test_downlink_of_connection_without_active_flow_has_no_driver() -> None:
    assert FlowTable([flow(to=["c2"], driver="d:a:1")]).driver_for_downlink("c1", DEVICE) is None
    assert FlowTable([flow(active=False, driver="d:a:1")]).driver_for_downlink("c1", DEVICE) is None
    assert FlowTable([flow("a"), flow("b", driver="d:b:1")]).driver_for_downlink("c1", DEVICE) is None


# The compiled table


_EUIS = st.sampled_from(["0018B20000000B20", "0018B200000000FF", "0018B2FF00000000", "20635F0100000001"])
_TAGS = st.sampled_from(["a", "B", "site=Paris", "SITE=paris"])
_KEYS = st.one_of(
    st.builds("lora:{}".format, _EUIS),
    st.builds(lambda eui, digits: f"lora:{eui[:digits].lower()}*", _EUIS, st.integers(6, 16)),
)
_MATCHERS = st.one_of(
    st.builds(lambda tags: thing(*tags), st.lists(_TAGS, min_size=1, max_size=3)),
    st.builds(lambda keys: key(*keys), st.lists(_KEYS, min_size=1, max_size=4)),
)
_CONNECTIONS = ["c1", "c2", "c3"]


@st.composite
def _flows(draw: st.DrawFn) -> list[Flow]:
    return [
        flow(
            f"f{number}",
            to=draw(st.lists(st.sampled_from(_CONNECTIONS[:2]), unique=True)),
            matchers=draw(st.lists(_MATCHERS, max_size=3)),
            active=draw(st.booleans()),
            driver=draw(st.sampled_from([None, "x:auto:1"])),
            validity=draw(st.sampled_from([None, "1h"])),
        )
        for number in range(draw(st.integers(0, 6)))
    ]


def naive(flows: Iterable[Flow], report: Report) -> dict[str, FlowMatch | None]:
    """Route a report as the contract says it, flow by flow and key by key."""
    routes: dict[str, FlowMatch | None] = {}
    named: set[str] = set()
    for each in flows:
        for connector in each.connectors:
            named.add(connector.connection_id)
            if each.active and connector.connection_id not in routes and naive_match(each, report):
                match = FlowMatch(each.id, each.driver, connector.uplink_time_validity)
                routes[connector.connection_id] = match
    return {name: None for name in _CONNECTIONS if name not in named} | routes


def naive_match(flow: Flow, report: Report) -> bool:
    return not flow.matchers or (report.dev_eui is not None and any(_holds(each, report) for each in flow.matchers))


def _holds(matcher: Matcher, report: Report) -> bool:
    if matcher.type == "thing":
        return all(any(tag.casefold() == one.casefold() for one in report.tags) for tag in matcher.tags or [])
    device = f"lora:{report.dev_eui}".lower()
    keys = [text.lower() for text in matcher.all_keys]
    return any(device.startswith(text[:-1]) if text.endswith("*") else device == text for text in keys)


@given(flows=_flows(), device=st.none() | _EUIS, tags=st.lists(_TAGS, max_size=4))
def test_compiled_table_routes_as_a_plain_search_does(flows: list[Flow], device: str | None, tags: list[str]) -> None:
    given_report = report(device, tags=tags)
    routes = FlowTable(flows).route(given_report, _CONNECTIONS)
    assert routes == naive(flows, given_report)
    for each in flows:
        place = first_matcher(each, given_report)
        assert bool(not each.matchers or place is not None) == naive_match(each, given_report)
        if place is not None and device is not None:
            held = [_holds(matcher, given_report) for matcher in each.matchers]
            assert held.index(True) == place


@given(keys=st.lists(_KEYS, max_size=12))
def test_ranges_of_keys_are_sorted_and_disjoint(keys: list[str]) -> None:
    ranges = DeviceKeys(keys)
    assert len(ranges) <= len(set(keys))
    assert all(int(text[5:].rstrip("*").ljust(16, "0"), 16) in ranges for text in keys)


class Counting(int):
    """A number that counts its comparisons."""

    comparisons = 0

    def __lt__(self, other: int) -> bool:
        Counting.comparisons += 1
        return int(self) < other

    def __le__(self, other: int) -> bool:
        Counting.comparisons += 1
        return int(self) <= other


def test_device_among_ten_thousand_keys_is_found_in_few_comparisons() -> None:
    keys = DeviceKeys(f"lora:{number * 7919:016x}" for number in range(10_000))
    assert len(keys) == 10_000
    Counting.comparisons = 0
    assert Counting(5000 * 7919) in keys
    assert Counting(5000 * 7919 + 1) not in keys
    assert 0 < Counting.comparisons <= 2 * 16


def test_tag_that_all_flows_share_costs_no_search_through_them() -> None:
    flows = [flow(f"f{number:03}", matchers=[thing("common", f"site={number}")]) for number in range(200)]
    table = FlowTable(flows)
    assert {len(sets) for sets in table._tags.values()} == {1}
    assert table.route(report(tags=["common", "site=150"]), ["c1"]) == {"c1": FlowMatch("f150")}


def test_ten_thousand_keys_and_two_hundred_flows_cost_under_a_millisecond() -> None:
    # Given: each flow has keys, prefixes and tags
    flows = [
        flow(f"f{number:03}", matchers=[key(*devices[:-1], f"{devices[-1][:12]}*"), thing("common", f"site={number}")])
        for number in range(200)
        for devices in [[f"lora:{(number * 50 + place) * 7919:016x}" for place in range(50)]]
    ]
    table, given_report = FlowTable(flows), report(tags=["common", "site=199"])
    assert sum(len(matcher.all_keys) for each in flows for matcher in each.matchers) == 10_000

    # When
    began = time.process_time()
    for _ in range(200):
        routes = table.route(given_report, ["c1"])

    # Then
    assert (time.process_time() - began) / 200 < 0.001
    assert routes == {"c1": FlowMatch("f199")}


def test_record_counts_its_keys_and_tags() -> None:
    assert flow(matchers=[thing("a", "b"), key("lora:000000*", "lora:111111*")]).size == 4
    assert FlowConnector(connection_id="c").id == "actility-amqp-0.9.1-iot"
