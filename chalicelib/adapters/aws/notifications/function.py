"""The function ``notify`` (``ports.notifications.NotifyFunction``), called with Lambda's Invoke."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from chalicelib.adapters.aws.clients import translated
from chalicelib.errors import Unavailable
from chalicelib.ports.notifications import SendJob


class AnyInvokeClient(Protocol):
    """The part of boto3's client of Lambda that the function needs."""

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> Any:  # noqa: N803  # boto3's names
        """Call a function; with the type ``Event``, do not wait for its response."""


class LambdaNotifyFunction:
    """Calls the function that sends notifications."""

    def __init__(self, client: AnyInvokeClient, function: str) -> None:
        self._client = client
        self._function = function

    def start(self, jobs: Sequence[SendJob]) -> None:
        self._invoke("Event", jobs)

    def run(self, job: SendJob) -> None:
        self._invoke("RequestResponse", [job])

    def _invoke(self, kind: str, jobs: Sequence[SendJob]) -> None:
        payload = json.dumps({"jobs": [asdict(job) for job in jobs]}).encode()
        with translated("the function notify"):
            response = self._client.invoke(FunctionName=self._function, InvocationType=kind, Payload=payload)
        if response.get("FunctionError"):
            raise Unavailable(f"the function {self._function} failed ({response['FunctionError']})")
