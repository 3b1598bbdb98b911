"""The local runner answers Lambda's Invoke for the function ``codec`` of the real app."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from chalicelib.adapters.aws.drivers.codec import LambdaCodec
from chalicelib.domain.drivers.driver import code_hash
from chalicelib.errors import Unavailable
from chalicelib.ports.drivers import CodecJob
from infra.local.lambda_service.environment import Function
from infra.local.lambda_service.invocations import Invocations
from infra.local.processes import ROOT
from infra.local.tcp_ports import free_ports
from tests.functional.infra.local.test_runner import alive, wait_for

CODE = "function decodeUplink(input) { return { data: input.bytes }; }"
JOB = CodecJob(code_hash(CODE), "lora-alliance", "decodeUplink", {"bytes": "2a", "fPort": 1})


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def functions(tmp_path: Path, port: int) -> Iterator[Invocations]:
    credentials = {"AWS_ACCESS_KEY_ID": "canary", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_SESSION_TOKEN": "canary"}
    environment = {**os.environ, **credentials, "AWS_DEFAULT_REGION": "eu-west-1", "AWS_LAMBDA_FUNCTION_NAME": "codec"}
    function = Function("codec", ROOT, "app", 30, environment, tmp_path / "codec.log")
    made = Invocations([function], port, lambda: None)
    made.start()
    yield made
    made.stop(5)
    assert not any(map(alive, made.pids()))


@pytest.fixture
def codec(port: int) -> LambdaCodec:
    return LambdaCodec(client(port), "codec")


def client(port: int) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-west-1",
        aws_access_key_id="t",
        aws_secret_access_key="t",
        config=Config(retries={"mode": "standard", "max_attempts": 1}, read_timeout=60),
    )


def test_codec_decodes_through_the_sdk(functions: Invocations, codec: LambdaCodec) -> None:
    for _ in range(3):
        [answer] = codec.run([JOB], lambda _: CODE)
        assert answer.data == "[42]"
    assert len(functions.pids()) == 2


def test_process_of_the_codec_has_no_credentials(functions: Invocations, codec: LambdaCodec) -> None:
    codec.run([JOB], lambda _: CODE)
    for pid in functions.pids():
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"canary" not in environment
        assert b"AWS_LAMBDA_FUNCTION_NAME=codec" in environment


def test_killed_codec_is_unavailable_for_a_call_and_started_again(functions: Invocations, codec: LambdaCodec) -> None:
    # Given
    codec.run([JOB], lambda _: CODE)
    for pid in functions.pids():
        os.kill(pid, signal.SIGKILL)

    # When
    def works() -> bool:
        try:
            return codec.run([JOB], lambda _: CODE)[0].data == "[42]"
        except Unavailable:
            return False

    # Then
    wait_for(works, "another process")


def test_unknown_function_is_unavailable(functions: Invocations, port: int) -> None:
    assert functions
    with pytest.raises(Unavailable, match="ResourceNotFoundException"):
        LambdaCodec(client(port), "other").run([JOB], lambda _: CODE)


def test_request_that_the_codec_refuses_is_unavailable(functions: Invocations, codec: LambdaCodec) -> None:
    assert functions
    with pytest.raises(Unavailable, match="Unhandled"):
        codec.run([CodecJob(code_hash(CODE), "", "eval", {})], lambda _: CODE)
