"""Validation of the settings of notifications. All violations are reported together."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ValidationError

from chalicelib.domain.connectors.common import MASK
from chalicelib.domain.notifications.settings import NotificationRequest, QuietHours
from chalicelib.domain.validation.alarms import time_zone
from chalicelib.domain.validation.broker_addresses import Network, forbidden, literal_address, parse_host_port
from chalicelib.domain.validation.connections import surrogate_violations
from chalicelib.domain.validation.violations import MAX_VIOLATIONS, violations_of
from chalicelib.errors import InvalidRequest, Violation

READ_ONLY = frozenset({"createdAt", "updatedAt", "version"})
_PORTS = {"https": 443, "http": 80}
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_KNOWN = {"": [*_names(NotificationRequest), "secret"], "/quietHours": _names(QuietHours)}


@dataclass(frozen=True)
class WebhookAddress:
    """The parts of a webhook's URL. ``target``: the path with the query."""

    secure: bool
    host: str
    port: int
    target: str


@dataclass(frozen=True)
class Allowed:
    """The private networks and the topics, by their ARNs, that the stage allows."""

    networks: Sequence[Network]
    topics: Sequence[str]


def parse_settings(document: object, allowed: Allowed, *, exists: bool) -> NotificationRequest:
    """Return the request in ``document``. ``exists``: the tenant has settings, so a masked secret may be sent back.

    Raises InvalidRequest with all violations.
    """
    if not isinstance(document, dict):
        raise InvalidRequest([Violation("", "The settings are a JSON object; send one.")])
    violations: list[Violation] = []
    fields = {name: value for name, value in document.items() if name not in READ_ONLY}
    secret = fields.pop("secret", None)
    if secret is not None and not (exists and secret == MASK):
        detail = "The secret is made by this API; leave it out. POST /notifications/rotate-secret makes another one."
        violations.append(Violation("/secret", detail))
    request, wrong = _structure(fields)
    violations += wrong
    places = {violation.pointer for violation in wrong}
    more = [*_target(fields, allowed), *_quiet_hours(fields.get("quietHours"))]
    violations += [violation for violation in more if violation.pointer not in places]
    if violations or request is None:
        raise InvalidRequest(list(dict.fromkeys(violations))[:MAX_VIOLATIONS])
    return request


def parse_url(url: str, networks: Sequence[Network]) -> WebhookAddress:
    """Return the parts of a webhook's URL. Raises ValueError with a sentence for the user.

    Only an address that the stage allows although it is private may be called without TLS.
    """
    if not _VISIBLE.fullmatch(url):
        raise ValueError("Write the URL in ASCII without blanks; encode other characters with % and the host as xn--.")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("This is not a URL. Write one such as https://example.com/hook.") from error
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.netloc:
        raise ValueError("Write a URL that begins with https://, such as https://example.com/hook.")
    if "@" in parts.netloc:
        raise ValueError("Leave out the user and the password: a URL is no place for secrets.")
    if parts.fragment:
        raise ValueError("Leave out the part after #: it is never sent.")
    host, port = parse_host_port(parts.netloc, _PORTS[scheme])
    address = literal_address(host)
    if address is not None and forbidden(address, networks):
        raise ValueError("This address is not public. Use a webhook that is reachable from the internet.")
    if scheme == "http" and not (address is not None and any(address in network for network in networks)):
        raise ValueError("Use https: a notification must not be read or changed on its way.")
    return WebhookAddress(scheme == "https", host, port, _path(parts))


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _structure(document: Mapping[str, Any]) -> tuple[NotificationRequest | None, list[Violation]]:
    surrogates = surrogate_violations(document)
    if surrogates:
        return None, surrogates
    try:
        # Strict validation accepts strings for enumerations only when it parses JSON text.
        text = json.dumps(document)
        return NotificationRequest.model_validate_json(text, strict=True, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, violations_of(error, _KNOWN)


def _target(document: Mapping[str, Any], allowed: Allowed) -> list[Violation]:
    url, topic = document.get("url"), document.get("topicArn")
    if url is None and topic is None:
        return [Violation("/url", "Send url, the address of a webhook, or topicArn, an SNS topic of the operator.")]
    if url is not None and topic is not None:
        return [Violation("/topicArn", "Send either url or topicArn, not both.")]
    if isinstance(url, str):
        try:
            parse_url(url, allowed.networks)
        except ValueError as error:
            return [Violation("/url", str(error))]
    if isinstance(topic, str) and topic not in allowed.topics:
        detail = "The operator does not offer this topic. Use a topic in the setting NOTIFICATION_TOPICS, or a url."
        return [Violation("/topicArn", detail)]
    return []


def _quiet_hours(value: object) -> list[Violation]:
    if not isinstance(value, dict):
        return []
    violations = []
    zone = value.get("timezone")
    if isinstance(zone, str) and time_zone(zone) is None:
        detail = "This is not a time zone of the IANA database; write one such as Europe/Paris."
        violations.append(Violation("/quietHours/timezone", detail))
    if value.get("startTime") is not None and value.get("startTime") == value.get("endTime"):
        detail = "The quiet hours would never end. Set another time, or leave quietHours out."
        violations.append(Violation("/quietHours/endTime", detail))
    return violations
