"""Results of a connection test."""

from typing import Literal

from pydantic import Field

from chalicelib.kernel.documents import Document


class CheckStep(Document):
    """One step of a connection test; ``detail`` is the finding or, after a failure, the error and its remedy."""

    name: Literal["resolve", "connect", "tls", "authenticate", "vhost", "exchange", "downlink"]
    ok: bool
    milliseconds: int = Field(ge=0)
    detail: str


class CheckResult(Document):
    """The result of a connection test: the steps up to the first failure."""

    ok: bool
    steps: list[CheckStep]
