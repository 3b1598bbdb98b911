"""Validation of requests that create or replace a connection.

All violations are reported together, before anything is saved.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

from chalicelib.domain.connection import Alarm, Connection, ConnectionRequest, ConnectionSecrets
from chalicelib.domain.connectors import amqp091
from chalicelib.domain.connectors.amqp091 import SECRET_FIELDS, AmqpConfiguration
from chalicelib.domain.connectors.common import MASK
from chalicelib.domain.routing_keys import compile_pattern
from chalicelib.domain.topic_patterns import binding_key
from chalicelib.domain.validation.alarms import MAX_ALARMS, alarm_violations
from chalicelib.domain.validation.broker_addresses import forbidden, literal_address, parse_host_port
from chalicelib.domain.validation.certificates import check_ca, check_certificate_pair, normalise_pem
from chalicelib.domain.validation.violations import (
    MAX_VIOLATIONS,
    Values,
    name_violations,
    short_string_violations,
    text_violations,
    violations_of,
    well_formed,
)
from chalicelib.errors import InvalidRequest, PatternError, Violation
from chalicelib.kernel.json_pointer import pointer
from chalicelib.kernel.text import is_utf8

READ_ONLY = frozenset(
    {
        "id",
        "state",
        "stateReason",
        "downlinkState",
        "downlinkStateReason",
        "version",
        "createdAt",
        "updatedAt",
        "startupTime",
        "nextAttempt",
        "routing",
        "warnings",
    }
)

Networks = Sequence[IPv4Network | IPv6Network]

_LINES = ("username", "password", "exchangeName", "virtualHost", "downlinkAsId", "downlinkAsKey")
_PATTERNS = ("uplinkTopicPattern", "downlinkTopicPattern")


def parse_connection(
    document: object,
    *,
    stored: Connection | None,
    now: float,
    stored_secrets: ConnectionSecrets | None = None,
    allowed: Networks = (),
) -> ConnectionRequest:
    """Return the request in ``document``, with normalised PEM texts and stored secrets in place of their masks.

    ``stored`` and ``stored_secrets`` are those of the replaced connection, None for a new one. Without
    ``stored_secrets``, masks stay in the result and a new certificate is not compared with the stored key.
    ``now``: Unix seconds, to check certificates. ``allowed``: private networks in which a broker may be. Raises
    InvalidRequest with all violations, at most MAX_VIOLATIONS.
    """
    if not isinstance(document, dict):
        raise InvalidRequest([Violation("", "A connection is a JSON object; send one.")])
    violations: list[Violation] = []
    if stored is not None:
        violations = _identity_violations(document, stored)
        document = {name: value for name, value in document.items() if name not in READ_ONLY}
    request, wrong = _structure(document)
    violations += wrong
    wrong_places = {violation.pointer for violation in wrong}
    values = well_formed(document.get("configuration"), "/configuration", wrong_places)
    kept = {} if stored_secrets is None else stored_secrets.model_dump(by_alias=True, exclude_none=True)
    violations += _configuration(values, wrong_places, stored, allowed) + _certificates(values, kept, now)
    violations += name_violations(document.get("name"), "/name")
    violations += alarm_violations(document.get("alarms"), wrong_places)
    violations = _unique(violations)
    if violations or request is None:
        raise InvalidRequest(violations[:MAX_VIOLATIONS])
    configuration = _normalised(request.configuration)
    if stored_secrets is not None:
        secrets = merge_secrets(configuration, stored_secrets)
        configuration = configuration.model_copy(update=dict(secrets))
    return request.model_copy(update={"configuration": configuration})


def check_structure(document: object, stored: Connection) -> None:
    """Check the types, lengths, names and id of ``document``, which are invalid for every version of ``stored``.

    Raises InvalidRequest with the violations.
    """
    if not isinstance(document, dict):
        raise InvalidRequest([Violation("", "A connection is a JSON object; send one.")])
    _, violations = _structure({name: value for name, value in document.items() if name not in READ_ONLY})
    violations = _identity_violations(document, stored) + violations
    if violations:
        raise InvalidRequest(violations)


def _identity_violations(document: Mapping[str, Any], stored: Connection) -> list[Violation]:
    if document.get("id") in (None, stored.id):
        return []
    return [Violation("/id", "This is not the id of the connection; omit it or send the right one.")]


def split_secrets(configuration: AmqpConfiguration) -> tuple[AmqpConfiguration, ConnectionSecrets]:
    """Return the configuration with ``MASK`` for each secret, and the secrets, None for a mask."""
    given = {name: getattr(configuration, name) for name in ConnectionSecrets.model_fields}
    masks = {name: MASK for name, value in given.items() if value is not None}
    return configuration.model_copy(update=masks), merge_secrets(configuration, ConnectionSecrets())


def merge_secrets(configuration: AmqpConfiguration, stored: ConnectionSecrets) -> ConnectionSecrets:
    """Return the secrets of a configuration, with the stored secret in place of each ``MASK``."""
    given = {name: getattr(configuration, name) for name in ConnectionSecrets.model_fields}
    return ConnectionSecrets(
        **{name: getattr(stored, name) if value == MASK else value for name, value in given.items()}
    )


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_KNOWN = {"": _names(ConnectionRequest), "/configuration": _names(AmqpConfiguration)} | {
    f"/alarms/{position}": _names(Alarm) for position in range(MAX_ALARMS)
}


def _structure(document: Mapping[str, Any]) -> tuple[ConnectionRequest | None, list[Violation]]:
    """Check the structure: types, lengths, mandatory and unknown fields."""
    surrogates = surrogate_violations(document)
    if surrogates:
        return None, surrogates
    try:
        # Strict validation accepts strings for enumerations only when it parses JSON text.
        text = json.dumps(document)
        return ConnectionRequest.model_validate_json(text, strict=True, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, violations_of(error, _KNOWN)


def surrogate_violations(document: object) -> list[Violation]:
    """Return the first MAX_VIOLATIONS lone surrogates: JSON escapes can write them, but UTF-8 cannot."""
    places = islice(_surrogates(document), MAX_VIOLATIONS)
    return [
        Violation(place, "This text contains a lone surrogate, which UTF-8 cannot encode. Remove it.")
        for place in places
    ]


def _surrogates(value: object, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if is_utf8(name):
                yield from _surrogates(member, place + pointer([name]))
            else:
                yield place
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _surrogates(member, f"{place}/{position}")
    elif isinstance(value, str) and not is_utf8(value):
        yield place


def _unique(violations: Sequence[Violation]) -> list[Violation]:
    return list(dict.fromkeys(violations))


def _configuration(
    values: Values, wrong_places: set[str], stored: Connection | None, allowed: Networks
) -> list[Violation]:
    if not values:
        return []
    violations = _host(values, allowed) + _masks(values, stored) + amqp091.together(values, wrong_places)
    for name in _PATTERNS:
        violations += _pattern(values, name)
    for name in _LINES:
        violations += text_violations(values.get(name), f"/configuration/{name}")
    violations += text_violations(values.get("description"), "/configuration/description", breaks="\r\n\t", shown=True)
    for name in ("exchangeName", "virtualHost"):
        violations += short_string_violations(values.get(name), f"/configuration/{name}")
    if values.get("exchangeName") == "":
        detail = (
            "exchangeName must not be empty: queues cannot be bound to the default exchange. Omit it to use amq.topic."
        )
        violations.append(Violation("/configuration/exchangeName", detail))
    return violations


def _host(values: Values, allowed: Networks) -> list[Violation]:
    text = values.get("hostName")
    if not isinstance(text, str):
        return []
    place = "/configuration/hostName"
    if any(character.isspace() for character in text):
        return [Violation(place, "The host contains a blank. Remove it, and write one host only.")]
    try:
        host, _ = parse_host_port(text, amqp091.DEFAULT_PORTS.get(str(values.get("protocol")), 0))
    except ValueError as error:
        return [Violation(place, str(error))]
    address = literal_address(host)
    if address is not None and forbidden(address, allowed):
        return [Violation(place, "This address is not public. Use a broker that is reachable from the internet.")]
    return []


def _masks(values: Values, stored: Connection | None) -> list[Violation]:
    located = "hostName" in values and "protocol" in values
    moved = stored is not None and located and _endpoint(values) != _endpoint(stored.configuration.to_json())
    violations = []
    for name in SECRET_FIELDS:
        if values.get(name) != MASK:
            continue
        place = f"/configuration/{name}"
        if stored is None:
            violations.append(
                Violation(
                    place, f"{MASK} stands for a stored value, but a new connection has none. Send the value itself."
                )
            )
        elif stored.configuration.to_json()[name] is None:
            violations.append(
                Violation(place, f"{MASK} keeps a stored value, but none is stored. Send the value itself.")
            )
        elif moved:
            detail = (
                "hostName or protocol changed. Send this secret again: a stored secret is not sent to another host."
            )
            violations.append(Violation(place, detail))
    return violations


def _endpoint(values: Values) -> tuple[str, object, object]:
    """Return the endpoint of a configuration; two spellings of one host and port are equal."""
    protocol, text = values.get("protocol"), values.get("hostName")
    try:
        host, port = parse_host_port(str(text), amqp091.DEFAULT_PORTS.get(str(protocol), 0))
    except ValueError:
        return (str(protocol), text, None)
    return (str(protocol), host.lower(), port)


def _pattern(values: Values, name: str) -> list[Violation]:
    text, place = values.get(name), f"/configuration/{name}"
    if not isinstance(text, str):
        return []
    violations = text_violations(text, place)
    try:
        compile_pattern(text)
    except PatternError as error:
        detail = str(error)
        return [*violations, Violation(place, detail[:1].upper() + detail[1:] + ".")]
    if name == "downlinkTopicPattern":
        violations += short_string_violations(binding_key(text), place)
    return violations


def _certificates(values: Values, kept: Mapping[str, str], now: float) -> list[Violation]:
    """Check new certificates and keys. ``kept``: the stored secrets, to compare a new certificate with a kept key."""

    def text(name: str) -> str | None:
        value = values.get(name)
        value = kept.get(name) if value == MASK else value
        return value if isinstance(value, str) else None

    def is_new(name: str) -> bool:
        return isinstance(values.get(name), str) and values[name] != MASK

    if values.get("protocol") == "TCP":
        return []
    violations: list[Violation] = []
    # A stored certificate was checked when it was saved; its expiry must not block other changes.
    if is_new("certificate") or is_new("privateKey"):
        violations += check_certificate_pair(text("certificate"), text("privateKey"), now)
    bundle = text("trustedCaCertificate") if is_new("trustedCaCertificate") else None
    return violations + (check_ca(bundle, now) if bundle is not None else [])


def _normalised(configuration: AmqpConfiguration) -> AmqpConfiguration:
    given = {name: getattr(configuration, name) for name in amqp091.PEM_FIELDS.values()}
    pem = {name: normalise_pem(text) for name, text in given.items() if text not in (None, MASK)}
    return configuration.model_copy(update=pem)
