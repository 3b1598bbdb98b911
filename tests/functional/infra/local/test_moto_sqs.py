"""The local stack's SQS keeps SQS's guarantees, over HTTP with boto3 and compared with a simple model."""

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from infra.local.aws.server import Server
from infra.local.sqs.engine import Engine, ReceiptHandleExpired

if TYPE_CHECKING:
    from infra.local.sqs.answers import Received

SQSClient = Any
"""A boto3 client typed as Any, because its types require literal attribute names."""

FIFO = {
    "FifoQueue": "true",
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "1209600",
    "SqsManagedSseEnabled": "true",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    running = Server(0)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.port}"
    running.shutdown()
    thread.join()


@pytest.fixture
def sqs(endpoint: str) -> SQSClient:
    return boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def fifo(sqs: SQSClient, request: pytest.FixtureRequest) -> str:
    return str(sqs.create_queue(QueueName=f"{request.node.name}"[:70] + ".fifo", Attributes=FIFO)["QueueUrl"])


@pytest.fixture
def standard(sqs: SQSClient, request: pytest.FixtureRequest) -> str:
    return str(sqs.create_queue(QueueName=f"{request.node.name}"[:70])["QueueUrl"])


def send(sqs: SQSClient, queue: str, group: str, body: str) -> dict[str, Any]:
    return dict(sqs.send_message(QueueUrl=queue, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=body))


def receive(sqs: SQSClient, queue: str, count: int = 10, visibility: int = 30, wait: int = 0) -> list[Any]:
    answer = sqs.receive_message(
        QueueUrl=queue,
        MaxNumberOfMessages=count,
        VisibilityTimeout=visibility,
        WaitTimeSeconds=wait,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    return list(answer.get("Messages", []))


def bodies(messages: list[Any]) -> list[str]:
    return [message["Body"] for message in messages]


def counts(sqs: SQSClient, queue: str) -> tuple[int, int, int]:
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    kinds = ("", "NotVisible", "Delayed")
    visible, not_visible, delayed = (int(found[f"ApproximateNumberOfMessages{kind}"]) for kind in kinds)
    return visible, not_visible, delayed


def test_receive_returns_several_messages_of_a_group_in_order_and_blocks_it(sqs: SQSClient, fifo: str) -> None:
    for body in ("a1", "a2", "b1", "a3"):
        send(sqs, fifo, body[0], body)

    first = receive(sqs, fifo, count=2)
    assert bodies(first) == ["a1", "a2"]
    assert bodies(receive(sqs, fifo)) == ["b1"]

    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=first[0]["ReceiptHandle"])
    assert receive(sqs, fifo) == []
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=first[1]["ReceiptHandle"])
    assert bodies(receive(sqs, fifo)) == ["a3"]


def test_returned_group_comes_back_in_order_when_none_of_it_is_in_flight(sqs: SQSClient, fifo: str) -> None:
    for body in ("a1", "a2", "a3"):
        send(sqs, fifo, "a", body)
    held = receive(sqs, fifo, count=2)

    sqs.change_message_visibility(QueueUrl=fifo, ReceiptHandle=held[0]["ReceiptHandle"], VisibilityTimeout=0)
    assert receive(sqs, fifo) == []
    sqs.change_message_visibility(QueueUrl=fifo, ReceiptHandle=held[1]["ReceiptHandle"], VisibilityTimeout=0)

    again = receive(sqs, fifo)
    assert bodies(again) == ["a1", "a2", "a3"]
    assert [each["Attributes"]["ApproximateReceiveCount"] for each in again] == ["2", "2", "1"]


def test_long_poll_receives_a_group_after_its_visibility_timeout(sqs: SQSClient, fifo: str) -> None:
    for body in ("a1", "a2"):
        send(sqs, fifo, "a", body)
    assert bodies(receive(sqs, fifo, visibility=1)) == ["a1", "a2"]

    began = time.monotonic()
    assert bodies(receive(sqs, fifo, wait=10)) == ["a1", "a2"]
    # It returns neither at once nor at the end of the poll.
    assert 0.5 < time.monotonic() - began < 9.5


def test_duplicate_gets_the_first_answer_even_after_deletion(sqs: SQSClient, fifo: str) -> None:
    first = send(sqs, fifo, "a", "same")
    [held] = receive(sqs, fifo)
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=held["ReceiptHandle"])

    again = send(sqs, fifo, "a", "same")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    assert receive(sqs, fifo) == []

    other_group = send(sqs, fifo, "b", "same")
    assert other_group["MessageId"] != first["MessageId"]


