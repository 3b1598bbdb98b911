"""A request is taken with everything in order, or refused with everything that is wrong."""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import jsonschema
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.connection import Connection, ConnectionRequest, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.connectors.common import MASK
from chalicelib.domain.validation.connections import merge_secrets, parse_connection, split_secrets
from chalicelib.errors import InvalidRequest
from chalicelib.vocabulary import ConnectionState
from tests.unit.domain.validation.configurations import parse_configuration

NOW = datetime.now(UTC).timestamp()
CA = trustme.CA()
ISSUED = CA.issue_cert("client@example.com")
CERTIFICATE = b"".join(blob.bytes() for blob in ISSUED.cert_chain_pems).decode()
KEY = ISSUED.private_key_pem.bytes().decode()
OTHER_KEY = CA.issue_cert("other@example.com").private_key_pem.bytes().decode()
BUNDLE = CA.cert_pem.bytes().decode()

PLAIN = {
    "hostName": "broker.example.com",
    "protocol": "TCP",
    "uplinkTopicPattern": "things.{DevEUI}.up",
    "downlinkTopicPattern": "things.{DevEUI}.down",
}
ENCRYPTED = {**PLAIN, "protocol": "SSL"}
PAIR = {"certificate": CERTIFICATE, "privateKey": KEY}


def document(configuration: Any, **top: Any) -> dict[str, Any]:
    return {"connectorId": "actility-amqp-0.9.1-iot", "name": "Plant", "configuration": configuration, **top}


def stored(**changes: Any) -> Connection:
    configuration = AmqpConfiguration.model_validate({**ENCRYPTED, **changes})
    return Connection(
        tenant="acme",
        id="01C",
        name="Plant",
        active=True,
        configuration=configuration,
        created_at="2026-01-01T00:00:00.000Z",
        updated_at="2026-01-01T00:00:00.000Z",
        state=ConnectionState.OPENED,
    )


def create(configuration: Any, **top: Any) -> ConnectionRequest:
    return parse_connection(document(configuration, **top), stored=None, now=NOW)


