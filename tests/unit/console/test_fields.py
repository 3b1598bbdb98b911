"""The form of the web page has every setting of the connector."""

from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from tests.unit.console.modules import evaluate

HIDDEN = {
    "createDevices": "accepted for compatibility: AMQP has no device registry",
}
"""Settings that the page does not show, with the reason."""


def test_page_shows_every_setting_of_the_connector() -> None:
    settings = set(AmqpConfiguration.model_json_schema()["properties"])
    shown = set(evaluate("parts/fields.js", "m.FIELDS.map(({ key }) => key)")) - {"name"}
    assert settings - shown == set(HIDDEN), (
        "add the setting to parts/fields.js and texts/connections.js, or to HIDDEN with a reason"
    )
    assert shown <= settings


def test_mandatory_settings_are_mandatory_in_the_form() -> None:
    required = set(AmqpConfiguration.model_json_schema()["required"])
    marked = set(evaluate("parts/fields.js", "m.FIELDS.filter(({ required }) => required).map(({ key }) => key)"))
    assert required <= marked