def test_receipt_handle_replaced_by_a_later_receive_deletes_nothing(sqs: SQSClient, fifo: str) -> None:
    send(sqs, fifo, "a", "a1")
    [stale] = receive(sqs, fifo, visibility=0)
    [current] = receive(sqs, fifo)

    with pytest.raises(ClientError, match="expired"):
        sqs.delete_message(QueueUrl=fifo, ReceiptHandle=stale["ReceiptHandle"])
    entries = [
        {"Id": "stale", "ReceiptHandle": stale["ReceiptHandle"]},
        {"Id": "current", "ReceiptHandle": current["ReceiptHandle"]},
        {"Id": "strange", "ReceiptHandle": "strange"},
    ]
    answer = sqs.delete_message_batch(QueueUrl=fifo, Entries=entries)
    assert [each["Id"] for each in answer["Successful"]] == ["current"]
    assert [(each["Id"], each["Code"]) for each in answer["Failed"]] == [
        ("stale", "InvalidParameterValue"),
        ("strange", "ReceiptHandleIsInvalid"),
    ]
    assert counts(sqs, fifo) == (0, 0, 0)


def test_counts_distinguish_visible_in_flight_and_delayed(sqs: SQSClient, standard: str) -> None:
    for delay in (0, 0, 900):
        sqs.send_message(QueueUrl=standard, MessageBody="m", DelaySeconds=delay)
    [held] = receive(sqs, standard, count=1)
    assert counts(sqs, standard) == (1, 1, 1)

    sqs.change_message_visibility(QueueUrl=standard, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0)
    assert counts(sqs, standard) == (2, 0, 1)
    with pytest.raises(sqs.exceptions.MessageNotInflight):
        sqs.change_message_visibility(QueueUrl=standard, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=9)

    sqs.purge_queue(QueueUrl=standard)
    assert counts(sqs, standard) == (0, 0, 0)