def violations(document: Any, stored: Connection | None = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        parse_connection(document, stored=stored, now=NOW)
    return [(violation.pointer, violation.detail) for violation in caught.value.violations]


@pytest.mark.parametrize(
    "configuration",
    [
        PLAIN,
        ENCRYPTED,
        {**PLAIN, "hostName": "broker.example.com:5673"},
        {**PLAIN, "hostName": "[2606:4700::1111]:5672"},
        {**PLAIN, "username": "u", "password": "p"},
        {**PLAIN, "password": None, "description": "two\nlines"},
        {**ENCRYPTED, **PAIR, "trustedCaCertificate": BUNDLE, "username": "u", "password": "p"},
        {**PLAIN, "downlinkTopicPattern": None, "downlinkEnabled": False},
        {**PLAIN, "uplinkTimeValidity": "72h", "reconnectStrategy": "CALM", "downlinkPort": 224},
        {**PLAIN, "uplinkTopicPattern": "{CustomerData.tags[?(@ =~ /Paris:.*/)]|DevEUI|'none'}"},
        {**PLAIN, "connectionTimeout": 100, "actionTimeout": 10000, "createDevices": False},
    ],
)
def test_a_configuration_in_order_is_taken(configuration: dict[str, Any]) -> None:
    request = create(configuration)
    assert request.configuration.host_name == configuration["hostName"]
    assert parse_configuration(configuration, now=NOW) == request.configuration


def test_pem_texts_are_brought_to_one_form() -> None:
    pasted = {name: text.replace("-----", "--").replace("\n", "\\n") for name, text in PAIR.items()}
    assert create({**ENCRYPTED, **pasted}).configuration.certificate == CERTIFICATE


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"hostName": None}, "hostName", "string"),
        ({"hostName": ""}, "hostName", "at least 1"),
        ({"hostName": "a b"}, "hostName", "blank"),
        ({"hostName": " 127.0.0.1"}, "hostName", "blank"),
        ({"hostName": "amqp://broker"}, "hostName", "scheme"),
        ({"hostName": "broker:0"}, "hostName", "port"),
        ({"hostName": "broker:99999"}, "hostName", "port"),
        ({"hostName": "127.0.0.1"}, "hostName", "not public"),
        ({"hostName": "2130706433:5672"}, "hostName", "not public"),
        ({"hostName": "0x7f.1"}, "hostName", "not public"),
        ({"hostName": "[::ffff:10.0.0.1]"}, "hostName", "not public"),
        ({"hostName": "169.254.169.254"}, "hostName", "not public"),
        ({"protocol": "TLS"}, "protocol", "'TCP' or 'SSL'"),
        ({"protocol": None}, "protocol", "'TCP' or 'SSL'"),
        ({"uplinkTopicPattern": "{"}, "uplinkTopicPattern", "not closed"),
        ({"uplinkTopicPattern": "a\u0000b"}, "uplinkTopicPattern", "control character"),
        ({"downlinkTopicPattern": None}, "downlinkTopicPattern", "mandatory"),
        ({"downlinkTopicPattern": "é" * 128}, "downlinkTopicPattern", "255 bytes"),
        ({"username": "u"}, "password", "needs its password"),
        ({"password": "p"}, "username", "needs its username"),
        ({"username": "u\n", "password": "p"}, "username", "control character"),
        ({"username": "u", "password": "p\u0000"}, "password", "control character"),
        ({"exchangeName": ""}, "exchangeName", "amq.topic"),
        ({"exchangeName": "é" * 128}, "exchangeName", "255 bytes"),
        ({"virtualHost": "a\u0085"}, "virtualHost", "control character"),
        ({"connectionTimeout": 99}, "connectionTimeout", "at least 100"),
        ({"actionTimeout": 10001}, "actionTimeout", "at most 10000"),
        ({"actionTimeout": "1000"}, "actionTimeout", "whole number"),
        ({"actionTimeout": 10**30}, "actionTimeout", "at most|large|whole"),
        ({"description": "x" * 1025}, "description", "at most 1024"),
        ({"description": "\u0007"}, "description", "control character"),
        ({"description": "\ud800"}, "description", "surrogate"),
        ({"sendMetadata": "yes"}, "sendMetadata", "true or false"),
        ({"uplinkTimeValidity": "soon"}, "uplinkTimeValidity", "such as 30s"),
        ({"downlinkPort": 225}, "downlinkPort", "at most 224"),
        ({"downlinkAsId": ""}, "downlinkAsId", "at least 1"),
        ({"reconnectStrategy": "FAST"}, "reconnectStrategy", "CALM"),
        ({"hostname": "x"}, "hostname", "did you mean hostName"),
        ({"host_name": "x"}, "host_name", "did you mean hostName"),
        ({"a/b~c": 1}, "a~1b~0c", "unknown; remove it"),
        ({"certificate": CERTIFICATE, "privateKey": KEY}, "certificate", "requires the protocol SSL"),
        ({"trustedCaCertificate": BUNDLE}, "trustedCaCertificate", "requires the protocol SSL"),
        ({"protocol": "SSL", "certificate": CERTIFICATE}, "privateKey", "needs its private key"),
        ({"protocol": "SSL", "privateKey": KEY}, "certificate", "needs its certificate"),
        ({"protocol": "SSL", **PAIR, "privateKey": OTHER_KEY}, "privateKey", "does not belong"),
        ({"protocol": "SSL", **PAIR, "certificate": "hello"}, "certificate", "not PEM"),
        ({"protocol": "SSL", "trustedCaCertificate": "hello"}, "trustedCaCertificate", "not PEM"),
        ({"username": "u", "password": MASK}, "password", "new connection has none"),
        ({"downlinkAsKey": MASK}, "downlinkAsKey", "new connection has none"),
    ],
)
def test_a_wrong_field_is_named_with_a_remedy(change: dict[str, Any], pointer: str, words: str) -> None:
    found = dict(violations(document({**PLAIN, **change})))
    assert f"/configuration/{pointer}" in found
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found[f"/configuration/{pointer}"])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"downlinkTopicPattern": None},
        {"downlinkTopicPattern": None, "downlinkEnabled": True},
        {"downlinkTopicPattern": None, "downlinkEnabled": False},
        {"downlinkEnabled": False},
        {"username": "u"},
        {"password": "p"},
        {"username": "u", "password": "p"},
        {"username": None, "password": None},
        {"protocol": "SSL"},
        {"protocol": "SSL", **PAIR},
        {"protocol": "SSL", "certificate": CERTIFICATE},
        {"protocol": "SSL", "privateKey": KEY, "certificate": None},
        {"protocol": "SSL", "trustedCaCertificate": BUNDLE},
        {"trustedCaCertificate": BUNDLE},
        {"trustedCaCertificate": None, "certificate": None},
        PAIR,
        {"connectionTimeout": 5000.0, "downlinkPort": 1e2},
        {"connectionTimeout": 5000.5},
        {"downlinkPort": True},
    ],
)
@pytest.mark.parametrize("nulls", [True, False])
def test_the_json_schema_says_which_fields_go_together(change: dict[str, Any], nulls: bool) -> None:
    configuration = {name: value for name, value in {**PLAIN, **change}.items() if nulls or value is not None}
    described = jsonschema.Draft202012Validator(AmqpConfiguration.model_json_schema()).is_valid(configuration)
    try:
        create(configuration)
    except InvalidRequest:
        assert not described
    else:
        assert described


