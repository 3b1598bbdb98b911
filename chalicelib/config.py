"""Settings: one typed model, read from the environment once, at the edge. Nothing else reads ``os.environ``."""

import math
import os
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from chalicelib.kernel.durations import parse_duration


def _networks(value: Any) -> Any:
    return [ip_network(part.strip()) for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


class Timing(BaseModel):
    """Every duration that ``TIME_SCALE`` shortens, in seconds, already scaled.

    Lambda and SQS take whole seconds only, and a report must outlive its function, a wake its report: so these are
    rounded up, have a least value that a cold start fits in, and stay in their order.
    """

    model_config = ConfigDict(frozen=True)

    scale: float = 1.0
    schedule: float = 60.0
    """Period of the reconciler."""
    function_timeout: int = 30
    """The forwarder's and the sender's time-out."""
    report_visibility: int = 60
    wake_visibility: int = 180
    spare: float = 10.0
    """Nothing new is started with less than this left of an invocation."""
    connect_budget: float = 10.0
    """The longest that all the connections of one batch of wakes may take to connect."""
    poll: float = 55.0
    """Seconds that a consumer polls."""
    poll_close: float = 45.0
    """When a consumer begins to close."""
    poll_timeout: int = 70
    """The consumer's time-out."""
    poll_visibility: int = 90
    lease: float = 20.0
    lease_renewal: float = 5.0
    recheck: float = 5.0
    """Seconds between two reads of a connection's record by a drain or a poll."""
    downlink_timeout: float = 10.0
    """The longest wait for the network server's answer."""

    @classmethod
    def scaled(cls, scale: float) -> "Timing":
        """The durations shortened by ``scale`` (60: a minute passes in a second)."""
        if scale == 1:
            return cls()
        function = max(5, math.ceil(30 / scale))
        report = max(function + 2, math.ceil(60 / scale))
        poll = max(4.0, 55 / scale)
        return cls(
            scale=scale,
            schedule=max(1.0, 60 / scale),
            function_timeout=function,
            report_visibility=report,
            wake_visibility=max(report + 3, math.ceil(180 / scale)),
            spare=max(1.5, 10 / scale),
            connect_budget=max(2.0, 10 / scale),
            poll=poll,
            poll_close=poll * 45 / 55,
            poll_timeout=math.ceil(poll + max(3.0, 15 / scale)),
            poll_visibility=math.ceil(poll + max(5.0, 35 / scale)),
            lease=max(3.0, 20 / scale),
            lease_renewal=max(0.75, 5 / scale),
            recheck=max(0.5, 5 / scale),
        )


class Settings(BaseModel):
    """The settings of a deployment; each is an environment variable of the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    resource_prefix: str = "iot-flow-dev"
    """Begins the names of tables and queues, as in the data stack."""
    secret_prefix: str = "iot-flow"  # noqa: S105  # a name, not a secret
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_client_id: str = ""
    """The web page's client at the issuer (public, authorization code with PKCE); without one it takes tokens only."""
    oidc_scope: str = "openid connections:read connections:write"
    """Scope that the page requests from the issuer; Cognito needs ``<resource server>/<scope>``."""
    tenant_claim: str = "custom:tenant"
    uplink_max_time_deviation: Annotated[float, BeforeValidator(_seconds)] = 300.0
    """Seconds."""
    network_server_url: str = ""
    """Base URL of the LRC, without ``/thingpark/...``."""
    allowed_private_networks: Annotated[list[IPv4Network | IPv6Network], BeforeValidator(_networks)] = []
    max_connections_per_tenant: int = Field(default=100, ge=1)
    connection_tests_per_minute: int = Field(default=30, ge=1)
    """Limit for each tenant:

    a test may hold a function for up to 25 seconds, and connects to an address that the caller chooses.
    """
    kms_key_id: str = ""
    """A KMS key for the connections' queues; SSE-SQS without."""
    time_scale: float = Field(default=1.0, gt=0)
    log_level: str = "INFO"

    @property
    def timing(self) -> Timing:
        return Timing.scaled(self.time_scale)

    def table(self, kind: str) -> str:
        """The name of the table of one kind, such as ``connections``."""
        return f"{self.resource_prefix}-{kind}"

    def queue(self, kind: str) -> str:
        """The name of a queue, such as ``wakes``."""
        return f"{self.resource_prefix}-{kind}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises pydantic's ValidationError, which names the variable."""
        return cls.model_validate({k.lower(): v for k, v in environment.items() if k.isupper() and v != ""})


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    return Settings.from_environment(os.environ)
