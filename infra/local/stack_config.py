"""Settings of a local stack, read from its environment, and the environment of its processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from chalicelib.config import Settings
from infra.local.errors import StackFailed
from infra.local.issuer import AUDIENCE
from infra.local.stack_ports import Ports, ports_from

REGION = "eu-west-1"
_NOT_INHERITED = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "PYTHONPATH")


@dataclass(frozen=True)
class StackConfig:
    """``aws_endpoint_url`` is None when the stack starts its emulation of AWS."""

    directory: Path
    ports: Ports
    demo: bool
    aws_endpoint_url: str | None
    inherited: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "StackConfig":
        """Raises StackFailed for a value that cannot be used."""
        return cls(
            directory=Path(environment.get("LOCAL_DIR") or ".local").absolute(),
            ports=ports_from(environment.get("PORT_BASE")),
            demo=environment.get("DEMO", "1") not in ("0", "false", "no"),
            aws_endpoint_url=environment.get("AWS_ENDPOINT_URL") or None,
            inherited=dict(environment),
        )

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def issuer_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.issuer}"

    @property
    def network_server_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.network_server}"

    @property
    def aws_url(self) -> str:
        return self.aws_endpoint_url or f"http://127.0.0.1:{self.ports.aws}"

    @property
    def sqs_url(self) -> str:
        """The endpoint of SQS, which another emulation may serve. The variable has the name that AWS's SDKs use."""
        return self.inherited.get("AWS_ENDPOINT_URL_SQS") or self.aws_url

    @property
    def functions_url(self) -> str:
        """The endpoint of Lambda, which the runner serves."""
        return self.inherited.get("AWS_ENDPOINT_URL_LAMBDA") or f"http://127.0.0.1:{self.ports.functions}"

    def environment(self) -> dict[str, str]:
        """The environment of every process of the stack, with the connector's settings.

        The caller's environment may override limits, log levels and TIME_SCALE.
        """
        kept = {name: value for name, value in self.inherited.items() if name not in _NOT_INHERITED}
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
        if self.aws_endpoint_url is not None:
            credentials = {name: kept.get(name) or value for name, value in credentials.items()}
        return {
            "RESOURCE_PREFIX": "iot-flow-local",
            "MAX_CONNECTIONS_PER_TENANT": "2000",
            "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8,::1/128",
            "TIME_SCALE": "1",
            **kept,
            **credentials,
            "AWS_REGION": credentials["AWS_DEFAULT_REGION"],
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ENDPOINT_URL_SQS": self.sqs_url,
            "AWS_ENDPOINT_URL_LAMBDA": self.functions_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "OIDC_ISSUER": self.issuer_url,
            "OIDC_AUDIENCE": AUDIENCE,
            "TENANT_CLAIM": "tenant",
            "NETWORK_SERVER_URL": self.network_server_url,
        }

    def settings(self) -> Settings:
        """The connector's settings in this stack. Raises StackFailed that names the invalid one."""
        try:
            return Settings.from_environment(self.environment())
        except ValidationError as error:
            names = ", ".join(str(each["loc"][0]).upper() + ": " + each["msg"] for each in error.errors())
            raise StackFailed(f"Invalid setting in the environment. {names}") from error
