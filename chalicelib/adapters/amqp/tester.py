"""Trying a connection step by step, as its owner watches. Nothing is published, and nothing is left at the broker."""

import time
from typing import Any

import pika.exceptions
from ulid import ULID

from chalicelib.adapters.amqp.connection import AmqpConnection, Role, end
from chalicelib.adapters.amqp.error_translation import translate
from chalicelib.adapters.amqp.loop import Loop
from chalicelib.adapters.amqp.operation import one_line
from chalicelib.adapters.amqp.refusals import OTHER_NAME, channel_closed, is_reserved
from chalicelib.adapters.amqp.reply_codes import ACCESS_REFUSED
from chalicelib.adapters.amqp.topology import exchange_exists
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckStep
from chalicelib.domain.topic_patterns import binding_key
from chalicelib.errors import BrokerFault, BrokerMisconfigured
from chalicelib.vocabulary import EventType

_AT_TLS = {EventType.CLIENT_CERTIFICATE_REFUSED, EventType.CLIENT_CERTIFICATE_MISSING}
"""With TLS 1.3 the broker looks at the client's certificate when the handshake is over for us: it is TLS's step."""


class AmqpConnectionTester:
    """A ``ports.ConnectionTester``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def test(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> list[CheckStep]:
        loop, steps = Loop(), _Steps(connection)
        amqp = AmqpConnection(
            loop, connection, secrets, role=Role.TEST,
            allowed=self._settings.allowed_private_networks, on_step=steps.begin,
        )  # fmt: skip
        seconds = connection.configuration.connection_timeout / 1000
        try:
            loop.run(amqp.open(), min(deadline, time.monotonic() + seconds))
            loop.run(_look(amqp, connection, steps), min(deadline, time.monotonic() + 2 * seconds))
            steps.succeed()
        except Exception as error:  # noqa: BLE001  # translate raises again what is not the broker's fault
            steps.fail(translate(amqp.error or error, amqp.operation))
        finally:
            end(loop, amqp, in_order=True)
        return steps.done


class _Steps:
    """What was done, and how long each step took; a step ends when the next one begins."""

    def __init__(self, connection: Connection) -> None:
        self.done: list[CheckStep] = []
        self._sentences = _sentences(connection)
        self._begun: list[tuple[str, float]] = []

    def begin(self, name: str) -> None:
        names = [begun for begun, _ in self._begun]
        if name in names:
            # The next of several addresses: the step goes on, and what came after it is tried again.
            position = names.index(name)
            del self._begun[position + 1 :], self.done[position:]
            return
        self.succeed()
        self._begun.append((name, time.monotonic()))

    def succeed(self) -> None:
        """The step that was begun last is done."""
        if self._begun:
            name, since = self._begun[-1]
            self.done.append(CheckStep(name=name, ok=True, milliseconds=_since(since), detail=self._sentences[name]))

    def fail(self, fault: BrokerFault) -> None:
        if fault.type in _AT_TLS and any(name == "tls" for name, _ in self._begun):
            while self._begun[-1][0] != "tls":
                self._begun.pop()
            self.done = self.done[: len(self._begun) - 1]
        elif fault.type is EventType.CERTIFICATE_UNUSABLE:
            # Found while the connection was prepared: there is nothing to connect with.
            self._begun[-1] = ("tls", self._begun[-1][1])
        name, since = self._begun[-1]
        self.done.append(CheckStep(name=name, ok=False, milliseconds=_since(since), detail=str(fault)))


def _since(moment: float) -> int:
    return round((time.monotonic() - moment) * 1000)


def _sentences(connection: Connection) -> dict[str, str]:
    """What a step that succeeded has shown."""
    configuration = connection.configuration
    host, exchange = one_line(configuration.host_name), one_line(configuration.exchange_name)
    return {
        "resolve": f"The name of {host} was resolved to addresses that may be used.",
        "connect": f"{host} accepted the connection.",
        "tls": f"{host} speaks TLS and showed a certificate for its name that is trusted.",
        "authenticate": "The broker accepted the login.",
        "vhost": f"The virtual host {one_line(configuration.virtual_host)} was opened.",
        "exchange": f"The exchange {exchange} exists.",
        "downlink": f"A queue could be bound to {exchange} with {one_line(_binding_key(connection))}.",
    }


def _binding_key(connection: Connection) -> str:
    return binding_key(connection.configuration.downlink_topic_pattern or "")


async def _look(amqp: AmqpConnection, connection: Connection, steps: _Steps) -> None:
    configuration = connection.configuration
    exchange = configuration.exchange_name

    def begin(step: str) -> None:
        amqp.operation = amqp.operation.at(step)
        steps.begin(step)

    begin("exchange")
    if not await exchange_exists(amqp, exchange):
        raise _missing(exchange)
    await _must_be_writable(amqp, exchange)
    if configuration.downlink_enabled and configuration.downlink_topic_pattern is not None:
        begin("downlink")
        # Named as the real queue is: what a user may do can depend on it.
        queue = f"iot-flow.{connection.id}.test-{ULID()}"
        channel = await amqp.channel()
        await amqp.call(channel, lambda done: channel.queue_declare(queue, exclusive=True, callback=done))
        key = _binding_key(connection)
        await amqp.call(channel, lambda done: channel.queue_bind(queue, exchange, key, callback=done))
        await amqp.call(channel, lambda done: channel.basic_consume(queue, _nothing, callback=done))


def _missing(exchange: str) -> BrokerFault:
    name = one_line(exchange)
    remedy = (
        OTHER_NAME
        if is_reserved(exchange)
        else "create it, or save the connection with a user who may, and it is created"
    )
    return BrokerMisconfigured(EventType.EXCHANGE_MISSING, f"The exchange {name} is missing: {remedy}.")


async def _must_be_writable(amqp: AmqpConnection, exchange: str) -> None:
    """Raises BrokerMisconfigured when the user may not publish to the exchange.

    A publish would leave a message behind. To remove a binding needs the same right (to write to the exchange that is
    the binding's destination), which is looked at first, and a binding from nowhere does not exist: nothing changes.
    """
    nowhere = f"iot-flow.test-{ULID()}"
    channel = await amqp.channel()
    try:
        await amqp.call(channel, lambda done: channel.exchange_unbind(exchange, nowhere, callback=done))
    except pika.exceptions.ChannelClosedByBroker as error:
        # What the broker says about the other end, or about the method, is not our question.
        said = str(error.reply_text)
        if error.reply_code == ACCESS_REFUSED and exchange in said and nowhere not in said:
            raise channel_closed(error, amqp.operation.at("publish")) from error
    else:
        channel.close()


def _nothing(*_: Any) -> None:
    """A downlink that comes within the moment of the test: it is another queue's, too."""
