"""Connection test: runs the steps of a connection and reports each. It publishes nothing and leaves nothing behind."""

import time
from typing import Any

import pika.exceptions
from ulid import ULID

from chalicelib.adapters.amqp.connection import AmqpConnection, Role, end
from chalicelib.adapters.amqp.error_translation import translate
from chalicelib.adapters.amqp.loop import Loop
from chalicelib.adapters.amqp.operation import one_line
from chalicelib.adapters.amqp.refusals import USE_EXISTING_EXCHANGE, channel_closed, is_reserved
from chalicelib.adapters.amqp.reply_codes import ACCESS_REFUSED
from chalicelib.adapters.amqp.topology import exchange_exists
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckStep
from chalicelib.domain.topic_patterns import binding_key
from chalicelib.errors import BrokerFault, BrokerMisconfigured
from chalicelib.vocabulary import EventType

_AT_TLS = {EventType.CLIENT_CERTIFICATE_REFUSED, EventType.CLIENT_CERTIFICATE_MISSING}
"""Faults that belong to step ``tls`` although a later step finds them: with TLS 1.3 the broker verifies the client
certificate after our side of the handshake has ended."""


_WITHOUT_WILDCARDS = {"amq.direct"}
"""Exchanges that every broker has, and that compare the whole routing key with the binding key."""
_INTERNAL = "amq.rabbitmq."
"""The prefix of RabbitMQ's own exchanges, such as amq.rabbitmq.trace. Clients may bind to them, but not publish."""


class AmqpConnectionTester:
    """Tests a connection at its broker without publishing. Implements ``ports.ConnectionTester``."""

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
            loop.run(_check_resources(amqp, connection, steps), min(deadline, time.monotonic() + 2 * seconds))
            steps.succeed()
        except Exception as error:  # noqa: BLE001  # translate raises other exceptions again
            steps.fail(translate(amqp.error or error, amqp.operation))
        finally:
            end(loop, amqp, in_order=True)
        return steps.done


class _Steps:
    """Results of the steps so far, with their durations. A step ends when the next one begins."""

    def __init__(self, connection: Connection) -> None:
        self.done: list[CheckStep] = []
        self._sentences = _sentences(connection)
        self._begun: list[tuple[str, float]] = []

    def begin(self, name: str) -> None:
        names = [begun for begun, _ in self._begun]
        if name in names:
            # pika tries the next address of the host: this step continues, and the later steps start over.
            position = names.index(name)
            del self._begun[position + 1 :], self.done[position:]
            return
        self.succeed()
        self._begun.append((name, time.monotonic()))

    def succeed(self) -> None:
        """Record that the step begun last has succeeded."""
        if self._begun:
            name, since = self._begun[-1]
            self.done.append(
                CheckStep(name=name, ok=True, milliseconds=_milliseconds_since(since), detail=self._sentences[name])
            )

    def fail(self, fault: BrokerFault) -> None:
        if fault.type in _AT_TLS and any(name == "tls" for name, _ in self._begun):
            while self._begun[-1][0] != "tls":
                self._begun.pop()
            self.done = self.done[: len(self._begun) - 1]
        elif fault.type is EventType.CERTIFICATE_UNUSABLE:
            # OpenSSL refuses the certificate before the connection starts, but users expect the error in step tls.
            self._begun[-1] = ("tls", self._begun[-1][1])
        name, since = self._begun[-1]
        self.done.append(CheckStep(name=name, ok=False, milliseconds=_milliseconds_since(since), detail=str(fault)))


def _milliseconds_since(moment: float) -> int:
    return round((time.monotonic() - moment) * 1000)


def _sentences(connection: Connection) -> dict[str, str]:
    """Return the sentence for the success of each step."""
    configuration = connection.configuration
    host, exchange = one_line(configuration.host_name), one_line(configuration.exchange_name)
    return {
        "resolve": f"Resolved the name of {host}. All its addresses are allowed.",
        "connect": f"Connected to {host}.",
        "tls": f"TLS is established. The certificate of {host} is trusted and matches its name.",
        "authenticate": "The broker accepted the login.",
        "vhost": f"Opened the virtual host {one_line(configuration.virtual_host)}.",
        "exchange": f"The exchange {exchange} exists. {_not_seen(configuration.exchange_name)}",
        "downlink": f"Bound a test queue to the exchange {exchange} with the key {one_line(_binding_key(connection))}."
        + _wildcard_warning(configuration.exchange_name, _binding_key(connection)),
    }


