"""The client of the codec: missing code, refusals and failures."""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from chalicelib.adapters.aws.drivers.codec import LambdaCodec
from chalicelib.errors import NotFound, Unavailable
from chalicelib.ports.drivers import CodecJob

JOB = CodecJob("h1", "ttn", "decodeUplink", {"bytes": "00"})
DONE = {"answers": [{"data": "1", "milliseconds": 2.0}]}


class Function:
    """A client of Lambda that gives prepared answers: a response, or what a call raises."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[Any] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803  # boto3's names
        assert FunctionName == "f"
        self.requests.append(json.loads(Payload))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer == "failed":
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "x"}')}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


def run(function: Function, jobs: Sequence[CodecJob] = (JOB,), code_of: Callable[[str], str] = str) -> Any:
    return LambdaCodec(function, "f", lambda _: None).run(jobs, code_of)


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "Invoke")


def test_code_is_sent_only_when_it_is_missing() -> None:
    function = Function({"missing": ["h1"]}, DONE, DONE)
    [answer] = run(function, code_of=lambda name: f"code of {name}")
    run(function)
    assert (answer.data, answer.fault) == ("1", None)
    assert [request["codes"] for request in function.requests] == [{}, {"h1": "code of h1"}, {}]


def test_codes_that_are_too_large_for_one_call_are_sent_before() -> None:
    jobs = [CodecJob(f"h{number}", "ttn", "decodeUplink") for number in range(10)]
    function = Function({"missing": [job.code_hash for job in jobs]}, *[{"answers": []}] * 4, DONE)
    run(function, jobs, lambda _: "x" * 500_000)
    assert [len(request["codes"]) for request in function.requests] == [0, 1, 1, 1, 1, 6]
    assert max(len(json.dumps(request)) for request in function.requests) < 6_000_000


def test_refused_call_is_repeated() -> None:
    assert run(Function(refusal("TooManyRequestsException"), refusal("TooManyRequestsException"), DONE))[0].data == "1"


@pytest.mark.parametrize(
    "answers",
    [
        [refusal("TooManyRequestsException")] * 4,
        [refusal("ResourceNotFoundException")],
        [refusal("ServiceException")],
        [ConnectTimeoutError(endpoint_url="http://codec")],
        ["failed"],
        [{"answers": []}] * 4,
        [{"missing": ["h1"]}] * 4,
    ],
    ids=str,
)
def test_codec_that_does_not_work_is_unavailable(answers: list[Any]) -> None:
    with pytest.raises(Unavailable):
        run(Function(*answers))


def test_code_that_is_gone_is_reported() -> None:
    def gone(_name: str) -> str:
        raise NotFound("replaced")

    with pytest.raises(NotFound):
        run(Function({"missing": ["h1"]}), code_of=gone)


def test_no_job_needs_no_call() -> None:
    assert run(Function(), []) == []
