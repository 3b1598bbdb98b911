"""The function ``codec`` (``ports.drivers.Codec``), called with Lambda's Invoke."""

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.errors import Unavailable
from chalicelib.ports.drivers import CodecAnswer, CodecJob

_TRIES = 4
"""Calls while Lambda refuses them, because all of the function's executions are in use."""
_ROUNDS = 4
"""Calls for one batch: one function after another may lack the code."""
_MAX_CODES = 3_000_000
"""Characters of code in one call: a request has at most 6 MB, and JSON may double them."""
_FIELDS = ("data", "bytes", "result", "errors", "warnings", "console", "milliseconds")


class InvokeClient(Protocol):
    """The part of boto3's client of Lambda that the codec needs."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803  # boto3's names
        """Call a function and wait for its response."""


class LambdaCodec:
    """Calls the codec. A refused, failed or late call is Unavailable: an outage of ours, not of the driver."""

    def __init__(self, client: InvokeClient, function: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._function = function
        self._sleep = sleep

    def run(self, jobs: Sequence[CodecJob], code_of: Callable[[str], str]) -> list[CodecAnswer]:
        if not jobs:
            return []
        messages = [_message(job) for job in jobs]
        codes: dict[str, str] = {}
        for _ in range(_ROUNDS):
            answer = self._invoke({"messages": messages, "codes": codes})
            if answer.get("answers"):
                return [_answer(each) for each in answer["answers"]]
            codes = {name: code_of(name) for name in answer.get("missing", ())}
            while sum(map(len, codes.values())) > _MAX_CODES:
                name, code = codes.popitem()
                self._invoke({"messages": [], "codes": {name: code}})
        raise Unavailable(f"the function {self._function} does not keep the drivers that it is given")

    def _invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        with translated("the codec"):
            response = self._accepted(json.dumps(request).encode())
            payload = response["Payload"].read()
        if response.get("FunctionError"):
            raise Unavailable(f"the function {self._function} failed ({response['FunctionError']})")
        answer: dict[str, Any] = json.loads(payload)
        return answer

    def _accepted(self, payload: bytes) -> Any:
        """Return the response of a call, after up to a second of refusals."""
        for attempt in range(_TRIES):
            try:
                return self._client.invoke(FunctionName=self._function, Payload=payload)
            except ClientError as error:
                if error_code(error) != "TooManyRequestsException" or attempt == _TRIES - 1:
                    raise
            self._sleep(random.uniform(0.05, 0.15) * 2**attempt)  # noqa: S311  # not for cryptography
        raise AssertionError


def _message(job: CodecJob) -> dict[str, Any]:
    message = {
        "driver": job.code_hash,
        "signature": job.signature,
        "operation": job.operation,
        "input": dict(job.input),
    }
    return message | {name: True for name in ("whole", "console") if getattr(job, name)}


def _answer(answer: dict[str, Any]) -> CodecAnswer:
    failure = answer.get("failure") or {}
    return CodecAnswer(
        **{name: answer[name] for name in _FIELDS if name in answer},
        f_port=answer.get("fPort"),
        failure=failure.get("message"),
        line=failure.get("line"),
        column=failure.get("column"),
    )
