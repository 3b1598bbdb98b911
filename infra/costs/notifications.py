"""AWS calls of notifications: of one that is sent, and of a minute of the reconciler without any."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.config import Settings
from chalicelib.domain.notifications.changes import Change
from chalicelib.entry.services import Services
from chalicelib.ports.notifications import Accepted
from chalicelib.vocabulary import NotificationKind
from infra.costs.measured import MINUTES_OF_A_MONTH
from infra.costs.meter import Meter
from infra.costs.polls import idle_connection
from infra.costs.prices import PRICES, Unit
from infra.costs.reports import function, memory_of
from infra.local.aws import data_stack

TENANT = "demo"
WEBHOOK = 0.3
"""Assumed seconds of a call of a webhook."""
CPU = 0.02
"""Assumed seconds of CPU of an invocation, most of it for TLS."""
REMOVED = 1
"""Write units of the last attempt that the meter does not see: it removes the notification from the index."""


@dataclass(frozen=True)
class NotificationUsage:
    """AWS calls and billed units."""

    calls: Counter[str]
    units: Mapping[Unit, float]


class _Webhook:
    """A webhook that accepts everything."""

    def send(self, _url: str, _headers: Mapping[str, str], _body: str) -> Accepted:
        return Accepted(204)


class NotificationPath:
    """A stage with one tenant that is notified over a webhook."""

    def __init__(self, settings: Settings) -> None:
        plain, self._services = Services(settings), Services(settings)
        data_stack.create(plain.dynamodb, plain.sqs, settings.resource_prefix, settings.timing)
        plain.notifications.replace(TENANT, {"url": "https://hooks.example.com/iot"}, None)
        self._services.webhooks = _Webhook()  # type: ignore[assignment]  # a cached property takes what it is given
        self._meter = Meter(plain.dynamodb, settings.resource_prefix)
        self._meter.listen(self._services.dynamodb, self._services.secretsmanager)

    def minute(self) -> NotificationUsage:
        """Return the usage of a run of the reconciler that finds no notification due."""
        self._services.subscriptions.of(TENANT)
        if self._services.dispatcher.run():
            raise RuntimeError("A notification is due.")
        return NotificationUsage(*self._meter.take())

    def sent(self) -> NotificationUsage:
        """Return the usage of a notification from its change to its delivery, alone in its invocation."""
        services = self._services
        services.subscriptions.of(TENANT)
        self._meter.take()
        connection = idle_connection(TENANT, time.time())
        change = Change(NotificationKind.OPENED, connection, time.time(), "costs", "The connection costs is open.")
        services.outbox.add(change)
        event: dict[str, Any] = {"jobs": [{"tenant": TENANT, "ids": [change.id]}]}
        services.notification_sender.handle(event, time.monotonic() + 60)
        found = NotificationUsage(*self._meter.take())
        stored = services.notification_store.find_one(TENANT, change.id)
        if stored is None or stored.status != "delivered":
            raise RuntimeError("The notification was not sent.")
        return found


def bill_of_sent(usage: NotificationUsage) -> dict[str, float]:
    """Return the dollars of one notification by line."""
    # The reconciler makes the first write.
    invocation = function(memory_of("notify"), CPU, sum(usage.calls.values()) - 1, WEBHOOK)
    return {
        "function": PRICES[Unit.INVOCATION] + invocation.gb_seconds * PRICES[Unit.GB_SECOND],
        "DynamoDB": usage.units[Unit.READ] * PRICES[Unit.READ]
        + (usage.units[Unit.WRITE] + REMOVED) * PRICES[Unit.WRITE],
        "secret": usage.units[Unit.SECRET_CALL] * PRICES[Unit.SECRET_CALL],
    }


def bill_of_month(usage: NotificationUsage) -> dict[str, float]:
    """Return the dollars of a month without notifications: of the stage, and of each tenant with a webhook."""
    return {
        "the reconciler's reads": MINUTES_OF_A_MONTH * usage.units[Unit.READ] * PRICES[Unit.READ],
        "secret of each webhook": PRICES[Unit.SECRET_MONTH],
    }
