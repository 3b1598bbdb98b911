"""A scan for secrets, in every encoding in which a program could leak them, and the texts to scan."""

import html
import json
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import boto3

from tests.e2e.client import Stack

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_SHORTEST = 12
"""Minimum length in characters; a shorter text could occur by chance."""
_PIECES = 3


def forms(secret: str) -> set[str]:
    """The forms of a secret: plain, JSON, URL, HTML, hexadecimal and base64.

    For a PEM text, some lines, and texts that span two lines of its one-line form.
    """
    lines = [line for line in secret.splitlines() if "-----" not in line]
    if len(lines) <= 1:
        return _forms(secret)
    one_line = "".join(lines)
    step = max(1, len(lines) // _PIECES)
    pieces = [*lines[1::step], *(one_line[at + 40 : at + 90] for at in range(64, len(one_line) - 90, 64 * step))]
    return set().union(*(_forms(piece) for piece in pieces))


def _forms(text: str) -> set[str]:
    raw = text.encode()
    found = {text, json.dumps(text)[1:-1], quote(text, safe=""), quote(text), quote_plus(text), html.escape(text)}
    found |= {raw.hex(), raw.hex().upper(), repr(raw)[2:-1], text.lower(), text.upper()}
    for offset in range(3):
        # Within a longer text, base64 has three alignments; its first and last characters depend on the neighbours.
        encoded = b64encode(b"\0" * offset + raw).decode().rstrip("=")
        core = encoded[4 * (offset > 0) : -2]
        found |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in found if len(form) >= _SHORTEST}


class Places:
    """The scanned texts by the name of their place."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}

    def add(self, place: str, text: str) -> None:
        self._texts.setdefault(place, []).append(text)

    def text(self, beginning: str) -> str:
        """All texts of places whose names begin with ``beginning``."""
        return "\n".join(text for name, texts in self._texts.items() if name.startswith(beginning) for text in texts)

    def hits(self, secrets: Mapping[str, str]) -> list[str]:
        """The found secrets and their places."""
        wanted = {name: forms(secret) for name, secret in secrets.items()}
        texts = {place: "\n".join(texts) for place, texts in self._texts.items()}
        return [
            f"{name} in {place}"
            for place, text in texts.items()
            for name, different in wanted.items()
            if any(form in text for form in different)
        ]


def _session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")


def _sqs(stack: Stack) -> "SQSClient":
    return _session().client("sqs", endpoint_url=stack.info["sqsEndpointUrl"])


def look_into_tables(stack: Stack, places: Places) -> None:
    client = _session().client("dynamodb", endpoint_url=stack.info["awsEndpointUrl"])
    for name in client.list_tables()["TableNames"]:
        for page in client.get_paginator("scan").paginate(TableName=name):
            places.add(f"table {name}", json.dumps(page["Items"], default=str))


def look_into_logs(stack: Stack, places: Places) -> None:
    for log in [*stack.directory.glob("logs/*.log"), *stack.directory.glob("broker/log/*.log")]:
        places.add(f"log {log.name}", log.read_text(errors="replace"))
    # stack.json and the printed output are not scanned, because they contain the stack's tokens on purpose.


def look_into_queues(stack: Stack, places: Places) -> None:
    """The messages that are visible in a queue. They stay in the queue."""
    client = _sqs(stack)
    for url in client.list_queues()["QueueUrls"]:
        _look_into_queue(client, url, places)


def _look_into_queue(client: "SQSClient", url: str, places: Places) -> None:
    answer = client.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=0,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    )
    places.add(f"queue {url.rsplit('/', 1)[1]}", json.dumps(answer.get("Messages", [])))


@contextmanager
def shared_queues_watched(stack: Stack, places: Places) -> Iterator[None]:
    """Polls the queues that the functions empty at once, to see short-lived messages, too."""
    client, ended = _sqs(stack), threading.Event()
    urls = [url for url in client.list_queues()["QueueUrls"] if "-uplinks-" not in url]

    def watch() -> None:
        while not ended.wait(0.02):
            for url in urls:
                _look_into_queue(client, url, places)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def pem_pair(stack: Stack) -> tuple[str, str, str]:
    """Certificate, key and CA of the stack's client."""
    amqp = stack.info["amqp"]
    names = ("clientCertificateFile", "clientKeyFile", "caFile")
    certificate, key, authority = (Path(amqp[name]).read_text() for name in names)
    return certificate, key, authority
