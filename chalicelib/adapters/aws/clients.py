"""AWS clients, and the translation of their errors to this project's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import __version__
from chalicelib.errors import Unavailable


def client_configuration(read_timeout: float | None = None) -> Any:
    """Return botocore's configuration: standard retries, and time-outs that fit several attempts into one request.

    ``read_timeout``: seconds of a longer call, which is tried once.
    """
    from botocore.config import Config  # noqa: PLC0415  # imported only where a client is built

    return Config(
        connect_timeout=2,
        read_timeout=read_timeout or 5,
        retries={"mode": "standard", "max_attempts": 1 if read_timeout else 3},
        max_pool_connections=32,
        # Without it, botocore builds a user agent twice for each call, which takes a tenth of the call's CPU.
        user_agent=f"iot-flow/{__version__}",
    )


def aws_client(service: str, read_timeout: float | None = None, tags: Mapping[str, str] | None = None) -> Any:
    """Return a boto3 client of a service, such as ``dynamodb``. Queues and secrets that it creates have the tags."""
    import boto3  # noqa: PLC0415  # imported only where a client is built

    # boto3's type hints have one overload for each service name.
    client = boto3.client(service, config=client_configuration(read_timeout))  # type: ignore[call-overload]
    if tags:
        pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
        for call, own in (("sqs.CreateQueue", {"tags": dict(tags)}), ("secretsmanager.CreateSecret", {"Tags": pairs})):
            client.meta.events.register(f"provide-client-params.{call}", _with(own))
    return client


def _with(own: dict[str, Any]) -> Any:
    """Return a handler that adds parameters to a call."""

    def extend(params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**params, **own}

    return extend


def error_code(error: ClientError) -> str:
    """Return the code that AWS gives the error, such as ``ConditionalCheckFailedException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Translate every SDK error of the block to Unavailable. Catch expected errors inside the block.

    The text leaves out AWS's message, because that can repeat the request with its secrets.
    """
    try:
        yield
    except ClientError as error:
        raise Unavailable(f"{service} answered {error_code(error) or 'with an error'}") from error
    except BotoCoreError as error:
        raise Unavailable(f"{service} does not answer ({type(error).__name__})") from error
