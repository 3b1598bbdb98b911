"""Routes, queue handlers and the schedule handler. Each delegates with one call and contains no logic."""

from typing import Any, cast

from chalice.app import Chalice, CloudWatchEvent, Rate, Request, Response, SQSEvent

from chalicelib.config import settings
from chalicelib.entry.invocations import deadline, observed, records, time_left
from chalicelib.entry.notification_routes import notifications
from chalicelib.entry.services import services, start
from chalicelib.http_api.health_api import HealthApi

app = Chalice(app_name="iot-flow-amqp")
app.debug = False
app.register_middleware(observed)
start()

_JSON = ["application/json"]
_PATCH = ["application/merge-patch+json", "application/json"]


def _request() -> Request:
    # Chalice sets current_request to None only outside of a request.
    return cast("Request", app.current_request)


@app.route("/health", methods=["GET"])
def health() -> Response:
    return HealthApi(services().settings).get(_request())


@app.route("/openapi.json", methods=["GET"])
def describe_api() -> Response:
    return services().openapi.describe(_request())


@app.route("/connectors", methods=["GET"])
def list_connectors() -> Response:
    return services().connectors_api.all(_request())


@app.route("/connectors/{id}", methods=["GET"])
def get_connector(id: str) -> Response:  # noqa: A002  # the name in the route
    return services().connectors_api.get(_request(), id)


@app.route("/connections", methods=["POST"], content_types=_JSON)
def create_connection() -> Response:
    return services().connections_api.create(_request())


@app.route("/connections", methods=["GET"])
def list_connections() -> Response:
    return services().connections_api.page(_request())


@app.route("/connections", methods=["PUT"], content_types=_JSON)
def replace_connection_named_in_body() -> Response:
    return services().connections_api.replace(_request())


@app.route("/connections", methods=["DELETE"])
def delete_connection_named_in_query() -> Response:
    return services().connections_api.delete(_request())


@app.route("/connections/test", methods=["POST"], content_types=_JSON)
def test_unsaved_connection() -> Response:
    return services().connection_tests_api.test_unsaved(_request())


@app.route("/connections/preview", methods=["POST"], content_types=_JSON)
def preview_message() -> Response:
    return services().connection_tests_api.preview(_request())


@app.route("/connections/summary", methods=["GET"])
def summarise_connections() -> Response:
    return services().overview_api.summary(_request())


@app.route("/connections/statistics", methods=["GET"])
def list_statistics() -> Response:
    return services().overview_api.numbers(_request())


@app.route("/connections/{id}", methods=["GET"])
def get_connection(id: str) -> Response:  # noqa: A002
    return services().connections_api.get(_request(), id)


@app.route("/connections/{id}", methods=["PUT"], content_types=_JSON)
def replace_connection(id: str) -> Response:  # noqa: A002
    return services().connections_api.replace(_request(), id)


@app.route("/connections/{id}", methods=["PATCH"], content_types=_PATCH)
def patch_connection(id: str) -> Response:  # noqa: A002
    return services().connections_api.patch(_request(), id)


@app.route("/connections/{id}", methods=["DELETE"])
def delete_connection(id: str) -> Response:  # noqa: A002
    return services().connections_api.delete(_request(), id)


@app.route("/connections/{id}/restart", methods=["POST"])
def restart_connection(id: str) -> Response:  # noqa: A002
    return services().connections_api.restart(_request(), id)


@app.route("/connections/{id}/test", methods=["POST"])
def test_connection(id: str) -> Response:  # noqa: A002
    return services().connection_tests_api.test_saved(_request(), id)


@app.route("/connections/{id}/statistics", methods=["GET"])
def get_statistics(id: str) -> Response:  # noqa: A002
    return services().statistics_api.get(_request(), id)


@app.route("/connections/{id}/messages", methods=["GET"])
def list_messages(id: str) -> Response:  # noqa: A002
    return services().history_api.messages(_request(), id)


@app.route("/connections/{id}/messages", methods=["DELETE"])
def purge_messages(id: str) -> Response:  # noqa: A002
    return services().messages_api.purge(_request(), id)


@app.route("/connections/{id}/messages/{messageId}", methods=["GET"])
def get_failed_message(id: str, messageId: str) -> Response:  # noqa: A002, N803
    return services().message_log_api.failed(_request(), id, messageId)


@app.route("/connections/{id}/messages/replay", methods=["POST"], content_types=_JSON)
def replay_messages(id: str) -> Response:  # noqa: A002
    return services().messages_api.replay(_request(), id)


@app.route("/connections/{id}/events", methods=["GET"])
def list_connection_events(id: str) -> Response:  # noqa: A002
    return services().history_api.events(_request(), id)


@app.route("/events", methods=["GET"])
def list_events() -> Response:
    return services().history_api.events(_request())


@app.route("/messages", methods=["GET"])
def follow_messages() -> Response:
    return services().message_log_api.page(_request())


@app.route("/flows", methods=["POST"], content_types=_JSON)
def create_flow() -> Response:
    return services().flows_api.create(_request())


@app.route("/flows", methods=["GET"])
def list_flows() -> Response:
    return services().flows_api.page(_request())


@app.route("/flows", methods=["PUT"], content_types=_JSON)
def replace_flow_named_in_body() -> Response:
    return services().flows_api.replace(_request())


