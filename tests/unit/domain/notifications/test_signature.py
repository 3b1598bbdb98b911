"""Signatures of webhooks, verified with another implementation of Standard Webhooks."""

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from chalicelib.domain.notifications.signature import new_secret, signed_headers

BODY = '{"type":"connection.opened","data":{"message":"Käse is open"}}'


@pytest.fixture
def now() -> int:
    """The time in Unix seconds. The receiver refuses a signature that is older than five minutes."""
    return int(time.time())


def test_receiver_verifies_a_signature(now: int) -> None:
    secret = new_secret()
    assert Webhook(secret).verify(BODY, signed_headers([secret], "01M", now, BODY))["type"] == "connection.opened"


@pytest.mark.parametrize("receiver", [0, 1])
def test_receiver_with_either_secret_of_a_rotation_verifies(receiver: int, now: int) -> None:
    secrets = [new_secret(), new_secret()]
    Webhook(secrets[receiver]).verify(BODY, signed_headers(secrets, "01M", now, BODY))


@pytest.mark.parametrize("change", ["body", "secret", "webhook-id", "webhook-timestamp"])
def test_receiver_refuses_what_was_not_signed(change: str, now: int) -> None:
    secret = new_secret()
    headers = signed_headers([secret], "01M", now, BODY)
    if change in headers:
        headers[change] = "01N" if change == "webhook-id" else str(now - 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret() if change == "secret" else secret).verify(BODY + " " * (change == "body"), headers)


def test_secrets_are_random_and_long() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(first) == len("whsec_") + 44
