"""Doubles of the systems other than AWS that a function calls, for recording its AWS calls."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from chalicelib.adapters.aws.clients import aws_client
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckStep
from chalicelib.errors import BrokerFault
from chalicelib.ports.consuming import OnBatch, ReceivedDownlink
from infra.local.waiting import wait_until
from tests.functional.doubles import CodecFunction, NotifyFunction


class NoTester:
    def test(self, _connection: Connection, _secrets: ConnectionSecrets, _deadline: float) -> list[CheckStep]:
        return []


def calling(function: CodecFunction) -> Any:
    """A client of Lambda that calls a double in place of AWS."""
    client = aws_client("lambda")

    def answer(params: dict[str, Any], **_: Any) -> tuple[Any, Any]:
        return SimpleNamespace(status_code=200), function.invoke(FunctionName="codec", Payload=params["body"])

    client.meta.events.register("before-call.lambda.Invoke", answer)
    return client


def notifying(function: NotifyFunction) -> Any:
    """A client of Lambda that calls a double of the function ``notify`` in place of AWS."""
    client = aws_client("lambda")

    def answer(params: dict[str, Any], **_: Any) -> tuple[Any, Any]:
        kind = params["headers"]["X-Amz-Invocation-Type"]
        answered = function.invoke(FunctionName="notify", InvocationType=kind, Payload=params["body"])
        return SimpleNamespace(status_code=200), answered

    client.meta.events.register("before-call.lambda.Invoke", answer)
    return client


class NoRemover:
    def remove(self, _connection: Connection, _secrets: ConnectionSecrets, _deadline: float) -> None:
        return


class OnePoll:
    """A consumer that opens its connection, delivers the messages of a test if there are any, and ends."""

    def __init__(self, messages: Sequence[ReceivedDownlink], fault: BrokerFault | None = None) -> None:
        self._messages = messages
        self._fault = fault
        self._open = threading.Event()

    def open(self, _connection: Connection, _secrets: ConnectionSecrets, _old: Sequence[tuple[str, str]] = ()) -> None:
        self._open.set()

    def close(self, _connection_id: str, then: Callable[[], object] | None = None) -> None:
        if then:
            then()

    def delete_queue(self, connection_id: str) -> None:
        raise AssertionError(connection_id)

    def finish(self) -> None:
        raise AssertionError

    def run(
        self,
        _close_at: float,
        _end: float,
        on_batch: OnBatch,
        on_opened: Callable[[str], None],
        on_fault: Callable[[str, BrokerFault], None],
        tick: Callable[[], None],
    ) -> None:
        tick()
        if not self._messages:
            return

        def opened() -> bool:
            tick()
            return self._open.is_set()

        assert wait_until(opened, 10)
        if self._fault:
            on_fault(self._messages[0].connection_id, self._fault)
            return
        on_opened(self._messages[0].connection_id)
        on_batch(self._messages[0].connection_id, self._messages)


@dataclass
class ScriptedNetworkServer:
    error: Exception | None = None

    def send_downlink(self, _parameters: Sequence[tuple[str, str]], _as_key: str) -> None:
        if self.error:
            raise self.error
