"""List prices of AWS in us-east-1 in dollars, without free tiers, discounts and transfer."""

from collections.abc import Mapping
from enum import StrEnum

AS_OF = "2025-06-01"
"""The date of the price lists. Compare them with the current ones before you rely on an amount."""


class Unit(StrEnum):
    """Units that AWS bills."""

    API_REQUEST = "API Gateway request"
    INVOCATION = "Lambda request"
    GB_SECOND = "Lambda GB-second"
    GB_SECOND_ARM = "Lambda GB-second on arm64"
    SQS_STANDARD = "SQS standard request"
    SQS_FIFO = "SQS FIFO request"
    READ = "DynamoDB read unit"
    WRITE = "DynamoDB write unit"
    SECRET_MONTH = "secret and month"  # noqa: S105  # a unit, not a secret
    SECRET_CALL = "Secrets Manager call"  # noqa: S105
    LOG_BYTE = "CloudWatch Logs byte"
    STORED_BYTE = "DynamoDB byte and month"
    METRIC_MONTH = "CloudWatch metric and month"
    ALARM_MONTH = "CloudWatch alarm and month"


PRICES: Mapping[Unit, float] = {
    Unit.API_REQUEST: 3.50e-6,
    Unit.INVOCATION: 0.20e-6,
    Unit.GB_SECOND: 0.0000166667,
    Unit.GB_SECOND_ARM: 0.0000133334,
    Unit.SQS_STANDARD: 0.40e-6,
    Unit.SQS_FIFO: 0.50e-6,
    Unit.READ: 0.125e-6,
    Unit.WRITE: 0.625e-6,
    Unit.SECRET_MONTH: 0.40,
    Unit.SECRET_CALL: 5e-6,
    Unit.LOG_BYTE: 0.50 / (1 << 30),
    Unit.STORED_BYTE: 0.25 / (1 << 30),
    Unit.METRIC_MONTH: 0.30,
    Unit.ALARM_MONTH: 0.10,
}


def saved_on_arm(gb_seconds: float) -> float:
    """Return the dollars that arm64 saves, if it needs the same time."""
    return gb_seconds * (PRICES[Unit.GB_SECOND] - PRICES[Unit.GB_SECOND_ARM])