@app.route("/flows", methods=["DELETE"])
def delete_flow_named_in_query() -> Response:
    return services().flows_api.delete(_request())


@app.route("/flows/preview", methods=["POST"], content_types=_JSON)
def preview_flows() -> Response:
    return services().flows_api.preview(_request())


@app.route("/flows/{id}", methods=["GET"])
def get_flow(id: str) -> Response:  # noqa: A002
    return services().flows_api.get(_request(), id)


@app.route("/flows/{id}", methods=["PUT"], content_types=_JSON)
def replace_flow(id: str) -> Response:  # noqa: A002
    return services().flows_api.replace(_request(), id)


@app.route("/flows/{id}", methods=["PATCH"], content_types=_PATCH)
def patch_flow(id: str) -> Response:  # noqa: A002
    return services().flows_api.patch(_request(), id)


@app.route("/flows/{id}", methods=["DELETE"])
def delete_flow(id: str) -> Response:  # noqa: A002
    return services().flows_api.delete(_request(), id)


@app.route("/drivers", methods=["POST"], content_types=_JSON)
def create_driver() -> Response:
    return services().drivers_api.create(_request())


@app.route("/drivers", methods=["GET"])
def list_drivers() -> Response:
    return services().drivers_api.page(_request())


@app.route("/drivers/test", methods=["POST"], content_types=_JSON)
def test_driver() -> Response:
    return services().drivers_api.test(_request())


@app.route("/drivers/{id}", methods=["GET"])
def get_driver(id: str) -> Response:  # noqa: A002
    return services().drivers_api.get(_request(), id)


@app.route("/drivers/{id}", methods=["PUT"], content_types=_JSON)
def replace_driver(id: str) -> Response:  # noqa: A002
    return services().drivers_api.replace(_request(), id)


@app.route("/drivers/{id}", methods=["DELETE"])
def delete_driver(id: str) -> Response:  # noqa: A002
    return services().drivers_api.delete(_request(), id)


@app.route("/drivers/{id}/decode-uplink", methods=["POST"], content_types=_JSON)
def decode_uplink(id: str) -> Response:  # noqa: A002
    return services().drivers_api.decode_uplink(_request(), id)


@app.route("/drivers/{id}/decode-downlink", methods=["POST"], content_types=_JSON)
def decode_downlink(id: str) -> Response:  # noqa: A002
    return services().drivers_api.decode_downlink(_request(), id)


@app.route("/drivers/{id}/encode-downlink", methods=["POST"], content_types=_JSON)
def encode_downlink(id: str) -> Response:  # noqa: A002
    return services().drivers_api.encode_downlink(_request(), id)


@app.route("/application-servers", methods=["POST"], content_types=_JSON)
def create_application_server() -> Response:
    return services().application_servers_api.create(_request())


@app.route("/application-servers", methods=["GET"])
def list_application_servers() -> Response:
    return services().application_servers_api.all(_request())


@app.route("/application-servers/{asId}", methods=["DELETE"])
def delete_application_server(asId: str) -> Response:  # noqa: N803  # the name in the route
    return services().application_servers_api.delete(_request(), asId)


app.register_blueprint(notifications)


@app.route("/uplinks", methods=["POST"], content_types=_JSON)
def deliver_report() -> Response:
    return services().uplinks_api.deliver(_request())


@app.route("/console", methods=["GET"])
def console() -> Response:
    return services().console_api.page(_request())


@app.route("/console/{asset}", methods=["GET"])
def console_asset(asset: str) -> Response:
    return services().console_api.asset(_request(), asset)


# A path parameter of API Gateway cannot contain a slash, and sibling parameters must have the same name.


@app.route("/console/{asset}/{file}", methods=["GET"])
def console_file(asset: str, file: str) -> Response:
    return services().console_api.asset(_request(), file, asset)


# Queues and schedule. Lambda deletes the whole batch when a handler returns, and Chalice does not support partial batch
# responses. A handler therefore deletes the finished messages and raises when others must be redelivered.


@app.on_sqs_message(queue=settings().queue("wakes"), batch_size=10, maximum_concurrency=50)
def forward(event: SQSEvent) -> None:
    services().forwarder.handle(records(event), deadline(event))


@app.on_sqs_message(queue=settings().queue("wakes-slow"), batch_size=10, maximum_concurrency=50)
def forward_slow(event: SQSEvent) -> None:
    services().slow_forwarder.handle(records(event), deadline(event))


# Twice fifty, because a poll runs until its successor has taken over its connections.
@app.on_sqs_message(queue=settings().queue("polls"), batch_size=1, maximum_concurrency=100)
def consume(event: SQSEvent) -> None:
    services().poll_handler.handle(records(event), deadline(event))


@app.on_sqs_message(queue=settings().queue("downlinks.fifo"), batch_size=10, maximum_concurrency=50)
def send_downlinks(event: SQSEvent) -> None:
    services().downlink_sender.handle(records(event), deadline(event))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def reconcile(_event: CloudWatchEvent) -> None:
    services().reconciler.run()


# Customers' code. Lambda's Invoke calls it; its role may write its log and nothing else.


@app.lambda_function(name="codec")
def codec(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return services().codec.handle(event)


# The reconciler calls it for due notifications, and the API for a test. It calls the URLs of tenants.


@app.lambda_function(name="notify")
def notify(event: dict[str, Any], context: Any) -> None:
    services().notification_sender.handle(event, time_left(context))
