"""Wiring of the services: builds each service when it is first used.

Adapters (``chalicelib.entry.adapters``) and services are imported where they are built: importing boto3 and
cryptography adds a third of a second to a cold start, and no function needs all modules.
"""
# ruff: noqa: PLC0415  # imports are late, as the docstring explains

import random
import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.config import settings
from chalicelib.entry.apis import Apis
from chalicelib.entry.collector import collect_less_often
from chalicelib.monitoring import Monitoring, configure_logging
from chalicelib.monitoring.request_ids import InheritingThreads

if TYPE_CHECKING:
    from chalicelib.adapters.aws.coordination.claims import DynamoDbClaims
    from chalicelib.adapters.aws.sqs import SqsWakeQueue
    from chalicelib.adapters.codec.handler import CodecHandler
    from chalicelib.connections.replay import Replay
    from chalicelib.connections.service import ConnectionService
    from chalicelib.connections.tests import ConnectionTests
    from chalicelib.downlinks.encoding import DownlinkEncoder
    from chalicelib.downlinks.polls import PollHandler
    from chalicelib.downlinks.sender import DownlinkSender
    from chalicelib.upkeep.alarms import Alarms
    from chalicelib.upkeep.reconciler import Reconciler
    from chalicelib.uplinks.admission import Admission
    from chalicelib.uplinks.decoding.decoder import PayloadDecoder
    from chalicelib.uplinks.decoding.tenant_drivers import TenantDrivers
    from chalicelib.uplinks.forwarder import Forwarder
    from chalicelib.uplinks.ingress import Ingress
    from chalicelib.uplinks.retention import Retention
    from chalicelib.uplinks.routing import RoutingCache