def _not_seen(exchange: str) -> str:
    """Return what the step ``exchange`` cannot find, because AMQP shows it to a publisher only."""
    internal = "" if is_reserved(exchange) else "is internal, or whether it "
    return (
        f"The test publishes nothing, so it cannot see whether the exchange {internal}"
        "refuses a routing key (topic permissions)."
    )


def _wildcard_warning(exchange: str, key: str) -> str:
    """Return a warning if the exchange may compare the binding key ``key`` without its wildcards, else nothing."""
    if exchange not in _WITHOUT_WILDCARDS and is_reserved(exchange):
        return ""
    if not {"*", "#"}.intersection(key.split(".")):
        return ""
    known = exchange in _WITHOUT_WILDCARDS
    place = f"{exchange} is a direct exchange, where" if known else "The test cannot see its type. On a direct exchange"
    return f" {place} {key} matches no routing key of a device and no downlink arrives; use a topic exchange."


def _binding_key(connection: Connection) -> str:
    return binding_key(connection.configuration.downlink_topic_pattern or "")


async def _check_resources(amqp: AmqpConnection, connection: Connection, steps: _Steps) -> None:
    """Run the steps on an open connection: the exchange, and the downlink queue if downlinks are enabled."""
    configuration = connection.configuration
    exchange = configuration.exchange_name

    def begin(step: str) -> None:
        amqp.operation = amqp.operation.at(step)
        steps.begin(step)

    begin("exchange")
    if not await exchange_exists(amqp, exchange):
        raise _exchange_missing(exchange)
    if exchange.startswith(_INTERNAL):
        sentence = f"The exchange {one_line(exchange)} is internal: RabbitMQ lets no client publish to it."
        raise BrokerMisconfigured(EventType.PERMISSION_REFUSED, f"{sentence} {USE_EXISTING_EXCHANGE}.")
    await _check_confirms(amqp)
    await _check_write_permission(amqp, exchange)
    if configuration.downlink_enabled and configuration.downlink_topic_pattern is not None:
        begin("downlink")
        # The prefix of the real queue: permissions can depend on the name.
        queue = f"iot-flow.{connection.id}.test-{ULID()}"
        channel = await amqp.channel()
        await amqp.call(channel, lambda done: channel.queue_declare(queue, exclusive=True, callback=done))
        key = _binding_key(connection)
        await amqp.call(channel, lambda done: channel.queue_bind(queue, exchange, key, callback=done))
        await amqp.call(channel, lambda done: channel.basic_consume(queue, _ignore, callback=done))


def _exchange_missing(exchange: str) -> BrokerFault:
    name = one_line(exchange)
    remedy = (
        USE_EXISTING_EXCHANGE
        if is_reserved(exchange)
        else "Create it, or save the connection with a user that may configure it, and the connector declares it"
    )
    return BrokerMisconfigured(EventType.EXCHANGE_MISSING, f"The exchange {name} is missing. {remedy}.")


async def _check_confirms(amqp: AmqpConnection) -> None:
    """Check that the broker supports publisher confirms. pika raises MethodNotImplemented if it does not offer them."""
    channel = await amqp.channel()
    await amqp.call(channel, lambda done: channel.confirm_delivery(_ignore, callback=done))
    channel.close()


async def _check_write_permission(amqp: AmqpConnection, exchange: str) -> None:
    """Check that the user may publish to the exchange. Raises BrokerMisconfigured.

    A publish would leave a message behind. Removing a binding needs the same write permission on its destination, and
    the broker checks permissions first. The removed binding comes from an exchange that does not exist, so nothing
    changes.
    """
    nowhere = f"iot-flow.test-{ULID()}"
    channel = await amqp.channel()
    try:
        await amqp.call(channel, lambda done: channel.exchange_unbind(exchange, nowhere, callback=done))
    except pika.exceptions.ChannelClosedByBroker as error:
        # A refusal for another reason, such as the missing source exchange, says nothing about writing.
        said = str(error.reply_text)
        if error.reply_code == ACCESS_REFUSED and exchange in said and nowhere not in said:
            raise channel_closed(error, amqp.operation.at("publish")) from error
    else:
        channel.close()


def _ignore(*_: Any) -> None:
    """Drop a confirm, which the test never gets, or a downlink, of which the connection's real queue gets a copy."""
