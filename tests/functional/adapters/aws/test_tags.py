"""Queues and secrets that the functions make have the stage's tags, by which its costs are found."""

from chalicelib.config import Settings
from chalicelib.domain.connection import ConnectionSecrets
from chalicelib.entry.services import Services

TAGS = {"iot-flow:stage": "test"}


def test_queue_of_a_connection_has_the_tags(services: Services) -> None:
    services.uplink_queues.create("c1")
    url = services.sqs.get_queue_url(QueueName=services.settings.queue("uplinks-c1.fifo"))["QueueUrl"]
    assert services.sqs.list_queue_tags(QueueUrl=url)["Tags"] == TAGS


def test_secrets_of_connections_servers_and_downlinks_have_the_tags(services: Services) -> None:
    services.secret_store.put("demo", "c1", ConnectionSecrets(password="secret"))
    services.secret_store.put_as_key("demo", "c1", "0011")
    services.application_server_store.put("demo", "AS1", "key of AS1")
    found = services.secretsmanager.list_secrets()["SecretList"]
    assert len(found) == 3
    for secret in found:
        assert {tag["Key"]: tag["Value"] for tag in secret["Tags"]} == TAGS, secret["Name"]


def test_tags_are_read_from_the_environment() -> None:
    settings = Settings.from_environment({"RESOURCE_TAGS": "iot-flow:stage=test, team=a=b"})
    assert settings.resource_tags == {"iot-flow:stage": "test", "team": "a=b"}
    assert Settings.from_environment({}).resource_tags == {}
