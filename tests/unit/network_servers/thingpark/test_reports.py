"""Reports are read strictly and forwarded as they came."""

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.domain.report import Report
from chalicelib.errors import InvalidRequest, Malformed, TooLarge, Unresolved
from chalicelib.kernel.strict_json import MAX_DEPTH, member_spans
from chalicelib.network_servers.thingpark.reports import MAX_REPORT_SIZE, parse_report
from chalicelib.uplinks.outgoing import amqp_headers, body_of, expired, is_sent, message_id, outgoing
from chalicelib.vocabulary import ConnectionState

UPLINK = (
    b'{ "DevEUI_uplink" : {"Time": "2026-05-04T10:00:00.25+02:00", "DevEUI": "70b3d50000000001",'
    b' "FPort": "7", "FCntUp": 12, "payload_hex": "0a1b", "CustomerID": 4711, "LrrSNR": 1.10,'
    b' "payload" : {"temperature": 21.50, "name": "caf\xc3\xa9"} } }\n'
)


def report_of(root: str = "DevEUI_uplink", **fields: Any) -> Report:
    return parse_report(json.dumps({root: fields}).encode())


def configuration(**changes: Any) -> AmqpConfiguration:
    return AmqpConfiguration(
        host_name="broker.example", protocol=BrokerProtocol.TCP, uplink_topic_pattern="things.{DevEUI}.up", **changes
    )


def connection(**changes: Any) -> Connection:
    return Connection(
        tenant="acme",
        id="01C",
        name="plant",
        active=True,
        configuration=configuration(**changes),
        created_at="",
        updated_at="",
        state=ConnectionState.OPENED,
    )


def test_a_report_is_read_with_its_device_time_and_counters() -> None:
    report = parse_report(UPLINK)
    assert report.root == "DevEUI_uplink"
    assert report.dev_eui == report.group == "70B3D50000000001"
    assert report.time == 1777881600.25
    assert (report.f_port, report.f_cnt_up, report.customer_id) == (7, 12, "4711")
    assert report.text.encode() == UPLINK


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        ("5", 5),
        (5.0, 5),
        (0, 0),
        ("007", 7),
        (None, None),
        (True, None),
        ("", None),
        ("five", None),
        ("5 ", None),
        (-1, None),
        (256, None),
        (5.5, None),
        ("²", None),
        ([5], None),
        (10**30, None),
    ],
)
def test_a_port_is_a_small_number_or_none(value: Any, number: int | None) -> None:
    assert report_of(FPort=value).f_port == number


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T01:00:10+01:00", 10.0),
        ("1970-01-01T00:00:10.5+00:00", 10.5),
        ("1970-01-01T00:00:10.1234567+00:00", 10.123456),
        ("1970-01-01T00:00:10", None),
        ("yesterday", None),
        ("1970-01-01", None),
        ("9999-99-99T00:00:00Z", None),
        (1234, None),
        (None, None),
    ],
)
def test_a_time_counts_only_with_its_offset(time: Any, seconds: float | None) -> None:
    assert report_of(Time=time).time == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff{}",
        b'{"DevEUI_uplink": {"a": "\xed\xa0\x80"}}',
        b'\xef\xbb\xbf{"DevEUI_uplink": {}}',
        b'{"DevEUI_uplink": {"a": NaN}}',
        b'{"DevEUI_uplink": {"a": -Infinity}}',
        b'{"DevEUI_uplink": {"a": 1, "a": 2}}',
        b'{"DevEUI_uplink": {}, "DevEUI_uplink": {}}',
        b'{"DevEUI_uplink": {}} x',
        b'{"DevEUI_uplink": {"a": "line\nbreak"}}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"DevEUI_uplink": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    ],
)
def test_what_is_not_strict_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_report(body)