def test_no_sentence_shows_what_was_sent_for_it_may_be_a_secret_in_the_wrong_field() -> None:
    # The patterns are left out: what is wrong with one is said with a part of it.
    names = [field.alias or name for name, field in AmqpConfiguration.model_fields.items() if "pattern" not in name]
    for secret in (
        "Tr0ub4dor&3",
        "user:Tr0ub4dor&3@host",
        "amqp://u:Tr0ub4dor&3@host:1",
        "Tr0ub4dor&3\0",
        "Tr0ub4dor&3" * 999,
    ):
        alarm = dict.fromkeys(("startTime", "endTime", "timezone", "uplinkRateMinPerHour"), secret)
        whole = document(dict.fromkeys(names, secret), active=secret, connectorId=secret, alarms=[alarm, secret])
        found = violations(whole)
        assert len(found) > len(names) // 2
        assert "Tr0ub4dor" not in str(found)


@pytest.mark.parametrize(
    ("broken", "pointer", "words"),
    [
        ([], "", "JSON object"),
        (None, "", "JSON object"),
        ({}, "/configuration", "mandatory"),
        (document(None), "/configuration", "object"),
        (document([]), "/configuration", "object"),
        (document(PLAIN, connectorId="other"), "/connectorId", "actility-amqp-0.9.1-iot"),
        (document(PLAIN, name=""), "/name", "at least 1"),
        (document(PLAIN, name="x" * 129), "/name", "at most 128"),
        (document(PLAIN, name=" \u3000"), "/name", "blanks"),
        (document(PLAIN, name="\u200b\u2060\ufeff"), "/name", "invisible"),
        (document(PLAIN, name="\u3164 \u2800"), "/name", "invisible"),
        (document(PLAIN, name="\ufe0f\u0301"), "/name", "invisible"),
        (document(PLAIN, name="\u202ecba"), "/name", "direction"),
        (document(PLAIN, name="a\u2066b"), "/name", "direction"),
        (document({**PLAIN, "description": "a\u202eb"}), "/configuration/description", "direction"),
        (document(PLAIN, name="a\tb"), "/name", "control character"),
        (document(PLAIN, active="true"), "/active", "true or false"),
        (document(PLAIN, activ=True), "/activ", "did you mean active"),
        (document(PLAIN, id="01C"), "/id", "unknown"),
        (document(PLAIN, state="OPENED"), "/state", "unknown"),
        (document(PLAIN, alarms={}), "/alarms", "array"),
    ],
)
def test_a_wrong_request_is_named_with_a_remedy(broken: Any, pointer: str, words: str) -> None:
    found = dict(violations(broken))
    assert words in found[pointer]


@pytest.mark.parametrize(
    "name",
    ["Zähler 7", "\u05de\u05d3 1", "\u0645\u0642", "\U0001f469\u200d\U0001f33e", "e\u0301", "\u0915\u094d\u200d\u0937"],
)
def test_names_of_every_script_are_accepted(name: str) -> None:
    assert parse_connection(document(PLAIN, name=name), stored=None, now=NOW).name == name


