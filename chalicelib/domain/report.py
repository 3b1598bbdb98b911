"""Reports in the product's own terms, whatever network server sent them."""

from dataclasses import dataclass
from typing import Any

NO_DEVICE = "-"
"""The message group of reports without a DevEUI."""
DEFAULT_FORMAT = "thingpark"
"""The report format of a stored body that names none."""


@dataclass(frozen=True)
class Report:
    """A report as it was received.

    ``text`` is the whole document, ``root`` its type, ``fields`` the object that topic patterns read. ``time`` is the
    report's own time in Unix seconds, None when it has none with an offset. ``dev_eui`` is upper case.
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

    @property
    def group(self) -> str:
        """The device: reports of one group keep their order."""
        return self.dev_eui or NO_DEVICE
