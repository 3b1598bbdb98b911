"""Results of a connection test."""

from typing import Literal

from pydantic import Field

from chalicelib.kernel.documents import Document


class CheckStep(Document):
    """One step of a connection's test; ``detail`` says what was found, or what to do about it."""

    name: Literal["resolve", "connect", "tls", "authenticate", "vhost", "exchange", "downlink"]
    ok: bool
    milliseconds: int = Field(ge=0)
    detail: str


class CheckResult(Document):
    """A connection's test: the steps up to the first that failed."""

    ok: bool
    steps: list[CheckStep]
