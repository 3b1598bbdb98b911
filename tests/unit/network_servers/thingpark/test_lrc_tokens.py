"""A token proves that a report comes from the tenant's network server."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.report import Report
from chalicelib.errors import Unauthorized
from chalicelib.network_servers.thingpark.lrc_tokens import check_time, downlink_token, uplink_token_matches
from chalicelib.network_servers.thingpark.reports import parse_report

KEY = "aB" * 16
TIME = "2026-05-04T10:00:00.250+02:00"
QUERY = [
    ("LrnDevEui", "70B3D50000000001"),
    ("LrnFPort", "7"),
    ("LrnInfos", "TWA_1.2.AS"),
    ("AS_ID", "TWA_1.AS"),
    ("Time", TIME),
]
WRITTEN = f"LrnDevEui=70B3D50000000001&LrnFPort=7&LrnInfos=TWA_1.2.AS&AS_ID=TWA_1.AS&Time={TIME}"
FIELDS: dict[str, Any] = {
    "CustomerID": "4711",
    "DevEUI": "70B3D50000000001",
    "FPort": 7,
    "FCntUp": "12",
    "FCntDn": 34,
    "payload_hex": "0a1B",
}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def report(root: str = "DevEUI_uplink", **fields: Any) -> Report:
    return parse_report(json.dumps({root: fields or FIELDS}).encode())


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in FIELDS.items() if name not in names}


@pytest.mark.parametrize(
    ("root", "fields", "elements"),
    [
        ("DevEUI_uplink", FIELDS, "471170B3D500000000017120a1B"),
        ("DevEUI_uplink", without("payload_hex"), "471170B3D50000000001712"),
        ("DevEUI_uplink", without("CustomerID", "FCntUp"), "70B3D5000000000170a1B"),
        ("DevEUI_downlink_Sent", FIELDS, "471170B3D50000000001734"),
        ("DevEUI_location", FIELDS, "471170b3d50000000001"),
        ("DevEUI_notification", FIELDS, "471170B3D50000000001"),
        ("DevEUI_downlink_Rejected", FIELDS, "471170B3D50000000001"),
        ("DevEUI_multicast_summary", without("CustomerID"), "70B3D50000000001"),
    ],
)
def test_each_kind_of_report_has_its_own_elements(root: str, fields: dict[str, Any], elements: str) -> None:
    token = sha(elements + WRITTEN + KEY)
    assert uplink_token_matches(QUERY, report(root, **fields), KEY, token)
    assert not uplink_token_matches(QUERY, report(root, **fields), KEY.lower(), token)


def test_an_uplink_without_a_port_counts_as_port_zero() -> None:
    query = [(name, "0" if name == "LrnFPort" else value) for name, value in QUERY]
    token = sha("471170B3D500000000010120a1B" + WRITTEN.replace("LrnFPort=7", "LrnFPort=0") + KEY)
    assert uplink_token_matches(query, report(**without("FPort")), KEY, token)


@pytest.mark.parametrize("port", ["", None, 0, "0"])
def test_an_empty_port_counts_as_port_zero(port: Any) -> None:
    query = [(name, "0" if name == "LrnFPort" else value) for name, value in QUERY]
    token = sha("471170B3D500000000010120a1B" + WRITTEN.replace("LrnFPort=7", "LrnFPort=0") + KEY)
    assert uplink_token_matches(query, report(**FIELDS | {"FPort": port}), KEY, token)
    # An empty port does not move the counter's first digit to its place.
    shifted = report(**FIELDS | {"FPort": "", "FCntUp": "012"})
    assert not uplink_token_matches(query, shifted, KEY, token)


@pytest.mark.parametrize(
    ("root", "changes"),
    [
        ("DevEUI_uplink", {"FPort": "07", "FCntUp": "12"}),
        ("DevEUI_uplink", {"FPort": 7.0}),
        ("DevEUI_uplink", {"FCntUp": "012"}),
        ("DevEUI_uplink", {"FCntUp": 12.5}),
        ("DevEUI_uplink", {"FCntUp": "120a1B", "payload_hex": ""}),
        ("DevEUI_uplink", {"FCntUp": "1", "payload_hex": "20a1B"}),
        ("DevEUI_uplink", {"FCntUp": "120", "payload_hex": "a1B"}),
        ("DevEUI_downlink_Sent", {"FCntDn": "034"}),
        ("DevEUI_downlink_Sent", {"FCntDn": "34ab"}),
    ],
)
def test_elements_that_the_lrc_does_not_write_are_refused(root: str, changes: dict[str, Any]) -> None:
    fields = FIELDS | changes
    names = ("FPort", "FCntUp", "payload_hex") if root == "DevEUI_uplink" else ("FPort", "FCntDn")
    elements = "".join(str(fields[name]) for name in ("CustomerID", "DevEUI", *names))
    assert not uplink_token_matches(QUERY, report(root, **fields), KEY, sha(elements + WRITTEN + KEY))


ELEMENTS = "471170B3D500000000017120a1B"


@given(st.permutations(QUERY))
def test_the_order_of_the_query_may_be_lost_on_the_way(query: list[tuple[str, str]]) -> None:
    as_id_first = "AS_ID=TWA_1.AS&" + WRITTEN.replace("&AS_ID=TWA_1.AS", "")
    in_order_received = "&".join(f"{name}={value}" for name, value in query)
    for written in (WRITTEN, as_id_first, in_order_received):
        assert uplink_token_matches(query, report(), KEY, sha(ELEMENTS + written + KEY))


def test_a_plus_in_the_time_may_arrive_as_a_space() -> None:
    query = [(name, value.replace("+", " ")) for name, value in QUERY]
    assert uplink_token_matches(query, report(), KEY, sha(ELEMENTS + WRITTEN + KEY))


def test_the_token_itself_is_no_part_of_the_query() -> None:
    token = sha(ELEMENTS + WRITTEN + KEY)
    assert uplink_token_matches([*QUERY, ("Token", token)], report(), KEY, token.upper())


@pytest.mark.parametrize("token", ["", "0" * 64, "é", "\ud800", sha(WRITTEN + KEY)])
def test_another_token_does_not_match(token: str) -> None:
    assert not uplink_token_matches(QUERY, report(), KEY, token)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ([("LrnDevEui", "70B3D50000000002"), *QUERY[1:]], FIELDS),
        ([QUERY[0], ("LrnFPort", "8"), *QUERY[2:]], FIELDS),
        (QUERY[1:], FIELDS),
        ([QUERY[0], *QUERY[2:]], FIELDS),
        (QUERY, without("DevEUI")),
        (QUERY, without("FPort")),
        ([*QUERY, ("Time", TIME)], FIELDS),
    ],
)
def test_a_query_about_another_device_does_not_match(query: list[tuple[str, str]], fields: dict[str, Any]) -> None:
    elements = "".join(str(fields.get(name, "")) for name in ("CustomerID", "DevEUI"))
    elements += f"{fields.get('FPort', '0')}12{fields['payload_hex']}"
    written = "&".join(f"{name}={value}" for name, value in query)
    assert not uplink_token_matches(query, report(**fields), KEY, sha(elements + written + KEY))


def test_a_device_written_in_lower_case_is_the_same_device() -> None:
    query = [("LrnDevEui", "70b3d50000000001"), *QUERY[2:]]
    written = "&".join(f"{name}={value}" for name, value in query)
    token = sha("471170b3d50000000001" + written + KEY)
    assert uplink_token_matches(query, report("DevEUI_location"), KEY, token)


def test_an_alarm_without_a_device_needs_none_in_the_query() -> None:
    query = QUERY[2:]
    written = "&".join(f"{name}={value}" for name, value in query)
    assert uplink_token_matches(query, report("BS_alarm", CustomerID="4711"), KEY, sha("4711" + written + KEY))


def test_a_downlink_token_covers_the_query_as_it_is_sent() -> None:
    query = [("DevEUI", "70B3D50000000001"), ("FPort", "1"), ("Payload", "00"), ("AS_ID", "a"), ("Time", TIME)]
    written = f"DevEUI=70B3D50000000001&FPort=1&Payload=00&AS_ID=a&Time={TIME}"
    assert downlink_token(query, KEY) == sha(written + KEY)


NOW = 1777881600.25


@pytest.mark.parametrize("now", [NOW, NOW + 300, NOW - 60])
@pytest.mark.parametrize("text", [TIME, TIME.replace("+", " "), "2026-05-04T08:00:00.250Z"])
def test_a_time_close_to_ours_is_accepted(text: str, now: float) -> None:
    check_time(text, now, 300.0)


@pytest.mark.parametrize(
    ("text", "now"),
    [(TIME, NOW + 301), (TIME, NOW - 61), ("", NOW), ("2026-05-04T10:00:00", NOW), ("now", NOW)],
)
def test_an_old_a_future_and_an_unreadable_time_are_refused(text: str, now: float) -> None:
    with pytest.raises(Unauthorized):
        check_time(text, now, 300.0)
