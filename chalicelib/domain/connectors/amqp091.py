"""The AMQP 0-9-1 connector: its id, its configuration and the rules between its fields.

To add a configuration field, add it to AmqpConfiguration; CONTRIBUTING lists the code that shows or reads it.
"""

from enum import StrEnum
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.config import JsonValue

from chalicelib.domain.amqp_limits import MAX_CONNECTIONS
from chalicelib.domain.connectors.common import ReconnectStrategy, duration
from chalicelib.domain.validation.violations import Values
from chalicelib.errors import Violation
from chalicelib.kernel.documents import Document
from chalicelib.kernel.durations import DURATION
from chalicelib.kernel.json_schema import Whole, absent, given

ConnectorId = Literal["actility-amqp-0.9.1-iot"]
CONNECTOR_ID: ConnectorId = get_args(ConnectorId)[0]
NAME = "AMQP 0-9-1"
DEFAULT_PORTS = {"TCP": 5672, "SSL": 5671}
"""The default port by protocol. A stored secret is sent only to the host and port that it was saved for."""
SECRET_FIELDS = ("password", "privateKey", "certificate", "trustedCaCertificate", "downlinkAsKey")
PEM_FIELDS = {
    "certificate": "certificate",
    "privateKey": "private_key",
    "trustedCaCertificate": "trusted_ca_certificate",
}
"""The fields with PEM texts: name in the document to name in the model."""

FIELDS_THAT_GO_TOGETHER: list[JsonValue] = [
    {
        "anyOf": [
            given("downlinkTopicPattern"),
            {"required": ["downlinkEnabled"], "properties": {"downlinkEnabled": {"const": False}}},
        ]
    },
    {"anyOf": [given("username", "password"), absent("username", "password")]},
    {"anyOf": [given("certificate", "privateKey"), absent("certificate", "privateKey")]},
    {
        "anyOf": [
            {"properties": {"protocol": {"const": "SSL"}}},
            absent("certificate", "privateKey", "trustedCaCertificate"),
        ]
    },
]
"""The rules between fields as JSON Schema; ``together`` checks the same rules."""


class BrokerProtocol(StrEnum):
    """The transport to the broker: plain TCP or TLS (SSL)."""

    TCP = "TCP"
    SSL = "SSL"


class AmqpConfiguration(Document):
    """The tenant's broker, the login, and the settings of uplinks and downlinks.

    Source: the connector's specification. ``domain.validation`` checks PEM texts, patterns and hosts.
    """

    model_config = ConfigDict(json_schema_extra={"allOf": FIELDS_THAT_GO_TOGETHER})

    host_name: str = Field(min_length=1, max_length=260, description="host or host:port; IPv6 in brackets")
    protocol: BrokerProtocol
    uplink_topic_pattern: str = Field(min_length=1, max_length=1024)
    downlink_topic_pattern: str | None = Field(default=None, min_length=1, max_length=255)
    username: str | None = Field(default=None, min_length=1, max_length=255)
    password: str | None = Field(default=None, min_length=1, max_length=4096)
    certificate: str | None = Field(default=None, min_length=1, max_length=32768)
    private_key: str | None = Field(default=None, min_length=1, max_length=16384)
    trusted_ca_certificate: str | None = Field(default=None, min_length=1, max_length=32768)
    exchange_name: str = Field(default="amq.topic", max_length=255)
    virtual_host: str = Field(default="/", min_length=1, max_length=255)
    connection_timeout: Whole = Field(default=5000, ge=100, le=10000, description="milliseconds")
    action_timeout: Whole = Field(default=1000, ge=100, le=10000, description="milliseconds to wait for a confirm")
    description: str | None = Field(default=None, max_length=1024)
    send_metadata: bool = False
    send_raw_decoded_format: bool = False
    uplink_time_validity: (
        Annotated[str, AfterValidator(duration), Field(json_schema_extra={"pattern": DURATION})] | None
    ) = None
    downlink_enabled: bool = True
    downlink_as_id: str | None = Field(default=None, min_length=1, max_length=255)
    downlink_as_key: str | None = Field(default=None, min_length=1, max_length=255)
    downlink_port: Whole | None = Field(default=None, ge=1, le=224)
    reconnect_strategy: ReconnectStrategy = ReconnectStrategy.NORMAL
    max_connections: Whole = Field(
        default=MAX_CONNECTIONS, ge=1, le=16, description="sockets at the broker at a time, the consumer's included"
    )
    create_devices: bool = True


def together(values: Values, wrong_places: set[str]) -> list[Violation]:
    """Return the violations of FIELDS_THAT_GO_TOGETHER, each with a sentence.

    ``wrong_places`` contains the JSON pointers of fields with another violation; they do not count as missing.
    """

    def violation(name: str, detail: str) -> list[Violation]:
        return [Violation(f"/configuration/{name}", detail)]

    def lacks(name: str) -> bool:
        return name not in values and f"/configuration/{name}" not in wrong_places

    violations: list[Violation] = []
    for one, other, sentence in (
        ("username", "password", "A username needs its password; send both or neither."),
        ("password", "username", "A password needs its username; send both or neither."),
        ("certificate", "privateKey", "A certificate needs its private key; send both or neither."),
        ("privateKey", "certificate", "A private key needs its certificate; send both or neither."),
    ):
        if one in values and lacks(other):
            violations += violation(other, sentence)
    if values.get("protocol") == "TCP":
        for name in PEM_FIELDS:
            if name in values:
                violations += violation(name, "This field requires the protocol SSL; remove it or choose SSL.")
    if values.get("downlinkEnabled", True) is True and lacks("downlinkTopicPattern"):
        violations += violation(
            "downlinkTopicPattern", "This field is mandatory; add it or set downlinkEnabled to false."
        )
    if values.get("maxConnections") == 1 and values.get("downlinkEnabled", True) is True:
        violations += violation(
            "maxConnections", "Uplinks and downlinks need a socket each; allow 2 or set downlinkEnabled to false."
        )
    return violations
