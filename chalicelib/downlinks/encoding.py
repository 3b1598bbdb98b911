"""Encoding of downlinks that have payload in place of payload_hex, with the driver of the connection's flow."""

from collections.abc import Sequence
from typing import Any

from chalicelib.domain.connection import Connection
from chalicelib.domain.drivers.driver import Operation, fitting
from chalicelib.domain.drivers.results import Encoded, EncodeFailed, encoded
from chalicelib.errors import NotFound, Unavailable
from chalicelib.ports.drivers import Codec, CodecJob
from chalicelib.uplinks.decoding.tenant_drivers import TenantDrivers
from chalicelib.uplinks.routing import RoutingCache
from chalicelib.vocabulary import FailureReason

_REMEDY = "Choose a driver in the flow, or send the frame as payload_hex."


class DownlinkEncoder:
    """Encodes payloads. The flow that names the connection and matches the device gives the driver, else the only one.

    A codec that does not answer is an outage of ours: the downlink stays at its broker.
    """

    def __init__(self, codec: Codec, drivers: TenantDrivers, routing: RoutingCache) -> None:
        self._codec = codec
        self._drivers = drivers
        self._routing = routing

    def encode(
        self, connection: Connection, dev_eui: str, payload: Any, f_port: int | None, models: Sequence[str]
    ) -> Encoded:
        """Return the frame of a payload. ``models``: as in ``UplinkPayload``. Raises EncodeFailed, Unavailable."""
        driver_id = self._routing.flows(connection.tenant).driver_for_downlink(connection.id, dev_eui)
        if driver_id is None:
            detail = f"payload requires an encoder, and no flow gives this connection and device a driver. {_REMEDY}"
            raise EncodeFailed(FailureReason.PAYLOAD_NOT_ENCODABLE, detail)
        driver = fitting(self._drivers.of(connection.tenant), driver_id, models)
        if driver is None:
            self._drivers.forget(connection.tenant)
            driver = fitting(self._drivers.of(connection.tenant), driver_id, models)
        if driver is None:
            detail = f"payload requires an encoder, and no driver fits {driver_id} for this device. {_REMEDY}"
            raise EncodeFailed(FailureReason.PAYLOAD_NOT_ENCODABLE, detail)
        given = {"data": payload} | ({} if f_port is None else {"fPort": f_port})
        job = CodecJob(driver.code_hash, driver.signature, Operation.ENCODE_DOWNLINK, given)
        found = driver
        try:
            [answer] = self._codec.run([job], lambda _: self._drivers.code(found))
        except NotFound as error:
            self._drivers.forget(connection.tenant)
            raise Unavailable("a driver was replaced while a downlink was encoded") from error
        fault = answer.fault
        if fault is None and answer.bytes is not None:
            try:
                return encoded(answer.bytes, answer.f_port)
            except ValueError as error:
                fault = str(error)
        raise EncodeFailed(
            FailureReason.DRIVER_FAILED, f"the driver {driver.id} failed: {fault or 'it gave no bytes.'}"
        )
