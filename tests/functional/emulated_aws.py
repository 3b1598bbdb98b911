"""AWS as moto emulates it within the test's process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

_one_call = threading.RLock()


@cache
def _session() -> boto3.Session:
    """Return the session of all tests: reading the descriptions of all services takes a new one half a second."""
    return boto3.Session()


@contextmanager
def emulated_aws() -> Iterator[None]:
    """Emulate an empty AWS. Calls of several threads take turns, because moto's services know no threads."""
    process_request = BotocoreStubber.process_request

    def in_turn(self: BotocoreStubber, request: Any) -> Any:
        with _one_call:
            return process_request(self, request)

    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "process_request", in_turn)
        patch.setattr(boto3, "DEFAULT_SESSION", _session())
        yield
