"""A TCP proxy that can be cut: it then forwards nothing any more and closes nothing, like a NAT that forgot."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

_CHUNK = 65536


class Proxy:
    """Listens on ``port`` of 127.0.0.1 and ::1, in a thread of its own, for a target on 127.0.0.1."""

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
        """Nothing passes any more, on the connections that there are and on new ones; how many there are."""
        return int(self._run(self._set_cut(cut=True)))

    def mend(self) -> None:
        """New connections pass again. Those that were cut stay silent until an end gives them up."""
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
            # Cancelling ends a pair that is silent.
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
            # The broker is down: refused here as it would be there.
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
                    # This end gave up. The other is not told: that is what half open means.
                    return
                continue
            if not data:
                # An end that closed or was killed: what it sent before has been passed on, and now so is its end.
                writer.close()
                return
            try:
                writer.write(data)
                await writer.drain()
            except ConnectionError:
                return
