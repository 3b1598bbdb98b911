"""An AWS account as the deployment sees it: clients of one region, and errors in one line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from infra.deploy.stage import Refused


@dataclass
class Account:
    """Clients of one account and region, and how long to wait between two looks at something that AWS changes."""

    session: Any
    """The session of botocore, which Chalice uses, too."""
    pause: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    number: str = ""
    caller: str = ""
    _clients: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_environment(cls, region: str, pause: float = 5.0) -> "Account":
        session = botocore.session.get_session()
        session.set_config_variable("region", region)
        return cls(session, pause)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = _make_client(self.session, service)
        return self._clients[service]

    def credentials(self) -> Any:
        """Return the credentials, or None."""
        return self.session.get_credentials()

    def wait(self) -> None:
        self.sleep(self.pause)


def _make_client(session: Any, service: Any) -> Any:
    return boto3.Session(botocore_session=session).client(service)


def code(error: ClientError) -> str:
    """Return AWS's code of an error, such as ``ResourceNotFoundException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def absent(*codes: str) -> Iterator[None]:
    """Ignore an error with one of these codes: what is to be removed or read is not there."""
    try:
        yield
    except ClientError as error:
        if code(error) not in codes:
            raise


@contextmanager
def in_one_line() -> Iterator[None]:
    """Turn errors of the SDK into Refused, with the call and AWS's words."""
    try:
        yield
    except ClientError as error:
        words = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
        raise Refused(f"AWS refused {error.operation_name} ({code(error)}): {words}") from error
    except BotoCoreError as error:
        raise Refused(f"AWS could not be called: {' '.join(str(error).split())}") from error
