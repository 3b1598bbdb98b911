"""Reports, independent of the network server that sent them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

NO_DEVICE = "-"
"""The SQS message group of reports without a DevEUI."""
DEFAULT_FORMAT = "thingpark"
"""The report format of a stored body without a format name."""


@dataclass(frozen=True)
class UplinkPayload:
    """The application data of an uplink, as a driver receives it.

    ``bytes``: hexadecimal digits. ``time``: the report's own text. ``thing``: the device. ``models``: names of the
    device's driver, application and model (``producerId:moduleId:version``), the most specific first.
    """

    bytes: str
    f_port: int
    time: str | None
    thing: dict[str, Any]
    models: tuple[str, ...] = ()

    def to_input(self) -> dict[str, Any]:
        """Return the input of a driver's decoder."""
        given = {"bytes": self.bytes, "fPort": self.f_port, "recvTime": self.time, "thing": self.thing}
        return {name: value for name, value in given.items() if value is not None}


class Report(NamedTuple):
    """A report received from a network server: its unchanged document and the fields that the connector reads.

    ``text`` is the whole document, ``root`` its type, and ``fields`` the object that topic patterns read. ``time`` is
    the report's time in Unix seconds, or None if the report has no time with an offset. ``dev_eui`` is upper case.
    ``tags`` are those that flows compare.
    """

    format: str
    root: str
    fields: dict[str, Any]
    text: str
    is_uplink: bool
    dev_eui: str | None = None
    time: float | None = None
    f_port: int | None = None
    f_cnt_up: int | None = None
    customer_id: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The SQS message group: the DevEUI, because the reports of one device keep their order."""
        return self.dev_eui or NO_DEVICE
