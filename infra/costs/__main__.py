"""``make costs``: counts AWS calls on the paths of reports and polls, measures CPU, and prints the tables of costs."""

import os
import statistics
import tempfile
from pathlib import Path

_STAGE = "iot-flow-costs"
_ROUNDS = 30


def main() -> None:
    """Print the tables that infra/README.md shows, and the CPU that this machine needs.

    The settings come first: ``app`` reads the names of its queues when it is imported.
    """
    os.environ.update(RESOURCE_PREFIX=_STAGE, AWS_DEFAULT_REGION="eu-west-1")
    from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory  # noqa: PLC0415
    from chalicelib.config import Settings  # noqa: PLC0415
    from infra.bench.broker import bench_broker, bench_connection  # noqa: PLC0415
    from infra.costs import idle, measured, message_log, tables  # noqa: PLC0415
    from infra.costs.notifications import NotificationPath  # noqa: PLC0415
    from infra.costs.polls import IdlePolls  # noqa: PLC0415
    from infra.costs.uplinks import UplinkPath  # noqa: PLC0415
    from infra.local.aws.emulation import emulation  # noqa: PLC0415
    from infra.local.broker.installation import ensure_installed  # noqa: PLC0415

    ensure_installed()
    settings = Settings.model_validate(
        {"resource_prefix": _STAGE, "allowed_private_networks": "127.0.0.0/8", "log_level": "WARNING"}
    )
    with emulation(), tempfile.TemporaryDirectory() as directory, bench_broker(Path(directory)) as broker:
        configuration = {
            "hostName": f"localhost:{broker.config.port}",
            "protocol": "TCP",
            "uplinkTopicPattern": "things.{DevEUI}.uplink",
            "downlinkEnabled": False,
            "exchangeName": bench_connection(0).configuration.exchange_name,
            "username": broker.config.username,
            "password": broker.config.password,
        }
        path = UplinkPath(settings, configuration, AmqpPublisherFactory(settings))
        used = [(reports, path.accept(reports), path.drain(reports)) for reports in (1, 10)]
        cpu: dict[str, float] = {}
        for reports in (1, 10):
            rounds = [(path.accept(reports), path.drain(reports)) for _ in range(_ROUNDS)]
            cpu["report"] = statistics.median(accepted.cpu / reports for accepted, _ in rounds)
            cpu[f"drain of {reports}"] = statistics.median(drained.cpu for _, drained in rounds)
        idle_minutes = []
        for connections, tenants in idle.GROUPS:
            # Each group has separate tables.
            prefix = f"{_STAGE}-{connections}-{tenants}"
            group = settings.model_copy(update={"resource_prefix": prefix})
            idle_minutes.append((tenants, IdlePolls(group, connections, tenants).minute()))
        logs = [message_log.usage(settings.model_copy(update={"resource_prefix": f"{_STAGE}-log"}), 1)]
        logs.append(message_log.usage(settings.model_copy(update={"resource_prefix": f"{_STAGE}-log-10"}), 10))
        notified = NotificationPath(settings.model_copy(update={"resource_prefix": f"{_STAGE}-notifications"}))
        notices = notified.minute(), notified.sent()
    for table in (
        tables.of_reports(used),
        tables.of_message_log(used, logs),
        tables.of_idle_connections(idle_minutes),
        tables.of_notifications(*notices),
    ):
        print("\n".join(table), end="\n\n")
    for name, seconds in cpu.items():
        print(f"CPU, {name}: {1000 * seconds:.1f} ms on this machine, {1000 * measured.CPU[name]:.1f} ms in the table")


if __name__ == "__main__":
    main()
