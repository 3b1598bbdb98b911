"""What was being done at which broker, for the sentence of a fault; and our own exceptions beside pika's."""

import unicodedata
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import BrokerProtocol

LONGEST_TEXT = 300


class AddressForbidden(Exception):
    """The broker's name stands for an address that nobody may connect to."""


class CertificateUnusable(Exception):
    """OpenSSL does not take the connection's own certificate, key or authority."""


class ConsumerCancelledByBroker(Exception):
    """The broker ended the consumer: the downlink queue was deleted or moved."""


class ConnectionBlocked(Exception):
    """The broker has a memory or disk alarm and takes no messages; the text is the broker's."""


class ConfirmTimeout(Exception):
    """A message was sent and not confirmed in time."""


@dataclass(frozen=True)
class BrokerOperation:
    """What was being done and where. ``step`` is one of those that a test of a connection shows, or ``publish``."""

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
    own_authority: bool = False
    """Whether the connection names whom to trust, rather than the system's authorities."""

    @classmethod
    def of(cls, connection: Connection, secrets: ConnectionSecrets, step: str = "") -> "BrokerOperation":
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
            secrets=tuple(value for value in secrets.model_dump().values() if value),
            step=step,
            own_authority=bool(secrets.trusted_ca_certificate),
        )

    def at(self, step: str) -> "BrokerOperation":
        return replace(self, step=step)

    def quote(self, text: Any) -> str:
        """What the broker said, fit to be shown."""
        return one_line(str(text), self.secrets)


def one_line(text: str, secrets: tuple[str, ...] = ()) -> str:
    """One line of at most 300 characters without control characters and without ``secrets``."""
    for secret in secrets:
        text = text.replace(secret, "*****")
    plain = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    line = " ".join(plain.split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
