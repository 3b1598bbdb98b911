"""The stage under test: its API, its account, and a broker that both the stage and this machine reach."""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pika

from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import CONFIG, LOCAL, Stage, stage_named
from infra.deploy.verify.patient_api import PatientApi
from infra.local.directory import STACK_FILE
from infra.local.stack_config import StackConfig

BROKER, BROKER_TLS, TOKEN, API = "VERIFY_BROKER", "VERIFY_BROKER_TLS", "VERIFY_TOKEN", "VERIFY_API_URL"
_PEM_FIELDS = {
    "caFile": "trustedCaCertificate",
    "clientCertificateFile": "certificate",
    "clientKeyFile": "privateKey",
}


@dataclass(frozen=True)
class BrokerAddress:
    """A listener of the broker, from a URL ``amqp[s]://user:password@host:port/vhost``."""

    host: str
    port: int
    virtual_host: str
    username: str
    password: str = field(repr=False)
    tls: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    """PEM files of a private authority and a client certificate, by the names of stack.json."""

    @classmethod
    def from_url(cls, url: str) -> "BrokerAddress":
        """Return the address in a URL. Raises OperateFailed."""
        parts = urlsplit(url)
        if parts.scheme not in {"amqp", "amqps"} or not parts.hostname or not parts.username:
            raise OperateFailed("A broker is given as amqp://user:password@host:port/vhost, or amqps:// for TLS.")
        tls = parts.scheme == "amqps"
        vhost = unquote(parts.path[1:]) or "/"
        port = parts.port or (5671 if tls else 5672)
        return cls(parts.hostname, port, vhost, unquote(parts.username), unquote(parts.password or ""), tls)

    def open(self) -> pika.BlockingConnection:
        """Connect as the customer's application does."""
        options = None
        if self.tls:
            context = ssl.create_default_context(cafile=self.files.get("caFile"))
            if "clientCertificateFile" in self.files:
                context.load_cert_chain(self.files["clientCertificateFile"], self.files["clientKeyFile"])
            options = pika.SSLOptions(context, self.host)
        return pika.BlockingConnection(
            pika.ConnectionParameters(
                self.host,
                self.port,
                self.virtual_host,
                pika.PlainCredentials(self.username, self.password),
                ssl_options=options,
                blocked_connection_timeout=10,
            )
        )

    def configuration(self) -> dict[str, Any]:
        """Return the fields of a connection's configuration for this listener."""
        fields: dict[str, Any] = {
            "protocol": "SSL" if self.tls else "TCP",
            "hostName": f"{self.host}:{self.port}",
            "username": self.username,
            "password": self.password,
            "virtualHost": self.virtual_host,
            "exchangeName": "amq.topic",
        }
        names = {
            "caFile": "trustedCaCertificate",
            "clientCertificateFile": "certificate",
            "clientKeyFile": "privateKey",
        }
        for file, name in names.items():
            if file in self.files:
                fields[name] = Path(self.files[file]).read_text(encoding="ascii")
        return fields


@dataclass(frozen=True)
class Site:
    """Dependencies of the checks. ``stack`` is the document of a local stack, empty for a stage on AWS."""

    stage: Stage
    api_url: str
    token: str = field(repr=False)
    tcp: BrokerAddress | None
    tls: BrokerAddress | None
    stack: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_local(self) -> bool:
        """Return whether the stage is a local stack."""
        return bool(self.stack)

    @property
    def api(self) -> PatientApi:
        """A new client with the tenant's token."""
        return PatientApi(self.api_url, self.token)


def site_of(stage_name: str, environment: Mapping[str, str] = os.environ) -> Site:
    """Return the site of a stage. Raises OperateFailed when a variable is missing."""
    stage = stage_named(stage_name)
    if stage_name == LOCAL:
        return _local(stage)
    api_url = environment.get(API) or _deployed_url(stage)
    token = environment.get(TOKEN)
    if not api_url or not token:
        raise OperateFailed(
            f"Set {TOKEN} to an access token of a tenant for tests and, without .chalice/deployed/{stage_name}.json, "
            f"{API} to the API's URL. See docs/operations/verify.md."
        )
    tcp, tls = environment.get(BROKER), environment.get(BROKER_TLS)
    return Site(
        stage,
        api_url.rstrip("/"),
        token,
        BrokerAddress.from_url(tcp) if tcp else None,
        BrokerAddress.from_url(tls) if tls else None,
    )


def _deployed_url(stage: Stage) -> str | None:
    file = CONFIG.parent / "deployed" / f"{stage.name}.json"
    if not file.exists():
        return None
    resources = json.loads(file.read_text(encoding="utf-8"))["resources"]
    return next((str(each["rest_api_url"]) for each in resources if each["resource_type"] == "rest_api"), None)


def _local(stage: Stage) -> Site:
    file = StackConfig.from_environment(os.environ).directory / STACK_FILE
    stack = json.loads(file.read_text(encoding="utf-8"))
    amqp = stack["amqp"]
    login = {"host": amqp["host"], "virtual_host": "/", "username": amqp["username"], "password": amqp["password"]}
    tcp = BrokerAddress(port=amqp["port"], **login)
    tls = BrokerAddress(port=amqp["tlsPort"], tls=True, files=amqp, **login)
    return Site(stage, stack["apiUrl"], stack["token"], tcp, tls, stack)
