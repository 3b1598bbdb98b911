"""Requests to set up notifications: accepted ones, and the pointers of violations."""

from ipaddress import ip_network
from typing import Any

import pytest

from chalicelib.domain.notifications.validation import Allowed, parse_settings, parse_url
from chalicelib.errors import InvalidRequest
from chalicelib.vocabulary import NotificationKind

TOPIC = "arn:aws:sns:eu-west-1:123456789012:iot-flow-test-news"
NONE = Allowed((), (TOPIC,))
LOOPBACK = Allowed([ip_network("127.0.0.0/8")], ())
URL = "https://hooks.example.com:8443/iot?key=1"
NIGHT = {"startTime": "22:00", "endTime": "07:00", "timezone": "Europe/Paris"}


def pointers(document: Any, allowed: Allowed = NONE, *, exists: bool = False) -> set[str]:
    with pytest.raises(InvalidRequest) as refused:
        parse_settings(document, allowed, exists=exists)
    return {violation.pointer for violation in refused.value.violations}


def test_url_alone_reports_every_kind() -> None:
    request = parse_settings({"url": URL}, NONE, exists=False)
    assert request.kinds == list(NotificationKind)
    assert (request.active, request.faulty_after, request.quiet_hours) == (True, 5, None)


def test_topic_of_the_operator_is_accepted() -> None:
    document = {"topicArn": TOPIC, "kinds": ["connection.faulty"], "faultyAfter": 30, "quietHours": NIGHT}
    request = parse_settings(document, NONE, exists=False)
    assert request.topic_arn == TOPIC
    assert request.quiet_hours is not None


def test_document_that_was_read_can_be_sent_back() -> None:
    read = {"url": URL, "secret": "*****", "version": 3, "createdAt": "", "updatedAt": ""}
    assert parse_settings(read, NONE, exists=True).url == URL


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "http://hooks.example.com"}, "/url"),
        ({"url": "ftp://hooks.example.com"}, "/url"),
        ({"url": "hooks.example.com/hook"}, "/url"),
        ({"url": "https://"}, "/url"),
        ({"url": "https://user:password@hooks.example.com"}, "/url"),
        ({"url": "https://hooks.example.com/#part"}, "/url"),
        ({"url": "https://hooks.example.com/a b"}, "/url"),
        ({"url": "https://hooks.example.com/\r\nHost: other"}, "/url"),
        ({"url": "https://hooks.example.com:99999"}, "/url"),
        ({"url": "https://127.0.0.1/"}, "/url"),
        ({"url": "https://2130706433/"}, "/url"),
        ({"url": "https://0x7f.1/"}, "/url"),
        ({"url": "https://[::1]/"}, "/url"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "/url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "https://10.0.0.1"}, "/url"),
        ({"url": None}, "/url"),
        ({"url": ""}, "/url"),
        ({"url": 7}, "/url"),
        ({"topicArn": TOPIC}, "/topicArn"),
        ({"url": None, "topicArn": TOPIC + "-other"}, "/topicArn"),
        ({"kinds": []}, "/kinds"),
        ({"kinds": ["test"]}, "/kinds/0"),
        ({"faultyAfter": 0}, "/faultyAfter"),
        ({"faultyAfter": 1441}, "/faultyAfter"),
        ({"faultyAfter": True}, "/faultyAfter"),
        ({"active": "yes"}, "/active"),
        ({"quietHours": NIGHT | {"startTime": "24:00"}}, "/quietHours/startTime"),
        ({"quietHours": NIGHT | {"endTime": "22:00"}}, "/quietHours/endTime"),
        ({"quietHours": NIGHT | {"timezone": "Mars/Base"}}, "/quietHours/timezone"),
        ({"quietHours": NIGHT | {"days": []}}, "/quietHours/days"),
        ({"quietHour": NIGHT}, "/quietHour"),
        ({"secret": "whsec_own"}, "/secret"),
        ({"secret": "*****"}, "/secret"),
    ],
)
def test_violation_has_its_pointer(changes: dict[str, Any], pointer: str) -> None:
    assert pointers({"url": URL} | changes) == {pointer}


@pytest.mark.parametrize("document", [None, [], "text", 1])
def test_settings_are_an_object(document: Any) -> None:
    assert pointers(document) == {""}


def test_all_violations_are_reported_at_once() -> None:
    document = {"faultyAfter": 0, "kinds": [], "quietHours": 1}
    assert pointers(document) == {"/url", "/faultyAfter", "/kinds", "/quietHours"}


def test_network_that_the_stage_allows_may_be_called_without_tls() -> None:
    address = parse_url("http://127.0.0.1:9000/hook?a=b", LOOPBACK.networks)
    assert (address.secure, address.host, address.port, address.target) == (False, "127.0.0.1", 9000, "/hook?a=b")
    assert parse_url("https://127.0.0.1", LOOPBACK.networks).port == 443
    # A name is looked up when a notification is sent, so it needs TLS.
    assert pointers({"url": "http://localhost:9000"}, LOOPBACK) == {"/url"}
