"""A TCP proxy that can be cut: it then drops all data and closes no connection, like a NAT without its state."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

_CHUNK = 65536


class Proxy:
    """Listens on ``port`` of 127.0.0.1 in a background thread and forwards to a port of 127.0.0.1."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._live: set[_Pair] = set()
        self._cut = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy to {target_port}", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> int:
        """Drops all data of current and new connections. Returns the number of current ones."""
        return int(self._run(self._set_cut(cut=True)))

    def mend(self) -> None:
        """Forwards new connections again. Cut connections stay silent until one end closes them."""
        self._run(self._set_cut(cut=False))

    def stop(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

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
        pair = _Pair(reader, writer, silent=self._cut)
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
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, silent: bool) -> None:
        self.silent = silent
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
            await asyncio.gather(self._pass_on(self._reader, far_writer), self._pass_on(far_reader, self._writer))
        finally:
            self._writer.transport.abort()
            far_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
                writer.write(data)
                await writer.drain()
            except ConnectionError:
                return
