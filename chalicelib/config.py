"""Settings of a deployment, read from the environment once per process. No other module reads ``os.environ``."""

import math
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from chalicelib.kernel.durations import parse_duration

_PLACEHOLDER = re.compile(r"(?<![A-Za-z0-9])(REGION|USER_POOL_ID|APP_CLIENT_ID|NETWORK_SERVER)(?![A-Za-z0-9])")
"""The words of .chalice/config.json that a new stage replaces by its own values."""
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:iot-flow-[a-z0-9]+-[A-Za-z0-9_-]+")
"""Topics to which the policies of the functions allow to publish."""
_REQUIRED = ("oidc_issuer", "oidc_audience", "network_server_url")


def _networks(value: Any) -> Any:
    return [ip_network(part.strip()) for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _topics(value: Any) -> Any:
    topics = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    for topic in topics:
        if not _TOPIC.fullmatch(topic):
            raise ValueError(
                f"{topic} is not the ARN of a topic; its name begins with the stage's prefix, as iot-flow-prod-alarms"
            )
    return topics


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _tags(value: Any) -> Any:
    parts = [part.partition("=") for part in value.split(",") if part.strip()] if isinstance(value, str) else []
    return {name.strip(): text.strip() for name, _, text in parts} if isinstance(value, str) else value


class Timing(BaseModel):
    """The durations that ``TIME_SCALE`` shortens, in seconds and already scaled.

    ``function_timeout`` < ``report_visibility`` < ``wake_visibility`` holds for every scale: a report stays hidden
    longer than its function runs, and a wake longer than its report. Time-outs and visibility timeouts are integers,
    because Lambda and SQS accept whole seconds only. Lower bounds leave time for a cold start.
    """

    model_config = ConfigDict(frozen=True)

    scale: float = 1.0
    schedule: float = 60.0
    """The period of the reconciler."""
    function_timeout: int = 30
    """The time-out of the forwarder and the sender."""
    report_visibility: int = 60
    wake_visibility: int = 180
    spare: float = 10.0
    """Remaining time of an invocation below which a function starts no new work."""
    connect_budget: float = 10.0
    """The time limit for connecting all connections of one batch of wakes."""
    poll_period: float = 60.0
    """The interval between two polls of a connection. A poll hands its connections over to the next one."""
    poll: float = 140.0
    """The maximum duration of one poll of the consumer."""
    poll_close: float = 130.0
    """The time after the start of a poll at which the consumer closes its feeds without a successor: longer than two
    periods, so that one missed run of the schedule causes no gap."""
    poll_timeout: int = 150
    """The time-out of the consumer."""
    poll_visibility: int = 180
    slot: float = 120.0
    """The duration of a hold of a socket at a broker. Its heartbeat ends a frozen function's socket earlier."""
    lease: float = 20.0
    lease_renewal: float = 10.0
    recheck: float = 5.0
    """The interval at which a drain or a poll checks whether its connection was changed."""
    downlink_timeout: float = 10.0
    """The time-out of a call to the network server."""

    @classmethod
    def scaled(cls, scale: float) -> "Timing":
        """Return the durations divided by ``scale`` (60 shortens a minute to a second)."""
        if scale == 1:
            return cls()
        function = max(5, math.ceil(30 / scale))
        report = max(function + 2, math.ceil(60 / scale))
        period = max(5.0, 60 / scale)
        poll_close = period * 130 / 60
        return cls(
            scale=scale,
            schedule=max(1.0, 60 / scale),
            function_timeout=function,
            report_visibility=report,
            wake_visibility=max(report + 3, math.ceil(180 / scale)),
            spare=max(1.5, 10 / scale),
            connect_budget=max(2.0, 10 / scale),
            poll_period=period,
            poll=poll_close + max(1.5, 10 / scale),
            poll_close=poll_close,
            poll_timeout=math.ceil(poll_close + max(4.5, 20 / scale)),
            poll_visibility=math.ceil(poll_close + max(6.5, 50 / scale)),
            slot=max(2.0 * function + 2, 120 / scale),
            lease=max(3.0, 20 / scale),
            lease_renewal=max(1.0, 10 / scale),
            recheck=max(0.5, 5 / scale),
        )


class Settings(BaseModel):
    """The settings of a deployment. The environment variable of a setting has the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    resource_prefix: str = "iot-flow-dev"
    """The prefix of the names of tables and queues; it must be that of the data stack."""
    secret_prefix: str = "iot-flow"  # noqa: S105  # a name, not a secret
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_client_id: str = ""
    """The console's public client at the issuer (authorization code with PKCE). If empty, users paste a token."""
    oidc_scope: str = "openid connections:read connections:write"
    """The scopes that the console requests from the issuer; Cognito expects ``<resource server>/<scope>``."""
    tenant_claim: str = "custom:tenant"
    uplink_max_time_deviation: Annotated[float, BeforeValidator(_seconds)] = 300.0
    """The maximum age of a report's Time, in seconds."""
    network_server_url: str = ""
    """The base URL of the LRC, without ``/thingpark/...``."""
    allowed_private_networks: Annotated[list[IPv4Network | IPv6Network], BeforeValidator(_networks)] = []
    max_connections_per_tenant: int = Field(default=100, ge=1)
    max_flows_per_tenant: int = Field(default=200, ge=1)
    max_drivers_per_tenant: int = Field(default=200, ge=1)
    codec_function: str = "codec"
    """The name of the function that runs drivers; the deployment sets it."""
    notify_function: str = "notify"
    """The name of the function that sends notifications; the deployment sets it."""
    notification_topics: Annotated[list[str], BeforeValidator(_topics)] = []
    """The ARNs of SNS topics, separated by commas, that tenants may choose for their notifications."""
    connection_tests_per_minute: int = Field(default=30, ge=1)
    """The limit per tenant. A test occupies a function for up to 25 seconds and connects to a host of the caller's."""
    connection_tests_at_once: int = Field(default=10, ge=1)
    """The limit of all tenants together, so that tests leave most of the API's functions to uplinks."""
    kms_key_id: str = ""
    """The KMS key of the connections' queues; if empty, the queues use SSE-SQS."""
    resource_tags: Annotated[dict[str, str], BeforeValidator(_tags)] = {}
    """The tags of the queues and secrets that the functions make, from ``name=value,name=value``."""
    time_scale: float = Field(default=1.0, gt=0)
    log_level: str = "INFO"

    @property
    def timing(self) -> Timing:
        """The durations, scaled by ``time_scale``."""
        return Timing.scaled(self.time_scale)

    def unfinished(self) -> list[str]:
        """Return the names of the environment variables that are missing or still have a placeholder."""
        return [
            name.upper()
            for name, value in self
            if (name in _REQUIRED and not value) or (isinstance(value, str) and _PLACEHOLDER.search(value))
        ]

    def table(self, kind: str) -> str:
        """Return the name of the table of one kind, such as ``connections``."""
        return f"{self.resource_prefix}-{kind}"

    def queue(self, kind: str) -> str:
        """Return the name of a queue, such as ``wakes``."""
        return f"{self.resource_prefix}-{kind}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings from environment variables; empty ones count as absent.

        Raises pydantic.ValidationError, which names the setting.
        """
        return cls.model_validate({k.lower(): v for k, v in environment.items() if k.isupper() and v != ""})


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process."""
    return Settings.from_environment(os.environ)