def test_all_violations_are_told_at_once() -> None:
    broken = {
        **PLAIN,
        "hostName": "10.0.0.1",
        "uplinkTopicPattern": "{",
        "actionTimeout": 1,
        "username": "u",
        "certificate": "--BEGIN CERTIFICATE--kC...W3--END CERTIFICATE--",
        "protocol": "SSL",
        "typo": 1,
    }
    found = {pointer for pointer, _ in violations(document(broken, name="\u0000"))}
    assert found == {
        "/name",
        "/configuration/hostName",
        "/configuration/uplinkTopicPattern",
        "/configuration/actionTimeout",
        "/configuration/password",
        "/configuration/certificate",
        "/configuration/privateKey",
        "/configuration/typo",
    }


def test_an_allowed_private_network_may_be_named() -> None:
    configuration = {**PLAIN, "hostName": "127.0.0.1:5672"}
    taken = parse_configuration(configuration, now=NOW, allowed=[ip_network("127.0.0.0/8")])
    assert taken.host_name == "127.0.0.1:5672"


ALARM = {
    "startTime": "2026-01-01T08:00:00+01:00",
    "endTime": "2026-01-01T18:00:00+01:00",
    "timezone": "Europe/Paris",
    "recurrence": [{"frequency": "weekly", "byDays": ["monday", "TU", "Wed"]}],
    "uplinkRateMinPerHour": 5,
    "message": "quiet",
}


def test_an_alarm_in_order_is_taken() -> None:
    assert create(PLAIN, alarms=[ALARM]).alarms[0].uplink_rate_min_per_hour == 5


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"startTime": "eight"}, "/alarms/0/startTime"),
        ({"endTime": ""}, "/alarms/0/endTime"),
        ({"timezone": "Paris"}, "/alarms/0/timezone"),
        ({"timezone": "../etc/passwd"}, "/alarms/0/timezone"),
        ({"timezone": "\u0000"}, "/alarms/0/timezone"),
        ({"recurrence": [{"frequency": "monthly"}]}, "/alarms/0/recurrence/0/frequency"),
        ({"recurrence": [{"frequency": "daily", "byDays": ["someday"]}]}, "/alarms/0/recurrence/0/byDays"),
        ({"recurrence": [{"frequency": "daily", "byDays": ["t"]}]}, "/alarms/0/recurrence/0/byDays"),
        ({"uplinkRateMinPerHour": -1}, "/alarms/0/uplinkRateMinPerHour"),
        ({"message": "\u0000"}, "/alarms/0/message"),
        ({"start": 1}, "/alarms/0/start"),
    ],
)
def test_a_wrong_alarm_is_named(change: dict[str, Any], pointer: str) -> None:
    assert [place for place, _ in violations(document(PLAIN, alarms=[{**ALARM, **change}]))] == [pointer]


def test_there_are_at_most_twenty_alarms() -> None:
    assert violations(document(PLAIN, alarms=[ALARM] * 21))[0][0] == "/alarms"


MASKED = {**ENCRYPTED, "username": "u", "password": MASK, "certificate": MASK, "privateKey": MASK}


def test_what_was_read_can_be_sent_back() -> None:
    kept = stored(username="u", password=MASK, certificate=MASK, privateKey=MASK)
    request = parse_connection(kept.to_json(), stored=kept, now=NOW)
    assert request.configuration == kept.configuration


def test_the_id_of_another_connection_is_refused() -> None:
    assert violations(document(ENCRYPTED, id="01D"), stored())[0][0] == "/id"


def test_a_mask_for_what_is_not_stored_is_refused() -> None:
    found = violations(document(MASKED), stored(username="u", password=MASK))
    assert [place for place, _ in found] == ["/configuration/privateKey", "/configuration/certificate"]