def test_the_deepest_nesting_allowed_is_read() -> None:
    deep = MAX_DEPTH - 2
    assert parse_report(b'{"DevEUI_uplink": {"a": ' + b"[" * deep + b"]" * deep + b"}}").root == "DevEUI_uplink"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("[]", ""),
        ("7", ""),
        ("{}", ""),
        ('{"DevEUI_uplink": {}, "DevEUI_location": {}}', ""),
        ('{"DevEUI_downlink": {}}', "/DevEUI_downlink"),
        ('{"DevEUI_": {}}', "/DevEUI_"),
        ('{"devEUI_uplink": {}}', "/devEUI_uplink"),
        ('{"a/b~": {}}', "/a~1b~0"),
        ('{"DevEUI_uplink": []}', "/DevEUI_uplink"),
        ('{"DevEUI_uplink": null}', "/DevEUI_uplink"),
        ('{"DevEUI_uplink": {"DevEUI": "70B3"}}', "/DevEUI_uplink/DevEUI"),
        ('{"DevEUI_uplink": {"DevEUI": 7}}', "/DevEUI_uplink/DevEUI"),
        ('{"DevEUI_uplink": {"DevEUI": "70B3D5000000000\uff11"}}', "/DevEUI_uplink/DevEUI"),
    ],
)
def test_json_that_is_no_report_is_refused_with_a_pointer(body: str, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_report(body.encode())
    assert not isinstance(caught.value, Malformed)
    assert [violation.pointer for violation in caught.value.violations] == [pointer]


@pytest.mark.parametrize("root", ["BS_alarm", "DevEUI_location", "DevEUI_multicast_summary", "DevEUI_something_new"])
def test_every_kind_of_report_is_taken(root: str) -> None:
    report = report_of(root)
    assert (report.root, report.dev_eui, report.group) == (root, None, "-")


def test_a_report_of_more_than_256_kilobytes_is_too_large() -> None:
    report = b'{"DevEUI_uplink": {}}'
    largest = report + b" " * (MAX_REPORT_SIZE - len(report))
    assert parse_report(largest).root == "DevEUI_uplink"
    with pytest.raises(TooLarge):
        parse_report(largest + b" ")


def test_huge_numbers_do_no_harm() -> None:
    body = b'{"DevEUI_uplink": {"a": 1e999, "b": -1e999, "c": ' + b"9" * 100_000 + b', "FCntUp": 1e300}}'
    report = parse_report(body)
    assert json.loads(json.dumps(report.fields, allow_nan=False)) == report.fields
    assert report.f_cnt_up is None
    assert report.text.encode() == body


def test_a_repeated_report_has_the_same_message_id_and_another_has_another() -> None:
    report = parse_report(UPLINK)
    assert message_id("01C", report) == message_id("01C", parse_report(UPLINK))
    others = [
        message_id("01D", report),
        message_id("01C", parse_report(UPLINK.replace(b"12", b"13"))),
        message_id("01C", parse_report(UPLINK.replace(b"1.10", b"1.1"))),
        message_id("01C", parse_report(UPLINK + b" ")),
    ]
    assert len({message_id("01C", report), *others}) == 5
    parts = ["01C", "70B3D50000000001", "12", "2026-05-04T10:00:00.25+02:00", report.text]
    written = b"".join(b"%d:%s" % (len(part.encode()), part.encode()) for part in parts)
    assert message_id("01C", report) == hashlib.sha256(written).hexdigest()


def test_headers_are_absent_where_the_report_has_no_value() -> None:
    assert amqp_headers(parse_report(UPLINK), "01C") == {
        "devEUI": "70B3D50000000001",
        "fPort": 7,
        "fCntUp": 12,
        "customerId": "4711",
        "connectionId": "01C",
    }
    assert amqp_headers(report_of("BS_alarm"), "01C") == {"connectionId": "01C"}


@pytest.mark.parametrize("customer", ["", "x" * 256, "\ud800", True, None, {}, 1.5])
def test_a_customer_id_that_no_header_can_carry_is_left_out(customer: Any) -> None:
    assert report_of(CustomerID=customer).customer_id is None


def test_a_report_is_forwarded_byte_for_byte() -> None:
    message = outgoing(parse_report(UPLINK), connection(), "k", "m")
    assert message.body == UPLINK
    assert message.routing_key == "things.70B3D50000000001.up"
    assert (message.key, message.message_id, message.group) == ("k", "m", "70B3D50000000001")
    assert (message.type, message.timestamp) == ("DevEUI_uplink", 1777881600)


def test_a_report_from_before_1970_has_no_timestamp() -> None:
    report = report_of(Time="1960-01-01T00:00:00Z", DevEUI="70B3D50000000001")
    assert outgoing(report, connection(), "k", "m").timestamp is None


def test_a_report_without_what_the_pattern_names_is_unresolved() -> None:
    with pytest.raises(Unresolved):
        outgoing(report_of("BS_alarm"), connection(), "k", "m")


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({}, UPLINK.decode()),
        ({"send_metadata": True}, UPLINK.decode()[20:-3]),
        ({"send_raw_decoded_format": True}, '{"temperature": 21.50, "name": "café"}'),
        ({"send_metadata": True, "send_raw_decoded_format": True}, UPLINK.decode()[20:-3]),
    ],
)
def test_the_options_cut_the_text_and_leave_its_numbers_alone(options: dict[str, bool], body: str) -> None:
    assert body_of(parse_report(UPLINK), configuration(**options)) == body


@pytest.mark.parametrize("payload", [b'{"DevEUI_uplink": {"a": 1}}', b'{"DevEUI_uplink": {"payload": null}}'])
def test_without_a_payload_the_whole_message_is_sent(payload: bytes) -> None:
    assert body_of(parse_report(payload), configuration(send_raw_decoded_format=True)).encode() == payload


def test_with_metadata_only_uplinks_are_sent() -> None:
    location = report_of("DevEUI_location")
    assert is_sent(location, configuration())
    assert not is_sent(location, configuration(send_metadata=True))
    assert is_sent(parse_report(UPLINK), configuration(send_metadata=True))


@pytest.mark.parametrize(
    ("validity", "root", "age", "is_expired"),
    [
        (None, "DevEUI_uplink", 1e9, False),
        ("5m", "DevEUI_uplink", 300, False),
        ("5m", "DevEUI_uplink", 301, True),
        ("7d", "DevEUI_uplink", 604_801, True),
        ("5m", "DevEUI_uplink", -50, False),
        ("5m", "DevEUI_location", 301, False),
    ],
)
def test_an_uplink_expires_when_it_is_older_than_its_validity(
    validity: str | None, root: str, age: float, is_expired: bool
) -> None:
    report = report_of(root, Time="1970-01-12T13:46:40Z")
    assert expired(report, validity, 1e6 + age) is is_expired


def test_an_uplink_without_a_time_ages_from_its_acceptance() -> None:
    report = report_of()
    assert not expired(report, "30s", 1000.0)
    assert expired(report, "30s", 1000.0, accepted_at=969.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_the_spans_of_members_hold_exactly_their_values(members: dict[str, Any], indent: int | None, raw: bool) -> None:
    text = json.dumps(members, indent=indent, ensure_ascii=not raw)
    cut = {name: json.loads(text[begin:end]) for name, (begin, end) in member_spans(text).items()}
    assert cut == members


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_report_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        assert parse_report(body).text.encode() == body
