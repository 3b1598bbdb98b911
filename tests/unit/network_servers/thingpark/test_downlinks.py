"""A downlink is validated before it is acknowledged, and becomes the network server's parameters."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.domain.connectors.common import MASK
from chalicelib.errors import DownlinkInvalid
from chalicelib.network_servers.thingpark.downlinks import (
    MAX_DOWNLINK_SIZE,
    parse_downlink,
    query_parameters,
    rejected_report,
    valid_until,
)
from chalicelib.network_servers.thingpark.reports import parse_report

DEVICE = "70B3D50000000001"
OTHER = "70B3D50000000002"
PATTERN = "things.{DevEUI}.down"
KEY = f"things.{DEVICE}.down"


def configuration(**changes: Any) -> AmqpConfiguration:
    return AmqpConfiguration(
        host_name="broker.example", protocol=BrokerProtocol.TCP, uplink_topic_pattern="up", **changes
    )


def parse(fields: dict[str, Any], routing_key: str = KEY, pattern: str = PATTERN, **changes: Any) -> dict[str, Any]:
    body = json.dumps({"DevEUI_downlink": fields}).encode()
    return parse_downlink(body, routing_key, pattern, configuration(**changes))


LEAST = {"payload_hex": "0A1b", "FPort": 1}


def test_a_downlink_with_all_its_fields_is_normalised() -> None:
    downlink = parse(
        {
            "Time": "2026-05-04T10:00:00.000+02:00",
            "DevEUI": DEVICE.lower(),
            "FPort": "7",
            "payload_hex": "0A1b",
            "Confirmed": True,
            "FlushDownlinkQueue": "0",
            "ValidityTime": 60,
            "FCntDn": "12",
            "CorrelationID": "0123456789abcdef",
            "AS_ID": "TWA_1.AS",
            "AS_KEY": "k" * 32,
            "DriverCfg": {"app": {"pId": "x"}},
            "RetransmissionStrategy": None,
        }
    )
    assert downlink == {
        "DevEUI": DEVICE,
        "FPort": 7,
        "payload_hex": "0A1b",
        "Confirmed": "1",
        "FlushDownlinkQueue": "0",
        "ValidityTime": "60",
        "FCntDn": 12,
        "CorrelationID": "0123456789abcdef",
        "AS_ID": "TWA_1.AS",
        "AS_KEY": "k" * 32,
    }


def test_what_a_downlink_lacks_comes_from_the_connection() -> None:
    downlink = parse({"payload_hex": ""}, downlink_port=9, downlink_as_id="A", downlink_as_key="secret")
    assert downlink == {"DevEUI": DEVICE, "FPort": 9, "payload_hex": "", "AS_ID": "A", "AS_KEY": "secret"}


def test_a_masked_key_is_no_key() -> None:
    assert "AS_KEY" not in parse(LEAST, downlink_as_key=MASK)


@pytest.mark.parametrize(
    ("pattern", "routing_key", "device"),
    [
        ("{DevEUI}", DEVICE, DEVICE),
        ("things.{DevEUI}.down", f"things.{DEVICE.lower()}.down", DEVICE),
        ("dev-{DevEUI}-x.down", f"dev-{DEVICE}-x.down", DEVICE),
        ("{CustomerData.name|'n'}.{DevEUI|'none'}", f"n.{DEVICE}", DEVICE),
        ("{$['DevEUI']}.#", f"{DEVICE}.a.b", DEVICE),
        ("#.{DevEUI}", f"a.b.{DEVICE}", DEVICE),
        ("things.{DevEUI}.down", f"things.{DEVICE}", None),
        ("things.{DevEUI}.down", "things.all.down", None),
        ("dev-{DevEUI}", DEVICE, None),
        ("#.{DevEUI}.#", f"a.{DEVICE}.b", None),
        ("{CustomerID}{DevEUI}", f"1{DEVICE}", None),
        ("{CustomerID}.down", f"{DEVICE}.down", None),
        ("", DEVICE, None),
    ],
)
def test_the_routing_key_names_the_device_where_the_pattern_does(
    pattern: str, routing_key: str, device: str | None
) -> None:
    if device is not None:
        assert parse(LEAST, routing_key, pattern)["DevEUI"] == device
        return
    with pytest.raises(DownlinkInvalid) as caught:
        parse(LEAST, routing_key, pattern)
    assert (caught.value.reason, caught.value.dev_eui) == ("INVALID", None)
    assert parse({**LEAST, "DevEUI": OTHER}, routing_key, pattern)["DevEUI"] == OTHER


def test_body_and_routing_key_must_name_the_same_device() -> None:
    with pytest.raises(DownlinkInvalid, match="agree"):
        parse({**LEAST, "DevEUI": OTHER})


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"DevEUI_downlink": {"a": 1, "a": 2}}', b"[" * 70_0])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(DownlinkInvalid) as caught:
        parse_downlink(body, KEY, PATTERN, configuration())
    assert (caught.value.reason, caught.value.dev_eui) == ("MALFORMED", DEVICE)


def test_compressed_downlink_is_decoded_up_to_the_limit() -> None:
    body = json.dumps({"DevEUI_downlink": LEAST}).encode()
    assert parse_downlink(gzip.compress(body), KEY, PATTERN, configuration()) == parse(LEAST)
    with pytest.raises(DownlinkInvalid, match="after decoding") as caught:
        parse_downlink(gzip.compress(bytes(1 << 26)), KEY, PATTERN, configuration())
    assert (caught.value.reason, caught.value.dev_eui) == ("INVALID", DEVICE)
    with pytest.raises(DownlinkInvalid, match="gzip") as caught:
        parse_downlink(gzip.compress(body)[:-1], KEY, PATTERN, configuration())
    assert caught.value.reason == "MALFORMED"


def test_byte_order_mark_of_a_downlink_is_named() -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"DevEUI_downlink": LEAST}).encode()
    with pytest.raises(DownlinkInvalid, match="byte order mark of UTF-8") as caught:
        parse_downlink(body, KEY, PATTERN, configuration())
    assert caught.value.reason == "MALFORMED"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"DevEUI_downlink": []}',
        b'{"DevEUI_uplink": {}}',
        b'{"DevEUI_downlink": {}, "x": {}}',
        b'{"DevEUI_downlink": {"payload_hex": "00", "FPort": 1}}' + b" " * MAX_DOWNLINK_SIZE,
    ],
)
def test_json_that_is_no_downlink_is_invalid(body: bytes) -> None:
    with pytest.raises(DownlinkInvalid) as caught:
        parse_downlink(body, KEY, PATTERN, configuration())
    assert caught.value.reason == "INVALID"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"payload_hex": None}, "payload_hex is missing"),
        ({"payload": {"a": 1}}, "not both"),
        ({"payload_hex": "0"}, "two for each byte"),
        ({"payload_hex": "0g"}, "hexadecimal"),
        ({"payload_hex": 10}, "hexadecimal"),
        ({"payload_hex": "00" * 243}, "at most 242"),
        ({"FPort": None}, "FPort is missing"),
        ({"FPort": 0}, "1 to 224"),
        ({"FPort": 225}, "1 to 224"),
        ({"FPort": "x"}, "1 to 224"),
        ({"Confirmed": "yes"}, "Confirmed must be 0 or 1"),
        ({"Confirmed": 2}, "Confirmed must be 0 or 1"),
        ({"FlushDownlinkQueue": []}, "FlushDownlinkQueue must be 0 or 1"),
        ({"ValidityTime": "2026-05-04T10:00:00"}, "offset"),
        ({"ValidityTime": 0}, "seconds"),
        ({"ValidityTime": "soon"}, "seconds"),
        ({"FCntDn": -1}, "FCntDn"),
        ({"FCntDn": 2**32}, "FCntDn"),
        ({"CorrelationID": "a&b"}, "CorrelationID"),
        ({"CorrelationID": ""}, "CorrelationID"),
        ({"AS_ID": "a b"}, "AS_ID"),
        ({"AS_ID": 7}, "AS_ID"),
        ({"AS_KEY": ""}, "AS_KEY"),
        ({"DevEUI": "70B3"}, "16 hexadecimal"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DownlinkInvalid, match=words) as caught:
        parse({**LEAST, **change})
    assert (caught.value.reason, caught.value.dev_eui) == ("INVALID", DEVICE)


def test_a_payload_without_an_encoder_is_rejected_as_such() -> None:
    with pytest.raises(DownlinkInvalid) as caught:
        parse({"payload": {"on": True}, "FPort": 1})
    assert caught.value.reason == "PAYLOAD_NOT_ENCODABLE"


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"FPort": "7", "CorrelationID": "AB12"}, (7, "AB12")),
        ({"FPort": None}, (9, None)),
        ({"FPort": 300, "CorrelationID": "a&b"}, (None, None)),
    ],
)
def test_what_its_sender_knows_a_refused_downlink_by_is_told(change: dict[str, Any], known: tuple[Any, Any]) -> None:
    with pytest.raises(DownlinkInvalid) as caught:
        parse({"payload": {"on": True}, **change}, downlink_port=9)
    assert (caught.value.f_port, caught.value.correlation_id) == known


def test_a_wrong_key_of_an_application_server_is_not_repeated_in_the_error() -> None:
    with pytest.raises(DownlinkInvalid) as caught:
        parse({**LEAST, "AS_KEY": "very\nsecret"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("validity", "until"),
    [(None, None), (60, 1060.0), ("60", 1060.0), ("1970-01-01T01:00:00+00:00", 3600.0)],
)
def test_a_validity_is_a_time_or_seconds_from_reception(validity: Any, until: float | None) -> None:
    assert valid_until(parse({**LEAST, "ValidityTime": validity}), 1000.0) == until


def test_the_parameters_stand_in_the_order_that_is_hashed() -> None:
    downlink = parse(
        {
            **LEAST,
            "Confirmed": 1,
            "FlushDownlinkQueue": False,
            "ValidityTime": "60",
            "FCntDn": 3,
            "CorrelationID": "c",
        }
    )
    assert query_parameters(downlink, "TWA_1.AS", "2026-05-04T10:00:00.000+00:00") == [
        ("DevEUI", DEVICE),
        ("FPort", "1"),
        ("Payload", "0A1b"),
        ("Confirmed", "1"),
        ("FlushDownlinkQueue", "0"),
        ("ValidityTime", "60"),
        ("FCntDn", "3"),
        ("AS_ID", "TWA_1.AS"),
        ("Time", "2026-05-04T10:00:00.000+00:00"),
        ("CorrelationID", "c"),
    ]
    assert [name for name, _ in query_parameters(parse(LEAST), "A", "t")] == [
        "DevEUI",
        "FPort",
        "Payload",
        "AS_ID",
        "Time",
    ]


def test_a_rejection_is_a_report_like_any_other() -> None:
    body = rejected_report(dev_eui=DEVICE, time_iso="2026-05-04T10:00:00Z", cause="no\nsuch \ud800 device", f_port=1)
    report = parse_report(body)
    assert (report.root, report.dev_eui, report.f_port) == ("DevEUI_downlink_Rejected", DEVICE, 1)
    assert report.fields["DownlinkRejectionCause"] == "no such \ud800 device"
    assert "CorrelationID" not in report.fields


@given(
    st.dictionaries(
        st.sampled_from(["DevEUI", "FPort", "payload_hex", "Confirmed", "ValidityTime", "FCntDn", "AS_ID", "AS_KEY"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2),
    ),
    st.text(max_size=40),
)
def test_any_downlink_is_normalised_or_refused(fields: dict[str, Any], routing_key: str) -> None:
    try:
        downlink = parse(fields, routing_key)
    except DownlinkInvalid:
        return
    assert all(isinstance(value, str) for _, value in query_parameters(downlink, "A", "t"))
