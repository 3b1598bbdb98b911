"""``restart`` and ``drain``: what an operator may do with a connection of any tenant."""

import argparse

from chalicelib.domain.work_items import Wake
from chalicelib.kernel.times import iso_time
from infra.deploy.operate import output
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import Stage


def restart(stage: Stage, arguments: argparse.Namespace) -> int:
    """Reset the connection's retry schedule and connect at once, as the API does. The tenant sees the event."""
    tenant, connection_id = arguments.connection
    restarted = stage.services.connections.restart(tenant, connection_id)
    _show(arguments, {"connection": f"{tenant}/{connection_id}", "epoch": restarted.epoch, "restarted": True})
    return 0


def drain(stage: Stage, arguments: argparse.Namespace) -> int:
    """Send a wake, so that a forwarder publishes what the connection's queue has.

    Raises OperateFailed while the breaker is open, because a forwarder would let the wake go.
    """
    tenant, connection_id = arguments.connection
    services = stage.services
    connection = services.connection_store.get(tenant, connection_id)
    if not connection.active:
        raise OperateFailed(f"The connection {connection_id} is inactive. Its reports wait until it is activated.")
    if connection.breaker_open:
        due = (
            "none is scheduled"
            if connection.probe_at is None
            else f"the next one is at {iso_time(connection.probe_at)}"
        )
        raise OperateFailed(
            f"The connection {connection_id} waits for its next attempt ({due}): {connection.state_reason} "
            "Use restart to connect now."
        )
    visible, in_flight = services.uplink_queues.depth(connection_id)
    services.wake_queue.send([Wake(tenant=tenant, connection_id=connection_id)])
    sent = {"connection": f"{tenant}/{connection_id}", "backlog": visible, "inFlight": in_flight, "wakeSent": True}
    _show(arguments, sent)
    return 0


def _show(arguments: argparse.Namespace, fields: dict[str, object]) -> None:
    if arguments.json:
        output.show_json(fields)
    else:
        output.show_fields(fields)