@pytest.mark.parametrize("change", [{"hostName": "other.example.com"}, {"hostName": "broker.example.com:1234"}])
def test_secrets_do_not_follow_to_another_host(change: dict[str, Any]) -> None:
    kept = stored(**{name: value for name, value in MASKED.items() if name not in ENCRYPTED})
    found = violations(document({**MASKED, **change}), kept)
    assert {place.rsplit("/", 1)[1] for place, _ in found} == {"password", "certificate", "privateKey"}
    anew = {**ENCRYPTED, **change, "username": "u", "password": "new", **PAIR}
    assert parse_connection(document(anew), stored=kept, now=NOW).configuration.password == "new"


def test_secrets_do_not_follow_to_an_unencrypted_connection() -> None:
    kept = stored(username="u", password=MASK)
    found = violations(document({**MASKED, "protocol": "TCP", "certificate": None, "privateKey": None}), kept)
    assert [place for place, _ in found] == ["/configuration/password"]


def test_the_default_port_written_out_is_no_other_host() -> None:
    kept = stored(username="u", password=MASK)
    configuration = {**ENCRYPTED, "hostName": "Broker.example.com:5671", "username": "u", "password": MASK}
    assert parse_connection(document(configuration), stored=kept, now=NOW).configuration.password == MASK


def test_kept_secrets_take_the_place_of_their_masks_and_are_split_off() -> None:
    had = ConnectionSecrets(password="old", downlink_as_key="gone")
    request = parse_connection(
        document({**ENCRYPTED, "username": "u", "password": MASK, **PAIR}),
        stored=stored(username="u", password=MASK, downlinkAsKey=MASK),
        stored_secrets=had,
        now=NOW,
    )
    masked, secrets = split_secrets(request.configuration)
    assert secrets == ConnectionSecrets(password="old", certificate=CERTIFICATE, private_key=KEY)
    assert (masked.password, masked.certificate, masked.private_key) == (MASK, MASK, MASK)
    assert (masked.downlink_as_key, masked.trusted_ca_certificate, masked.username) == (None, None, "u")
    assert merge_secrets(masked, secrets) == secrets
    assert split_secrets(masked) == (masked, ConnectionSecrets())


def test_a_new_certificate_must_fit_the_key_that_is_kept() -> None:
    kept = stored(certificate=MASK, privateKey=MASK)
    changed = document({**ENCRYPTED, "certificate": CERTIFICATE, "privateKey": MASK})
    fitting = ConnectionSecrets(certificate="an old one", private_key=KEY)
    parse_connection(changed, stored=kept, stored_secrets=fitting, now=NOW)
    with pytest.raises(InvalidRequest, match="does not belong"):
        parse_connection(
            changed, stored=kept, stored_secrets=ConnectionSecrets(certificate="", private_key=OTHER_KEY), now=NOW
        )


def test_a_kept_certificate_that_has_expired_does_not_stand_in_the_way() -> None:
    kept = stored(certificate=MASK, privateKey=MASK)
    had = ConnectionSecrets(certificate=CERTIFICATE, private_key=KEY)
    request = parse_connection(kept.to_json(), stored=kept, stored_secrets=had, now=NOW + 100 * 365 * 86400)
    assert request.configuration.private_key == KEY


def test_no_fault_shows_a_secret() -> None:
    secrets = {
        "password": "hunter2\u0000",
        "certificate": "hunter2",
        "privateKey": "--BEGIN PRIVATE KEY--hunter2!--END PRIVATE KEY--",
        "trustedCaCertificate": "hunter2",
        "downlinkAsKey": "hunter2" * 100,
    }
    found = violations(document({**ENCRYPTED, **secrets}))
    assert len(found) >= 5
    assert "hunter2" not in str(found)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted(field.alias or name for name, field in AmqpConfiguration.model_fields.items())


# On a busy machine the first example can take seconds, imports included.
@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=4), st.booleans())
def test_any_configuration_is_taken_or_refused(changes: dict[str, Any], replaces: bool) -> None:
    try:
        parse_connection(document({**PLAIN, **changes}), stored=stored() if replaces else None, now=NOW)
    except InvalidRequest as refused:
        places = [violation.pointer for violation in refused.violations]
        assert all(place.startswith("/configuration") for place in places) or not places


@given(ANYTHING)
def test_any_document_is_taken_or_refused(anything: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse_connection(anything, stored=None, now=NOW)
