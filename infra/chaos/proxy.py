"""A TCP proxy that can be cut: it then drops all data and closes no connection, like a NAT without its state.

It can also close its port, and delay the publisher confirms of an AMQP broker.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

_CHUNK = 65536
_HEADER = 7
"""Bytes before the payload of an AMQP frame: type, channel and size."""
_ACK = b"\x00\x3c\x00\x50"
"""Class and method of ``basic.ack``."""


class Proxy:
    """Listens on ``port`` of 127.0.0.1 in a background thread and forwards to a port of 127.0.0.1.

    ``encrypted``: the data is TLS, so that the proxy cannot see frames and no confirms delayed.
    """

    def __init__(self, target_port: int, *, encrypted: bool = False) -> None:
        self._target = target_port
        self.encrypted = encrypted
        self._loop = asyncio.new_event_loop()
        self._live: set[_Pair] = set()
        self._cut = False
        self.confirm_delay = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy to {target_port}", daemon=True)
        self._thread.start()
        self.port = 0
        self._server: asyncio.Server
        self._run(self._listen())

    def cut(self) -> int:
        """Drops all data of current and new connections. Returns the number of current ones."""
        return int(self._run(self._set_cut(cut=True)))

    def mend(self) -> None:
        """Forwards new connections again. Cut connections stay silent until one end closes them."""
        self._run(self._set_cut(cut=False))

    def delay_confirms(self, seconds: float) -> None:
        """Delivers each ``basic.ack`` of the broker ``seconds`` late; 0 ends that."""
        self.confirm_delay = seconds

    def close_port(self) -> None:
        """Resets current connections and refuses new ones."""
        self._run(self._end())

    def open_port(self) -> None:
        """Listens again."""
        if not self._server.is_serving():
            self._run(self._listen())

    def stop(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set_cut(self, *, cut: bool) -> int:
        self._cut = cut
        number = len(self._live)
        if cut:
            for pair in self._live:
                pair.silent = True
            self._live.clear()
        return number

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(reader, writer, self, silent=self._cut)
        if not pair.silent:
            self._live.add(pair)
        task = asyncio.create_task(pair.serve(self._target))
        self._tasks.add(task)
        try:
            # stop() cancels silent pairs.
            await asyncio.gather(task, return_exceptions=True)
        finally:
            self._tasks.discard(task)
            self._live.discard(pair)


class _Pair:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: Proxy, *, silent: bool
    ) -> None:
        self.silent = silent
        self._proxy = proxy
        self._frames = b""
        self._reader = reader
        self._writer = writer

    async def serve(self, target: int) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            # The broker is down; the client must see a failed connection, too.
            self._writer.transport.abort()
            return
        try:
            await asyncio.gather(
                self._pass_on(self._reader, far_writer, lambda data: data),
                self._pass_on(far_reader, self._writer, self._without_acks),
            )
        finally:
            self._writer.transport.abort()
            far_writer.transport.abort()

    def _without_acks(self, data: bytes) -> bytes:
        """Return the broker's data without ``basic.ack`` frames, which follow after the delay."""
        if self._proxy.encrypted:
            return data
        self._frames += data
        passed = b""
        while len(self._frames) >= _HEADER:
            end = _HEADER + int.from_bytes(self._frames[3:_HEADER], "big") + 1
            if len(self._frames) < end:
                break
            frame, self._frames = self._frames[:end], self._frames[end:]
            if self._proxy.confirm_delay and frame[0] == 1 and frame[_HEADER : _HEADER + 4] == _ACK:
                asyncio.get_running_loop().call_later(self._proxy.confirm_delay, self._write_late, frame)
            else:
                passed += frame
        return passed

    def _write_late(self, frame: bytes) -> None:
        if not self._writer.is_closing() and not self.silent:
            self._writer.write(frame)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, changed: Callable[[bytes], bytes]
    ) -> None:
        while True:
            try:
                data = await reader.read(_CHUNK)
            except ConnectionError:
                data = b""
            if self.silent:
                if not data:
                    # A half-open connection: the other end must not learn that this one closed.
                    return
                continue
            if not data:
                # One end closed. All its data has been forwarded, so the close can follow.
                writer.close()
                return
            try:
                writer.write(changed(data))
                await writer.drain()
            except ConnectionError:
                return
