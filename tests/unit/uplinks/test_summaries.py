"""Reports with a summary from ingress: the drain publishes the same as from the whole body."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from chalicelib.domain.connection import Connection
from chalicelib.errors import InvalidRequest
from chalicelib.network_servers.formats import DEFAULT
from chalicelib.network_servers.thingpark.report_format import ThingParkReports
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.settlement import prepare
from tests.unit.flow import Flow

NOW = 1_800_000_000.0
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**33), 2**33),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "1", "007", "é", "\u0000", "\ufffe", "\ud800", "x" * 255, "x" * 256, "2027-01-15T08:00:00Z"]),
    st.text(max_size=20),
    st.just({"deep": 1}),
    st.just([1]),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "DevEUI": st.sampled_from(["70b3d50000000001", "70B3D50000000001", None]),
        "Time": VALUES | st.just("2026-01-01T00:00:00.5+01:00"),
        "payload": st.just({"t": 1}),
        **dict.fromkeys(("FPort", "FCntUp", "CustomerID", "DevAddr", "Late"), VALUES),
    },
)
PATTERNS = st.sampled_from(
    [
        "up", "up.{DevEUI}", "up.{FPort}.{FCntUp}", "{CustomerID}.{DevEUI|'none'}", "{FPort|CustomerID}", "{Time}",
        "up.{DevAddr}", "up.{FPort|DevAddr|'none'}", "up.{payload.t}", "up.{$..t}", "{FPort.deep|'none'}",
    ]
)  # fmt: skip
OPTIONS = st.sampled_from([{}, {"sendMetadata": True}, {"sendRawDecodedFormat": True}, {"uplinkTimeValidity": "1h"}])
ROOTS = st.sampled_from(["DevEUI_uplink", "DevEUI_location", "BS_alarm"])


@pytest.fixture(scope="module")
def connection() -> Connection:
    return Flow().connect()


def received(body: str, summary: str | None) -> ReceivedReport:
    return ReceivedReport("r", "m", "g", body, NOW, 1, summary=summary)


@given(root=ROOTS, fields=FIELDS, pattern=PATTERNS, options=OPTIONS)
def test_summary_changes_nothing_of_what_is_published(
    connection: Connection, root: str, fields: dict[str, Any], pattern: str, options: dict[str, Any]
) -> None:
    # Given
    document = connection.configuration.model_dump(by_alias=True) | {"uplinkTopicPattern": pattern, **options}
    configured = connection.model_copy(
        update={"configuration": type(connection.configuration).model_validate(document)}
    )
    body = json.dumps({root: fields})
    try:
        summary = DEFAULT.summary(DEFAULT.parse(body.encode()))
    except InvalidRequest:
        return
    assert summary is None or (summary.isascii() and summary.isprintable())

    # Then
    with_summary = prepare(received(body, summary), configured, NOW)
    assert with_summary == prepare(received(body, None), configured, NOW)


def test_simple_patterns_need_no_second_parse_of_the_body(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = '{"DevEUI_uplink": {"DevEUI": "70b3d50000000001", "FPort": 1, "FCntUp": 2, "more": {"a": [1]}}}'
    report = received(body, DEFAULT.summary(DEFAULT.parse(body.encode())))
    expected = prepare(report._replace(summary=None), connection, NOW)

    def parse(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr(ThingParkReports, "parse", parse)
    assert prepare(report, connection, NOW) == expected


@pytest.mark.parametrize(
    "summary",
    [
        "", "{", "[]", "1", '"seven_c"', '{"DevEUI_uplink": {}}', '{"DevEUI_uplink": {"FPort": 1}}',
        '{"DevEUI_uplink": {"DevEUI": "70b3d50000000002", "FPort": 2, "FCntUp": 2, "CustomerID": null, "Time": null}}',
        '["DevEUI_uplink", {"FPort": 2}, "70B3D50000000002", null, 2, null, null]',
        '["DevEUI_uplink", {"DevEUI": "70b3d50000000002"}, "70B3D50000000002", null, 2, null, null, 0]',
    ],
)  # fmt: skip
def test_summary_of_another_release_with_other_fields_is_not_used(connection: Connection, summary: str) -> None:
    body = '{"DevEUI_uplink": {"DevEUI": "70b3d50000000001", "FPort": 1}}'
    assert prepare(received(body, summary), connection, NOW) == prepare(received(body, None), connection, NOW)


def test_pattern_with_an_error_fails_as_without_a_summary(connection: Connection) -> None:
    configuration = connection.configuration.model_copy(update={"uplink_topic_pattern": "up.{"})
    broken = connection.model_copy(update={"configuration": configuration})
    body = '{"DevEUI_uplink": {"DevEUI": "70b3d50000000001"}}'
    report = received(body, DEFAULT.summary(DEFAULT.parse(body.encode())))
    assert prepare(report, broken, NOW) == prepare(report._replace(summary=None), broken, NOW)
