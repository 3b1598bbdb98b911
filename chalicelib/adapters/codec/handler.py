"""The handler of the function ``codec``: batches of messages in, answers out.

A request has ``messages``, each with the ``driver``'s hash, ``signature``, ``operation`` and ``input``, and ``codes``,
a map from hash to code. The caller leaves out the code that it believes is known here. If some is not, the response has
``missing``, the hashes, and nothing is run. Otherwise it has ``answers``, fewer than messages if the batch's time is
over.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol

from chalicelib.kernel.bounded_cache import BoundedCache

BATCH_SECONDS = 2.0
"""CPU time of one batch. A message that has begun is finished."""
_CACHED = 64 << 20
"""Characters of code in memory."""
OPERATIONS = frozenset({"compile", "decodeUplink", "decodeDownlink", "encodeDownlink"})


class Runner(Protocol):
    """Runs the messages of one connection; ``processes.Worker``."""

    def run(self, messages: list[dict[str, Any]], codes: dict[str, str], seconds: float) -> list[dict[str, Any]]:
        """Return the answers of the messages that were begun within ``seconds`` of CPU time."""


class CodecHandler:
    """Runs batches; keeps code between them, and nothing else."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._codes: BoundedCache[str, str] = BoundedCache(_CACHED, len)

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to a request. Raises ValueError if it is not a request."""
        messages = event["messages"]
        if any(message["operation"] not in OPERATIONS for message in messages):
            raise ValueError("unknown operation")
        for name, code in event.get("codes", {}).items():
            if name != code_hash(code):
                # The cache is shared by all tenants of this process, so its names must be true.
                raise ValueError("the hash of a code does not match")
            self._codes.put(name, code)
        names = OrderedDict.fromkeys(message["driver"] for message in messages)
        codes = {name: code for name in names if (code := self._codes.get(name)) is not None}
        missing = [name for name in names if name not in codes]
        if missing:
            return {"missing": missing}
        return {"answers": self._runner.run(list(messages), codes, BATCH_SECONDS)}


def code_hash(code: str) -> str:
    """Return the name of a code: the hex SHA-256 of its UTF-8."""
    return hashlib.sha256(code.encode("utf-8")).hexdigest()
