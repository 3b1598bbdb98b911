"""Sending of queued downlinks to the network server, with moto's AWS."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from chalicelib.config import Settings
from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.work_items import DownlinkJob
from chalicelib.entry.services import Services
from chalicelib.errors import Unavailable
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.ports.queues import QueueRecord
from chalicelib.vocabulary import ConnectionState

NOW = 1_764_000_000.0
DEVICE = "70B3D5E75E000001"


class RecordingNetworkServer:
    """A ``ports.NetworkServer`` that accepts every downlink."""

    def __init__(self) -> None:
        self.payloads: list[str] = []

    def send_downlink(self, parameters: Sequence[tuple[str, str]], _as_key: str) -> None:
        self.payloads.append(dict(parameters)["Payload"])


class OneApplicationServer:
    def keys(self, _as_id: str) -> list[tuple[str, str]]:
        return [("demo", "00112233445566778899aabbccddeeff")]


@pytest.fixture
def network_server(services: Services) -> RecordingNetworkServer:
    recording = RecordingNetworkServer()
    services.network_server = recording  # type: ignore[assignment]  # a cached property takes what it is given
    services.application_server_store = OneApplicationServer()  # type: ignore[assignment]
    services.clock = lambda: NOW
    return recording


def create(services: Services, number: int, *, active: bool) -> Connection:
    made = Connection(
        tenant="demo",
        id=new_id(NOW + number),
        name=f"Connection {number}",
        active=active,
        configuration=AmqpConfiguration.model_validate(
            {"hostName": "amqp.test", "protocol": "TCP", "uplinkTopicPattern": "{DevEUI}", "downlinkEnabled": False}
        ),
        created_at=iso_time(NOW),
        updated_at=iso_time(NOW),
        state=ConnectionState.OPENED if active else ConnectionState.DEACTIVATED,
    )
    services.connection_store.create(made, 5)
    return made


def job(connection: Connection, payload: str) -> tuple[DownlinkJob, str]:
    downlink: dict[str, Any] = {"DevEUI": DEVICE, "FPort": 1, "payload_hex": payload, "AS_ID": "TWA_1"}
    made = DownlinkJob(tenant="demo", connection_id=connection.id, downlink=downlink, received_at=NOW)
    return made, f"{connection.id} {payload}"


def receive(services: Services) -> list[QueueRecord]:
    answer = services.sqs.receive_message(
        QueueUrl=services.downlink_queue.url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    )
    return [
        QueueRecord(m["ReceiptHandle"], m["MessageId"], m["Body"], m["Attributes"]["MessageGroupId"])
        for m in answer.get("Messages", [])
    ]


def test_deactivated_connection_delays_only_its_own_downlinks(
    services: Services, network_server: RecordingNetworkServer
) -> None:
    inactive, active = create(services, 1, active=False), create(services, 2, active=True)
    assert all(services.downlink_queue.send([job(inactive, "01")]))
    with pytest.raises(Unavailable):
        services.downlink_sender.handle(receive(services), deadline=1e12)
    assert all(services.downlink_queue.send([job(inactive, "02"), job(active, "03")]))
    services.downlink_sender.handle(receive(services), deadline=1e12)
    assert network_server.payloads == ["03"]


def parked_job(connection: Connection, payload: str, **fields: object) -> tuple[DownlinkJob, str]:
    made, name = job(connection, payload)
    downlink = made.downlink | fields
    return made.model_copy(update={"deduplication_id": name, "downlink": downlink}), name


def invocations(services: Services) -> int:
    """Invoke the sender until no downlink is visible; return the number of invocations."""
    number = 0
    while records := receive(services):
        number += 1
        with suppress(Unavailable):
            services.downlink_sender.handle(records, deadline=1e12)
            services.downlink_queue.delete([record.receipt for record in records])
    return number


def test_parked_downlinks_return_in_order_when_their_connection_is_activated(
    services: Services, network_server: RecordingNetworkServer
) -> None:
    # Given
    inactive = create(services, 1, active=False)
    assert all(services.downlink_queue.send([parked_job(inactive, f"0{number}") for number in range(3)]))

    assert invocations(services) == 1

    # When
    services.connections.patch("demo", inactive.id, {"active": True}, None)
    invocations(services)

    # Then
    assert network_server.payloads == ["00", "01", "02"]


def test_downlink_is_not_parked_for_hours_when_its_connection_is_activated_meanwhile(
    services: Services, network_server: RecordingNetworkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inactive = create(services, 1, active=False)
    assert all(services.downlink_queue.send([parked_job(inactive, "01")]))
    park = services.parked_receipts.park

    def activate_first(*arguments: Any) -> None:
        services.connections.patch("demo", inactive.id, {"active": True}, None)
        park(*arguments)

    monkeypatch.setattr(services.parked_receipts, "park", activate_first)
    invocations(services)
    assert network_server.payloads == ["01"]


class RecordingDelays:
    """A ``ports.DownlinkQueue`` that records delays only."""

    def __init__(self) -> None:
        self.delays: list[int] = []

    def delay(self, _receipts: Sequence[str], seconds: int) -> None:
        self.delays.append(seconds)

    def delete(self, _receipts: Sequence[str]) -> None:
        """Ignore the call, because no downlink is finished."""


@pytest.mark.parametrize(("scale", "seconds"), [(1.0, 60), (12.0, 5), (3000.0, 1)])
@pytest.mark.usefixtures("network_server")
def test_retry_delay_of_deactivated_connection_is_scaled(services: Services, scale: float, seconds: int) -> None:
    scaled = Services(Settings(**{**services.settings.model_dump(), "time_scale": scale}))
    scaled.clock = lambda: NOW
    scaled.downlink_queue = queue = RecordingDelays()  # type: ignore[assignment]
    made, _ = job(create(services, 1, active=False), "01")
    record = QueueRecord("r", "m", made.model_dump_json(by_alias=True), "g")
    with pytest.raises(Unavailable):
        scaled.downlink_sender.handle([record], deadline=1e12)
    assert queue.delays == [seconds]
