"""The operator's SNS topics (``ports.notifications.Topics``)."""

from collections.abc import Sequence
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.aws.clients import error_code
from chalicelib.errors import NotDelivered
from chalicelib.ports.notifications import Accepted


class PublishClient(Protocol):
    """The part of boto3's client of SNS that topics need."""

    def publish(self, *, TopicArn: str, Message: str, MessageAttributes: Any) -> Any:  # noqa: N803  # boto3's names
        """Publish a message."""


class SnsTopics:
    """Publishes to the topics that the setting NOTIFICATION_TOPICS lists, and to no other."""

    def __init__(self, client: PublishClient, allowed: Sequence[str]) -> None:
        self._client = client
        self._allowed = frozenset(allowed)

    def publish(self, arn: str, kind: str, body: str) -> Accepted:
        if arn not in self._allowed:
            raise NotDelivered(f"The operator does not offer the topic {arn} any more. Choose another target.")
        attributes = {"type": {"DataType": "String", "StringValue": kind}}
        try:
            self._client.publish(TopicArn=arn, Message=body, MessageAttributes=attributes)
        except ClientError as error:
            detail = f"SNS answered {error_code(error) or 'with an error'}. Ask the operator to check the topic."
            raise NotDelivered(detail, silent=True) from error
        except BotoCoreError as error:
            raise NotDelivered(f"SNS does not answer ({type(error).__name__}).", silent=True) from error
        return Accepted()
