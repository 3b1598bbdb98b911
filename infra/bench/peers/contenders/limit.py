"""The limit: frames that were encoded before the clock starts, in one write to a socket."""

from collections.abc import Callable

from infra.bench.peers.contenders.confirms import ACK, NACK, RETURN, Confirms, acknowledged
from infra.bench.peers.contenders.connecting import confirming_socket, encoded
from infra.bench.peers.contenders.serving import NotDelivered, serve
from infra.bench.peers.job import Job, read_messages

_BUFFER = 65536


class Limit:
    """A socket with a channel in confirm mode."""

    def __init__(self, job: Job) -> None:
        self._messages = read_messages(job)
        self._encoded: dict[int, bytes] = {}
        self._socket, self._frames, self.version = confirming_socket(job)
        self._confirms = Confirms()
        self._published = 0

    def prepare(self, messages: int) -> Callable[[], None]:
        if messages not in self._encoded:
            self._encoded[messages] = encoded(self._messages[:messages])
        data = self._encoded[messages]
        return lambda: self._publish(data, messages)

    def _publish(self, data: bytes, messages: int) -> None:
        self._published += messages
        self._socket.sendall(data)
        while self._confirms.settled < self._published:
            received = self._socket.recv(_BUFFER)
            if not received:
                raise ConnectionError("The broker closed the connection.")
            for name, arguments in self._frames.methods(received):
                if name in (NACK, RETURN):
                    raise NotDelivered(f"method {name}")
                if name == ACK:
                    self._confirms.add(*acknowledged(arguments))

    def close(self) -> None:
        self._socket.close()


if __name__ == "__main__":
    serve(Limit)
