"""What a Service's own address does on a node: gives each new connection to a pod that is ready, at random.

It runs alone, in a container of its own, with nothing but Python's standard library. Its input are lines
of JSON: `{"8080": [["172.20.0.5", 8080], …]}`, for each port the pods behind it. A port without pods is
closed, so that connections are refused, as nodes do. Connections that are there stay where they are.
"""

import asyncio
import json
import os
import random
import sys

CHUNK = 64 * 1024
Targets = dict[str, list[tuple[str, int]]]


class Balancer:
    """The ports of one Service."""

    def __init__(self) -> None:
        self.targets: Targets = {}
        self.servers: dict[str, asyncio.Server] = {}

    async def follow(self, targets: Targets) -> None:
        """Send new connections there from now on."""
        self.targets = targets
        for port in list(self.servers):
            if not targets.get(port):
                self.servers.pop(port).close()
        for port, pods in targets.items():
            if pods and port not in self.servers:
                self.servers[port] = await self._listen(port)

    async def _listen(self, port: str) -> asyncio.Server:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(port, reader, writer)

        return await asyncio.start_server(connected, "0.0.0.0", int(port), backlog=1024)

    async def _serve(self, port: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pods = self.targets.get(port)
        try:
            if not pods:
                raise OSError("no pod is ready")
            pod_reader, pod_writer = await asyncio.open_connection(*random.choice(pods))
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_copy(reader, pod_writer), _copy(pod_reader, writer))
        finally:
            pod_writer.close()
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand one direction on; its end and its breaking off too."""
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if not writer.transport.is_closing():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


async def main() -> None:
    """Follow what is said on standard input until it ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(0, "rb"))
    balancer = Balancer()
    print("following", flush=True)  # noqa: T201
    while line := await lines.readline():
        await balancer.follow(json.loads(line))
        print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit()
