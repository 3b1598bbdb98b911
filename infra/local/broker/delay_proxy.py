"""A TCP proxy on 127.0.0.1 that delays all data, to measure as if the broker were far away.

It runs as a separate process so that it takes no CPU time from the measured one:
``python -m infra.local.broker.delay_proxy TARGET_PORT ROUND_TRIP_MS``.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def delaying_proxy(target_port: int, round_trip: float) -> Iterator[int]:
    """Yields the port of a proxy to ``target_port`` that adds ``round_trip`` seconds to each round trip."""
    command = [sys.executable, "-m", "infra.local.broker.delay_proxy", str(target_port), str(round_trip * 1000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("The proxy has no output.")
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _serve(target_port: int, one_way: float) -> None:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", target_port)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass_on(reader, target_writer, one_way))
            group.create_task(_pass_on(target_reader, writer, one_way))

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way: float) -> None:
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(65536):
            loop.call_later(one_way, _write, writer, data)
    except ConnectionError:
        print("A peer reset its connection.", file=sys.stderr)
    loop.call_later(one_way, writer.close)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 2000))
