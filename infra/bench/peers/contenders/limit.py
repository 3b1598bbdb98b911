"""The limit: frames that were encoded before the clock starts, in one write to a socket."""

from collections.abc import Callable

from infra.bench.peers.contenders.connecting import ConfirmingSocket, encoded
from infra.bench.peers.contenders.serving import serve
from infra.bench.peers.job import Job, read_messages


class Limit:
    """A socket and the frames of each size of batch."""

    def __init__(self, job: Job) -> None:
        self._messages = read_messages(job)
        self._encoded: dict[int, bytes] = {}
        self._socket = ConfirmingSocket(job, job.port)
        self.version = self._socket.version

    def prepare(self, messages: int) -> Callable[[], None]:
        if messages not in self._encoded:
            self._encoded[messages] = encoded(self._messages[:messages])
        data = self._encoded[messages]
        return lambda: self._socket.publish(data, messages)

    def close(self) -> None:
        self._socket.close()


if __name__ == "__main__":
    serve(Limit)
