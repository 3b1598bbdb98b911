"""Clients of AWS, and how their errors become this project's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import Unavailable


def client_configuration() -> Any:
    """Time-outs in seconds that fit several tries into one request, and botocore's standard retries."""
    from botocore.config import Config  # noqa: PLC0415  # late: only who builds clients needs it

    return Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}, max_pool_connections=32
    )


def aws_client(service: str) -> Any:
    """A client of boto3, such as that of ``dynamodb``."""
    import boto3  # noqa: PLC0415  # late, as above

    # boto3's type hints have a separate overload for each service.
    return boto3.client(service, config=client_configuration())  # type: ignore[call-overload]


def error_code(error: ClientError) -> str:
    """What AWS calls the error, such as ``ConditionalCheckFailedException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Translate every SDK error to Unavailable; catch an expected error inside the block.

    The text leaves out AWS's own message, because it can repeat the request.
    """
    try:
        yield
    except ClientError as error:
        raise Unavailable(f"{service} answered {error_code(error) or 'with an error'}") from error
    except BotoCoreError as error:
        raise Unavailable(f"{service} does not answer ({type(error).__name__})") from error
