"""Wiring of the HTTP API: builds the handlers of each resource when they are first used."""
# ruff: noqa: PLC0415  # imports are late, as ``chalicelib.entry.services`` explains

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.entry.notifications import NotificationParts

if TYPE_CHECKING:
    from chalicelib.connections.drivers.service import DriverService
    from chalicelib.connections.drivers.trials import Trials
    from chalicelib.connections.flows.service import FlowService
    from chalicelib.connections.overview.listing import ConnectionLists
    from chalicelib.connections.replay import Replay
    from chalicelib.connections.service import ConnectionService
    from chalicelib.connections.tests import ConnectionTests
    from chalicelib.http_api.application_servers_api import ApplicationServersApi
    from chalicelib.http_api.auth import TokenVerifier
    from chalicelib.http_api.connection_tests_api import ConnectionTestsApi
    from chalicelib.http_api.connections_api import ConnectionsApi
    from chalicelib.http_api.connectors_api import ConnectorsApi
    from chalicelib.http_api.console_api import ConsoleApi
    from chalicelib.http_api.drivers_api import DriversApi
    from chalicelib.http_api.flows_api import FlowsApi
    from chalicelib.http_api.history_api import HistoryApi
    from chalicelib.http_api.issuer import Issuer
    from chalicelib.http_api.messages.log_api import MessageLogApi
    from chalicelib.http_api.messages_api import MessagesApi
    from chalicelib.http_api.notifications.api import NotificationsApi
    from chalicelib.http_api.openapi.openapi import OpenApi
    from chalicelib.http_api.overview.overview_api import OverviewApi
    from chalicelib.http_api.statistics_api import StatisticsApi
    from chalicelib.http_api.uplinks_api import UplinksApi
    from chalicelib.uplinks.ingress import Ingress
    from chalicelib.uplinks.routing import RoutingCache


