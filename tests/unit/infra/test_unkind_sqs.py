"""The unkind mode of the local SQS."""

import io
import json
from typing import Any

import pytest

from infra.local.sqs.unkind import UnkindSqs

QUEUE = {"QueueUrl": "http://host/123456789012/reports.fifo"}


class Client:
    """Calls an Sqs without HTTP."""

    def __init__(self, sqs: UnkindSqs) -> None:
        self._sqs = sqs
        self.statuses: list[str] = []

    def call(self, action: str, **request: Any) -> dict[str, Any] | None:
        """Return the answer, or None for an error."""
        body = json.dumps(request).encode()
        environment = {
            "HTTP_X_AMZ_TARGET": f"AmazonSQS.{action}",
            "HTTP_HOST": "host",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }

        def start(status: str, _headers: Any, _error: Any = None) -> Any:
            self.statuses.append(status)

        answer = b"".join(self._sqs(environment, start))
        return json.loads(answer) if self.statuses[-1] == "200 OK" else None

    def insist(self, action: str, **request: Any) -> dict[str, Any]:
        """Repeat a call until it succeeds."""
        while (answer := self.call(action, **request)) is None:
            pass
        return answer


def test_unkind_queue_returns_short_late_and_empty_and_loses_no_message() -> None:
    # Given
    waits: list[float] = []
    client = Client(UnkindSqs(seed=7, sleep=waits.append))
    client.insist("CreateQueue", QueueName="reports.fifo", Attributes={"FifoQueue": "true"})
    sent = [str(number) for number in range(1000)]
    for body in sent:
        client.insist("SendMessage", **QUEUE, MessageBody=body, MessageGroupId=body, MessageDeduplicationId=body)

    # When
    sizes: list[int] = []
    received: dict[str, str] = {}
    while len(received) < len(sent):
        answer = client.call("ReceiveMessage", **QUEUE, MaxNumberOfMessages=10, VisibilityTimeout=0)
        messages = [] if answer is None else answer.get("Messages", [])
        sizes.append(len(messages))
        for message in messages:
            received[message["Body"]] = message["ReceiptHandle"]
            client.insist("DeleteMessage", **QUEUE, ReceiptHandle=message["ReceiptHandle"])

    # Then
    assert set(received) == set(sent)
    assert set(sizes) == set(range(11))
    assert "500 Server Error" in client.statuses
    assert "400 Bad Request" in client.statuses
    assert all(0.005 <= wait <= 0.03 for wait in waits)


def test_new_queue_is_not_found_at_once() -> None:
    client = Client(UnkindSqs(seed=7, sleep=lambda _: None))
    client.insist("CreateQueue", QueueName="reports.fifo", Attributes={"FifoQueue": "true"})
    assert client.call("GetQueueUrl", QueueName="reports.fifo") is None
    assert client.insist("GetQueueUrl", QueueName="reports.fifo")["QueueUrl"] == QUEUE["QueueUrl"]


def test_repeated_attempt_receives_the_messages_of_the_lost_answer() -> None:
    # Given
    client = Client(UnkindSqs(seed=7, sleep=lambda _: None))
    client.insist("CreateQueue", QueueName="reports.fifo", Attributes={"FifoQueue": "true"})
    for body in ("first", "second", "third"):
        client.insist("SendMessage", **QUEUE, MessageBody=body, MessageGroupId="device", MessageDeduplicationId=body)

    def receive(attempt: str) -> list[dict[str, Any]]:
        answer: dict[str, Any] = {}
        for _ in range(20):
            answer = client.insist("ReceiveMessage", **QUEUE, VisibilityTimeout=60, ReceiveRequestAttemptId=attempt)
            if answer:
                break
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    # When
    lost = receive("attempt-1")
    again = receive("attempt-1")
    other = receive("attempt-2")

    # Then
    assert [message["Body"] for message in lost] == ["first"]
    assert again == lost
    assert other == []
    client.insist("DeleteMessage", **QUEUE, ReceiptHandle=again[0]["ReceiptHandle"])
    assert [message["Body"] for message in receive("attempt-1")] == ["second"]


def test_lost_answer_and_empty_receive_are_printed_with_action_and_queue(capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(UnkindSqs(seed=7, sleep=lambda _: None))
    client.insist("CreateQueue", QueueName="reports.fifo", Attributes={"FifoQueue": "true"})
    client.insist("GetQueueUrl", QueueName="reports.fifo")
    capsys.readouterr()
    # A lost answer is one in 500. Which numbers are drawn depends on how often the new queue was not found.
    for _ in range(20_000):
        client.call("ReceiveMessage", **QUEUE, MaxNumberOfMessages=1)
    lines = [line.split(" ", 1) for line in capsys.readouterr().out.splitlines()]
    assert all(float(at) > 0 for at, _ in lines)
    assert {fault for _, fault in lines} == {
        "lost answer: AmazonSQS.ReceiveMessage reports.fifo",
        "empty receive: AmazonSQS.ReceiveMessage reports.fifo",
    }


def test_repeated_attempt_is_neither_short_nor_empty() -> None:
    client = Client(UnkindSqs(seed=7, sleep=lambda _: None))
    client.insist("CreateQueue", QueueName="reports.fifo", Attributes={"FifoQueue": "true"})
    for body in "0123456789":
        client.insist("SendMessage", **QUEUE, MessageBody=body, MessageGroupId=body, MessageDeduplicationId=body)
    attempt = {**QUEUE, "MaxNumberOfMessages": 10, "VisibilityTimeout": 60, "ReceiveRequestAttemptId": "first"}
    # The first answers may be falsely empty.
    while not (received := client.insist("ReceiveMessage", **attempt).get("Messages")):
        pass
    for _ in range(200):
        assert client.insist("ReceiveMessage", **attempt)["Messages"] == received
