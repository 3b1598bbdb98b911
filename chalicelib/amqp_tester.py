"""Trying a connection step by step, leaving nothing behind at the broker."""

import time
from collections.abc import Callable

from chalicelib.amqp_connection import Link, end
from chalicelib.amqp_errors import translate
from chalicelib.amqp_loop import Loop
from chalicelib.amqp_place import one_line
from chalicelib.amqp_topology import exchange_exists
from chalicelib.config import Settings
from chalicelib.errors import BrokerMisconfigured
from chalicelib.models import Connection, ConnectionSecrets
from chalicelib.patterns import binding_key
from chalicelib.ports import StepResult

HEARTBEAT = 60


class AmqpConnectionTester:
    """A ``ports.ConnectionTester``."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.allowed_private_networks

    def test(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> list[StepResult]:
        watch = _Stopwatch()
        loop = Loop()
        link = Link(
            loop, connection, secrets, role="test", heartbeat=HEARTBEAT, allowed=self._allowed, on_step=watch.begin
        )  # fmt: skip
        seconds = connection.configuration.connection_timeout / 1000
        try:
            loop.run(link.open(), min(deadline, time.monotonic() + seconds))
            loop.run(_look(link, connection, watch.begin), min(deadline, time.monotonic() + seconds))
            watch.end(ok=True)
        except Exception as error:  # noqa: BLE001  # translate raises again what is not the broker's fault
            fault = translate(link.error or error, link.place.at(watch.name))
            watch.end(ok=False, detail=str(fault))
        finally:
            end(loop, link, in_order=True)
        return watch.steps


async def _look(link: Link, connection: Connection, begin: Callable[[str], None]) -> None:
    """Finds the exchange, and tries what downlinks need with a queue that goes with the connection."""
    configuration = connection.configuration
    exchange = configuration.exchange_name
    begin("exchange")
    if exchange and not await exchange_exists(link, exchange):
        raise BrokerMisconfigured(
            "EXCHANGE_MISSING",
            f"The exchange {one_line(exchange)} is missing: create it, or leave it to the connection, which declares "
            "it (topic, durable) when it opens if its user may.",
        )
    if not configuration.downlink_enabled:
        return
    begin("downlink")
    channel = await link.channel()
    declared = await link.call(channel, lambda done: channel.queue_declare("", exclusive=True, callback=done))
    if exchange:
        queue, key = declared.method.queue, binding_key(configuration.downlink_topic_pattern or "")
        await link.call(channel, lambda done: channel.queue_bind(queue, exchange, key, callback=done))


class _Stopwatch:
    """The steps as they begin; each ends with the next."""

    def __init__(self) -> None:
        self.steps: list[StepResult] = []
        self.name = "resolve"
        self._began = time.monotonic()

    def begin(self, name: str) -> None:
        if name == self.name:
            return
        self.end(ok=True)
        # A name with several addresses: only the last attempt counts.
        self.steps = self.steps[: next((at for at, step in enumerate(self.steps) if step.name == name), None)]
        self.name = name
        self._began = time.monotonic()

    def end(self, *, ok: bool, detail: str = "") -> None:
        milliseconds = round((time.monotonic() - self._began) * 1000)
        self.steps.append(StepResult(self.name, ok, milliseconds, detail))