class Apis(NotificationParts):
    """The handlers of the HTTP API. ``Services`` has the services that they call."""

    if TYPE_CHECKING:

        @cached_property
        def connections(self) -> ConnectionService: ...

        @cached_property
        def connection_tests(self) -> ConnectionTests: ...

        @cached_property
        def ingress(self) -> Ingress: ...

        @cached_property
        def replay(self) -> Replay: ...

        @cached_property
        def routing(self) -> RoutingCache: ...

    @cached_property
    def issuer(self) -> "Issuer":
        from chalicelib.http_api.issuer import Issuer

        return Issuer(self.settings.oidc_issuer)

    @cached_property
    def auth(self) -> "TokenVerifier":
        from chalicelib.http_api.auth import TokenVerifier

        return TokenVerifier(self.issuer, self.settings.oidc_audience, self.settings.tenant_claim)

    @cached_property
    def connections_api(self) -> "ConnectionsApi":
        from chalicelib.http_api.connections_api import ConnectionsApi

        return ConnectionsApi(self.auth, self.connections, self.routing, self.connection_lists)

    @cached_property
    def connection_lists(self) -> "ConnectionLists":
        from chalicelib.connections.overview.listing import ConnectionLists
        from chalicelib.connections.statistics import ConnectionStatistics

        statistics = ConnectionStatistics(self.statistics, self.uplink_queues, self.clock)
        threads = ThreadPoolExecutor(16, thread_name_prefix="numbers")
        return ConnectionLists(self.connection_entries, statistics, self.statistics, threads, self.clock)

    @cached_property
    def overview_api(self) -> "OverviewApi":
        from chalicelib.connections.overview.summary import Overview
        from chalicelib.http_api.overview.overview_api import OverviewApi

        threads = ThreadPoolExecutor(16, thread_name_prefix="depth")
        overview = Overview(self.connection_entries, self.statistics, self.uplink_queues, threads, self.clock)
        return OverviewApi(self.auth, overview, self.connection_lists)

    @cached_property
    def flow_service(self) -> "FlowService":
        from chalicelib.connections.flows.service import FlowContext, FlowService

        context = FlowContext(
            store=self.flow_store,
            connections=self.connection_store,
            drivers=self.driver_store,
            clock=self.clock,
            limit=self.settings.max_flows_per_tenant,
        )
        return FlowService(context)

    @cached_property
    def flows_api(self) -> "FlowsApi":
        from chalicelib.connections.flows.decoding import PreviewDecoder
        from chalicelib.connections.flows.preview import FlowPreviews
        from chalicelib.http_api.flows_api import FlowsApi

        decoder = PreviewDecoder(self.codec_client, self.driver_store)
        previews = FlowPreviews(self.connection_store, self.flow_store, decoder)
        return FlowsApi(self.auth, self.flow_service, previews)

    @cached_property
    def trials(self) -> "Trials":
        from chalicelib.connections.drivers.trials import Trials

        return Trials(self.codec_client, self.driver_store, self.clock)

    @cached_property
    def driver_service(self) -> "DriverService":
        from chalicelib.connections.drivers.service import DriverContext, DriverService

        context = DriverContext(
            store=self.driver_store,
            flows=self.flow_store,
            generation=self.connection_store.generation,
            trials=self.trials,
            clock=self.clock,
            limit=self.settings.max_drivers_per_tenant,
        )
        return DriverService(context)

    @cached_property
    def drivers_api(self) -> "DriversApi":
        from chalicelib.http_api.drivers_api import DriversApi

        return DriversApi(self.auth, self.driver_service, self.trials)

    @cached_property
    def connectors_api(self) -> "ConnectorsApi":
        from chalicelib.http_api.connectors_api import ConnectorsApi

        return ConnectorsApi(self.auth)

    @cached_property
    def console_api(self) -> "ConsoleApi":
        from chalicelib.http_api.console_api import ConsoleApi

        return ConsoleApi(self.settings, self.issuer)

    @cached_property
    def history_api(self) -> "HistoryApi":
        from chalicelib.http_api.history_api import HistoryApi

        return HistoryApi(self.auth, self.connections, self.event_log, self.failed_messages)

    @cached_property
    def messages_api(self) -> "MessagesApi":
        from chalicelib.http_api.messages_api import MessagesApi

        return MessagesApi(self.auth, self.replay)

    @cached_property
    def message_log_api(self) -> "MessageLogApi":
        from chalicelib.connections.messages.search import MessageSearch
        from chalicelib.http_api.messages.log_api import MessageLogApi

        threads = ThreadPoolExecutor(16, thread_name_prefix="messages")
        search = MessageSearch(self.message_log, self.failed_messages, threads, self.clock)
        return MessageLogApi(self.auth, self.connections, self.connection_store, search, self.failed_messages)

    @cached_property
    def connection_tests_api(self) -> "ConnectionTestsApi":
        from chalicelib.http_api.connection_tests_api import ConnectionTestsApi

        return ConnectionTestsApi(self.auth, self.connection_tests)

    @cached_property
    def statistics_api(self) -> "StatisticsApi":
        from chalicelib.connections.statistics import ConnectionStatistics
        from chalicelib.http_api.statistics_api import StatisticsApi

        reader = ConnectionStatistics(self.statistics, self.uplink_queues, self.clock)
        return StatisticsApi(self.auth, self.connections, reader)

    @cached_property
    def openapi(self) -> "OpenApi":
        from chalicelib.http_api.openapi.openapi import OpenApi

        return OpenApi()

    @cached_property
    def uplinks_api(self) -> "UplinksApi":
        from chalicelib.http_api.uplinks_api import UplinksApi
        from chalicelib.uplinks.bulk import BulkIngress

        bulk = BulkIngress(self.ingress, ThreadPoolExecutor(8, thread_name_prefix="bulk"))
        return UplinksApi(self.auth, self.ingress, bulk)

    @cached_property
    def application_servers_api(self) -> "ApplicationServersApi":
        from chalicelib.http_api.application_servers_api import ApplicationServersApi

        return ApplicationServersApi(self.auth, self.application_server_store)

    @cached_property
    def notifications_api(self) -> "NotificationsApi":
        from chalicelib.http_api.notifications.api import NotificationsApi

        return NotificationsApi(self.auth, self.notifications)
