"""Context of a broker operation, used to build error messages, and the exceptions that pika does not have."""

import json
import unicodedata
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.domain.amqp_limits import MAX_CONNECTIONS
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import BrokerProtocol
from chalicelib.domain.connectors.common import MASK

LONGEST_TEXT = 300
SHORTEST_MASKED = 8
"""Characters."""
"""Characters of a broker's text in a message."""


class AddressForbidden(Exception):
    """The broker's name resolves to an address that connections must not use."""


class CertificateUnusable(Exception):
    """OpenSSL rejects the certificate, key or authority of the connection."""


class ConsumerCancelledByBroker(Exception):
    """The broker cancelled the consumer because the downlink queue was deleted or moved."""


class ConnectionBlocked(Exception):
    """The broker blocks publishing because of a memory or disk alarm. The text is the broker's reason."""


class ConfirmTimeout(Exception):
    """The broker did not confirm a message within ``actionTimeout``."""


@dataclass(frozen=True)
class BrokerOperation:
    """Broker, user and step of an operation. ``step``: a step of the connection test, or ``publish``.

    ``connection_timeout`` and ``action_timeout`` are in milliseconds. ``quote`` removes the ``secrets`` from texts.
    """

    host: str
    tls: bool
    user: str | None
    virtual_host: str
    exchange: str
    client_certificate: bool
    connection_timeout: int
    action_timeout: int
    secrets: tuple[str, ...]
    step: str = ""
    max_connections: int = MAX_CONNECTIONS
    own_authority: bool = False
    """True when ``trustedCaCertificate`` replaces the system's authorities."""

    @classmethod
    def of(cls, connection: Connection, secrets: ConnectionSecrets, step: str = "") -> "BrokerOperation":
        """Build the context of a connection."""
        configuration = connection.configuration
        return cls(
            host=one_line(configuration.host_name),
            tls=configuration.protocol is BrokerProtocol.SSL,
            user=configuration.username,
            virtual_host=configuration.virtual_host,
            exchange=configuration.exchange_name,
            client_certificate=bool(secrets.certificate),
            connection_timeout=configuration.connection_timeout,
            action_timeout=configuration.action_timeout,
            max_connections=configuration.max_connections,
            secrets=tuple(value for value in secrets.model_dump().values() if value),
            step=step,
            own_authority=bool(secrets.trusted_ca_certificate),
        )

    def at(self, step: str) -> "BrokerOperation":
        """Return a copy for another step."""
        return replace(self, step=step)

    def quote(self, text: Any) -> str:
        """Return a broker's text in a form that is safe to show: one line without secrets."""
        return one_line(str(text), self.secrets)


def _spellings(secrets: tuple[str, ...]) -> list[str]:
    """Return the spellings of secrets that a broker's text may contain, the longest first.

    A secret of fewer than eight characters is masked only where it is quoted: elsewhere its mask would show a reader
    of a known sentence which characters it has.
    """
    found: set[str] = set()
    for secret in secrets:
        escaped = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        if len(secret) >= SHORTEST_MASKED:
            found |= escaped
        else:
            found |= {f"{quote}{each}{quote}" for each in escaped for quote in "'\"`"}
    return sorted(found, key=len, reverse=True)


def one_line(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return the text as one line of at most 300 characters, without control characters and ``secrets``."""
    for spelling in _spellings(secrets):
        text = text.replace(spelling, MASK)
    plain = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    line = " ".join(plain.split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