class Services(Apis):
    """All services of one process, each built at its first use. A test assigns a double to an attribute."""

    # Services

    @cached_property
    def monitoring(self) -> Monitoring:
        return Monitoring(self.event_log, self.statistics, self.clock)

    @cached_property
    def routing(self) -> "RoutingCache":
        from chalicelib.uplinks.routing import RoutingCache

        return RoutingCache(self.connection_store, self.flow_store)

    @cached_property
    def ingress(self) -> "Ingress":
        from chalicelib.uplinks.ingress import Ingress, IngressContext

        context = IngressContext(
            connections=self.connection_store,
            routing=self.routing,
            application_servers=self.application_server_store,
            queues=self.uplink_queues,
            wakes=self.wake_queue,
            # A dedicated pool: callers that block on Ingress.store run in the threads of other pools, so sharing one
            # could deadlock.
            executor=_threads("ingress", 16),
            clock=self.clock,
            settings=self.settings,
        )
        return Ingress(context)

    @cached_property
    def forwarder(self) -> "Forwarder":
        """Forwarder of the fast lane."""
        return self._forwarder(self.wake_queue, self.slow_wake_queue)

    @cached_property
    def slow_forwarder(self) -> "Forwarder":
        from chalicelib.uplinks.admission import Admission

        admission = Admission(self.slots, self.settings.timing.function_timeout, self.clock)
        return self._forwarder(self.slow_wake_queue, None, admission)

    def _forwarder(
        self, wakes: "SqsWakeQueue", slow_wakes: "SqsWakeQueue | None", admission: "Admission | None" = None
    ) -> "Forwarder":
        from chalicelib.uplinks.drain_context import DrainContext
        from chalicelib.uplinks.forwarder import Forwarder

        context = DrainContext(
            connections=self.connection_store,
            queues=self.uplink_queues,
            wakes=wakes,
            slow_wakes=slow_wakes,
            admission=admission,
            pool=self.publisher_pool,
            failed=self.failed_messages,
            monitoring=self.monitoring,
            clock=self.clock,
            random=random.random,
            timing=self.settings.timing,
            calls=_threads("sqs", 16),
            decoder=self.decoder,
        )
        return Forwarder(context, _threads("drain", 10))

    @cached_property
    def drivers(self) -> "TenantDrivers":
        from chalicelib.uplinks.decoding.tenant_drivers import TenantDrivers

        return TenantDrivers(self.driver_store, time.monotonic, self.settings.timing.recheck)

    @cached_property
    def decoder(self) -> "PayloadDecoder":
        from chalicelib.uplinks.decoding.decoder import PayloadDecoder

        return PayloadDecoder(self.codec_client, self.drivers, self.monitoring, time.monotonic)

    @cached_property
    def encoder(self) -> "DownlinkEncoder":
        from chalicelib.downlinks.encoding import DownlinkEncoder

        return DownlinkEncoder(self.codec_client, self.drivers, self.routing)

    @cached_property
    def reconciler(self) -> "Reconciler":
        from chalicelib.upkeep.reconciler import Reconciler, ReconcilerContext
        from chalicelib.upkeep.state_notices import Checks

        context = ReconcilerContext(
            connections=self.connection_store,
            wakes=self.wake_queue,
            polls=self.poll_queue,
            queues=self.uplink_queues,
            slots=self.slots,
            finish=self.connections.finish,
            resume_replays=self.replay.resume,
            clock=self.clock,
            timing=self.settings.timing,
            alarms=Checks([self.alarms, self.state_notices]),
            retention=self.retention,
            send_notifications=self.dispatcher.run,
            executor=_threads("reconciler", 32),
        )
        return Reconciler(context)

    @cached_property
    def alarms(self) -> "Alarms":
        from chalicelib.upkeep.alarms import Alarms

        restart = self.connections.restart
        return Alarms(self.statistics, self.claims, self.monitoring, restart, self.clock, self.outbox)

    @cached_property
    def retention(self) -> "Retention":
        from chalicelib.uplinks.retention import Retention

        return Retention(self.uplink_queues, self.claims, self.monitoring, self.clock, self.outbox)

    @cached_property
    def claims(self) -> "DynamoDbClaims":
        from chalicelib.adapters.aws.coordination.claims import DynamoDbClaims

        return DynamoDbClaims(self.dynamodb, self.settings.table("coordination"), self.clock)

    @cached_property
    def poll_handler(self) -> "PollHandler":
        from chalicelib.adapters.amqp.consumer import AmqpDownlinkConsumer
        from chalicelib.downlinks.intake import DownlinkIntake
        from chalicelib.downlinks.polls import PollContext, PollHandler

        intake = DownlinkIntake(
            self.downlink_queue,
            self.secret_store,
            self.ingress,
            self.monitoring,
            _threads("rejections", 16),
            self.clock,
        )
        intake.encode = self.encoder.encode
        context = PollContext(
            connections=self.connection_store,
            secrets=self.secret_store,
            leases=self.leases,
            intake=intake,
            monitoring=self.monitoring,
            make_consumer=lambda: AmqpDownlinkConsumer(self.settings),
            executor=_threads("poll", 16),
            clock=self.clock,
            random=random.random,
            timing=self.settings.timing,
        )
        return PollHandler(context)

    @cached_property
    def downlink_sender(self) -> "DownlinkSender":
        from chalicelib.downlinks.sender import DownlinkSender, SenderContext

        context = SenderContext(
            connections=self.connection_store,
            secrets=self.secret_store,
            application_servers=self.application_server_store,
            queue=self.downlink_queue,
            ledger=self.ledger,
            parked=self.parked_receipts,
            failed=self.failed_messages,
            network_server=self.network_server,
            ingress=self.ingress,
            monitoring=self.monitoring,
            executor=_threads("downlink", 10),
            clock=self.clock,
            timing=self.settings.timing,
        )
        return DownlinkSender(context)

    @cached_property
    def codec(self) -> "CodecHandler":
        from chalicelib.adapters.codec.confinement import hide_memory
        from chalicelib.adapters.codec.handler import CodecHandler
        from chalicelib.adapters.codec.processes import Worker

        hide_memory()
        worker = Worker()
        worker.start()
        return CodecHandler(worker)

    @cached_property
    def connections(self) -> "ConnectionService":
        from chalicelib.connections.events import ConnectionEvents
        from chalicelib.connections.flows.references import FlowReferences
        from chalicelib.connections.management_context import ManagementContext
        from chalicelib.connections.parked_downlinks import ParkedDownlinks
        from chalicelib.connections.service import ConnectionService

        context = ManagementContext(
            store=self.connection_store,
            secrets=self.secret_store,
            queues=self.uplink_queues,
            wakes=self.wake_queue,
            polls=self.poll_queue,
            failed=self.failed_messages,
            remover=self.queue_remover,
            parked=ParkedDownlinks(self.parked_receipts, self.downlink_queue),
            flows=FlowReferences(self.flow_store, self.clock),
            events=ConnectionEvents(self.monitoring),
            clock=self.clock,
            settings=self.settings,
        )
        return ConnectionService(context)

    @cached_property
    def replay(self) -> "Replay":
        from chalicelib.connections.replay import Replay, ReplayContext

        context = ReplayContext(
            connections=self.connection_store,
            failed=self.failed_messages,
            pending=self.pending_replays,
            queues=self.uplink_queues,
            wakes=self.wake_queue,
            downlinks=self.downlink_queue,
            monitoring=self.monitoring,
            executor=_threads("replay", 8),
            clock=self.clock,
        )
        return Replay(context)

    @cached_property
    def connection_tests(self) -> "ConnectionTests":
        from chalicelib.connections.tests import ConnectionTests, TestsContext

        context = TestsContext(
            connections=self.connection_store,
            secrets=self.secret_store,
            tester=self.connection_tester,
            rates=self.rate_limits,
            slots=self.slots,
            clock=self.clock,
            settings=self.settings,
        )
        return ConnectionTests(context)


def _threads(name: str, number: int) -> InheritingThreads:
    return InheritingThreads(number, thread_name_prefix=name)


_services = Services()


def services() -> Services:
    """Return the services of this process."""
    return _services


def start() -> None:
    """Configure logging and the collector. ``app.py`` calls this once per process."""
    configure_logging(settings().log_level)
    collect_less_often()


def use(replacement: Services) -> None:
    """Make ``services`` return ``replacement``. Only tests call this."""
    global _services  # noqa: PLW0603  # all handlers share one instance
    _services = replacement