def test_standard_queue_delivers_regardless_of_messages_in_flight(sqs: SQSClient, standard: str) -> None:
    attributes: Any = {"kind": {"DataType": "String", "StringValue": "x"}}
    sqs.send_message(QueueUrl=standard, MessageBody="first", MessageAttributes=attributes)
    sqs.send_message(QueueUrl=standard, MessageBody="second")

    [first] = receive(sqs, standard, count=1)
    assert first["MessageAttributes"] == attributes
    assert abs(int(first["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < 60
    assert bodies(receive(sqs, standard)) == ["second"]
    sqs.delete_message(QueueUrl=standard, ReceiptHandle=first["ReceiptHandle"])
    sqs.delete_message(QueueUrl=standard, ReceiptHandle=first["ReceiptHandle"])
    assert counts(sqs, standard) == (0, 1, 0)


def test_send_ends_a_long_poll_that_blocks_no_other_request(sqs: SQSClient, standard: str) -> None:
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.extend(receive(sqs, standard, wait=20)))
    waiting.start()
    for _ in range(20):
        assert counts(sqs, standard) == (0, 0, 0)

    sqs.send_message(QueueUrl=standard, MessageBody="m")
    waiting.join(15)
    assert bodies(found) == ["m"]


def test_deleting_a_queue_ends_its_long_polls() -> None:
    engine = Engine()
    waiting = threading.Thread(target=lambda: engine.receive(1, visibility=1, wait=20))
    waiting.start()
    engine.close()
    waiting.join(10)
    assert not waiting.is_alive()


def test_deleted_queue_does_not_exist(sqs: SQSClient, standard: str) -> None:
    sqs.delete_queue(QueueUrl=standard)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as caught:
        sqs.send_message(QueueUrl=standard, MessageBody="m")
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_message_size_is_limited_to_one_mebibyte(sqs: SQSClient, fifo: str) -> None:
    send_body = {"QueueUrl": fifo, "MessageGroupId": "a", "MessageDeduplicationId": "1"}
    sqs.send_message(**send_body, MessageBody="x" * 1048576)
    with pytest.raises(ClientError, match="shorter than 1048576"):
        sqs.send_message(**send_body, MessageBody="ü" * 524289)
    assert len(receive(sqs, fifo)[0]["Body"]) == 1048576


def test_create_is_idempotent_and_list_filters_by_prefix(sqs: SQSClient, fifo: str) -> None:
    name = fifo.rsplit("/", 1)[-1]
    assert sqs.create_queue(QueueName=name, Attributes=FIFO)["QueueUrl"] == fifo
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == fifo
    assert sqs.list_queues(QueueNamePrefix=name[:20])["QueueUrls"] == [fifo]
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName=name, Attributes={**FIFO, "VisibilityTimeout": "7"})
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        sqs.create_queue(QueueName="no-suffix", Attributes=FIFO)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_cost_of_a_receive_does_not_depend_on_the_backlog() -> None:
    def seconds(backlog: int) -> float:
        engine = Engine(fifo=True, deduplicate_per_group=True)
        for number in range(backlog):
            engine.send("x", group=f"g{number % 1000}", deduplication_id=str(number))
        began = time.thread_time()
        for _ in range(200):
            for message in engine.receive(10, visibility=30):
                engine.delete(message.receipt_handle)
        return time.thread_time() - began

    assert seconds(100_000) < 10 * seconds(4_000)


class FifoQueue(RuleBasedStateMachine):
    """Compares the engine with a model: a list for each group and a visibility time for each message."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.engine = Engine(fifo=True, deduplicate_per_group=True, clock=self.clock)
        self.groups: dict[str, list[str]] = {}
        self.held: dict[str, tuple[Received, float]] = {}
        self.expired: list[Received] = []
        self.sent: dict[tuple[str, str], tuple[float, str]] = {}
        self.number = 0

    def _settle(self) -> None:
        for body, (received, until) in list(self.held.items()):
            if until <= self.clock.now:
                del self.held[body]
                self.expired.append(received)

    @rule(group=st.sampled_from("abc"))
    def send(self, group: str) -> None:
        self.number += 1
        body = f"{group}{self.number}"
        sent = self.engine.send(body, group=group, deduplication_id=body)
        self.groups.setdefault(group, []).append(body)
        self.sent[group, body] = (self.clock.now, sent.message_id)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        (group, body), (at, message_id) = data.draw(st.sampled_from(sorted(self.sent.items())))
        if self.clock.now < at + 300:
            assert self.engine.send(body, group=group, deduplication_id=body).message_id == message_id

    @rule(count=st.integers(1, 10), visibility=st.integers(0, 30))
    def receive(self, count: int, visibility: int) -> None:
        self._settle()
        blocked = {body[0] for body in self.held}
        free = {group: list(waiting) for group, waiting in self.groups.items() if group not in blocked and waiting}
        received = self.engine.receive(count, visibility=visibility)
        assert len(received) == min(count, sum(map(len, free.values())))
        for message in received:
            assert message.group is not None
            assert free[message.group].pop(0) == message.body, "out of order, or of a group that is held"
            self.held[message.body] = (message, self.clock.now + visibility)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self._settle()
        if not self.held:
            return
        body = data.draw(st.sampled_from(sorted(self.held)))
        received, _ = self.held.pop(body)
        self.engine.delete(received.receipt_handle)
        self.groups[body[0]].remove(body)
        self.engine.delete(received.receipt_handle)

    @precondition(lambda self: self.expired)
    @rule(data=st.data())
    def delete_late(self, data: st.DataObject) -> None:
        received = data.draw(st.sampled_from(self.expired))
        if received.body in self.groups[received.body[0]]:
            with pytest.raises(ReceiptHandleExpired):
                self.engine.delete(received.receipt_handle)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), seconds=st.integers(0, 60))
    def change_visibility(self, data: st.DataObject, seconds: int) -> None:
        self._settle()
        if not self.held:
            return
        body = data.draw(st.sampled_from(sorted(self.held)))
        received, _ = self.held[body]
        self.engine.change_visibility(received.receipt_handle, seconds)
        self.held[body] = (received, self.clock.now + seconds)

    @rule(seconds=st.integers(1, 200))
    def pass_time(self, seconds: int) -> None:
        self.clock.now += seconds

    @invariant()
    def counts_are_right(self) -> None:
        self._settle()
        found = self.engine.counts()
        assert found.not_visible == len(self.held)
        assert found.visible + found.not_visible == sum(map(len, self.groups.values()))

    def teardown(self) -> None:
        """Checks that all messages that were not deleted come out in order."""
        self.clock.now += 100
        left: dict[str, list[str]] = {}
        while messages := self.engine.receive(10, visibility=600):
            for message in messages:
                left.setdefault(message.group or "", []).append(message.body)
                self.engine.delete(message.receipt_handle)
        assert left == {group: waiting for group, waiting in self.groups.items() if waiting}


TestFifoQueue = FifoQueue.TestCase
TestFifoQueue.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
