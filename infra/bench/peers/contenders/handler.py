"""The connector's whole forwarder: from wakes and reports in queues in memory to deleted reports.

Ingress stores the reports before the clock starts. The clock covers receiving, preparing, publishing, deleting and
the drain's records, in memory, too.
"""

from collections.abc import Callable

from infra.bench.peers.contenders.publisher import connection_of
from infra.bench.peers.contenders.serving import serve
from infra.bench.peers.job import Job
from infra.bench.settle import ForwarderBench


class Handler:
    """A forwarder with a warm publisher. Each batch is one invocation, with a wake and a new report of each device."""

    version = "this repository"

    def __init__(self, job: Job) -> None:
        self._bench = ForwarderBench(*connection_of(job))

    def prepare(self, messages: int) -> Callable[[], None]:
        return self._bench.round(messages)

    def close(self) -> None:
        self._bench.close()


if __name__ == "__main__":
    serve(Handler)
