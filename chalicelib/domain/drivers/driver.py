"""Drivers of a tenant: the request and the stored record."""

import hashlib
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.kernel.documents import Document

MAX_CODE = 512 * 1024
"""Maximum size of a driver's code, in bytes of UTF-8."""
MAX_MODELS = 200
DRIVER_ID = r"^[A-Za-z0-9._-]{1,64}:[A-Za-z0-9._-]{1,64}:[A-Za-z0-9._-]{1,64}$"
"""An id, ``producerId:moduleId:version``, as a JSON Schema pattern."""

_AUTOMATIC = re.compile(r"[A-Za-z0-9._-]{1,64}:auto:[A-Za-z0-9._-]{1,64}", re.ASCII)
_Part = Annotated[str, Field(min_length=1, max_length=64)]


def is_automatic(driver_id: str) -> bool:
    """Return whether an id stands for the driver that fits the device's model, such as ``actility:auto:1``."""
    return _AUTOMATIC.fullmatch(driver_id) is not None


class Signature(StrEnum):
    """Conventions by which a driver's functions are named and called."""

    LORA_ALLIANCE = "lora-alliance"
    TTN = "ttn"
    CHIRPSTACK = "chirpstack"
    ACTILITY = "actility"


class Operation(StrEnum):
    """Functions of a driver."""

    DECODE_UPLINK = "decodeUplink"
    DECODE_DOWNLINK = "decodeDownlink"
    ENCODE_DOWNLINK = "encodeDownlink"


class Model(Document):
    """A model of a device, or one of its applications, as ``DriverCfg`` names it."""

    producer_id: _Part
    module_id: _Part
    version: _Part

    @property
    def name(self) -> str:
        """The three parts, joined as in a driver's id."""
        return f"{self.producer_id}:{self.module_id}:{self.version}"


class DriverRequest(Document):
    """The body of a request that creates or replaces a driver, without the read-only fields."""

    id: str = Field(pattern=DRIVER_ID, description="producerId:moduleId:version")
    name: str | None = Field(default=None, min_length=1, max_length=128, description="the id, if absent")
    description: str | None = Field(default=None, max_length=1024)
    signature: Signature = Signature.LORA_ALLIANCE
    code: str = Field(min_length=1, max_length=MAX_CODE, description=f"JavaScript, at most {MAX_CODE} bytes of UTF-8")
    models: list[Model] = Field(default=[], max_length=MAX_MODELS, description="what actility:auto:1 compares")


class Driver(BaseModel):
    """The stored record of a driver without its code, which ``code_hash`` names. Changes depend on ``version``."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    id: str
    name: str
    description: str | None = None
    signature: Signature = Signature.LORA_ALLIANCE
    models: list[Model] = []
    code_hash: str
    code_size: int
    version: int = 1
    created_at: str
    updated_at: str

    def to_json(self) -> dict[str, Any]:
        """Return the document of the API without the code."""
        document: dict[str, Any] = {"id": self.id, "name": self.name}
        if self.description is not None:
            document["description"] = self.description
        return document | {
            "signature": self.signature.value,
            "models": [model.to_json() for model in self.models],
            "codeSize": self.code_size,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "version": self.version,
        }


def code_hash(code: str) -> str:
    """Return the hex SHA-256 of a code's UTF-8, by which the codec knows it."""
    return hashlib.sha256(code.encode("utf-8")).hexdigest()


def fitting(drivers: Sequence[Driver], driver_id: str, candidates: Sequence[str]) -> Driver | None:
    """Return the driver that ``driver_id`` of a flow means for a device, None if none fits.

    ``candidates``: the names of the device's driver, application and model, the most specific first. An automatic id
    takes the first of them that is the id of a driver, else the first that is among a driver's models.
    """
    if not is_automatic(driver_id):
        return next((driver for driver in drivers if driver.id == driver_id), None)
    for name in candidates:
        for driver in drivers:
            if driver.id == name:
                return driver
    for name in candidates:
        for driver in drivers:
            if any(model.name == name for model in driver.models):
                return driver
    return None
