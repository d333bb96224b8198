"""What TLS does amid the data: new keys (RFC 8446 §4.6.3), renegotiation (RFC 5246 §7.4.1.1).

The server is OpenSSL's own, which does both on demand; Python's can do neither.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme
from conformance.bench import eventually
from conformance.wire import PATIENCE_SECONDS
from unit.forwarding.tls_far_end import Told, dial, trusting

from proxy.forwarding.tls_handshake import open_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from proxy.forwarding.tls_transport import TlsTransport

OURS = b"\xfe" * 4096


class Server:
    """`openssl s_server`: a line on its input is sent, but for those that are commands."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: tuple[int, int]) -> None:
        self.process = process
        self._pipe = pipe
        self.output = bytearray()
        self.port = 0

    async def started(self) -> None:
        """Wait for its port."""
        assert self.process.stdout is not None
        while not (line := await self.process.stdout.readline()).startswith(b"ACCEPT"):
            assert line, "it ended"
        self.port = int(line.rpartition(b":")[2])

    async def listen(self) -> None:
        """Gather what it writes: its own talk, and what we sent."""
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(65536):
            self.output += data

    def says(self, line: bytes) -> None:
        """Give it a line."""
        os.write(self._pipe[1], line + b"\n")

    async def obeys(self) -> None:
        """Wait until it has read the line: it takes one for a command only if it reads it alone."""
        await eventually(lambda: not select.select([self._pipe[0]], [], [], 0)[0], "it is read")


class Relay:
    """Between us and the server: it can keep what the server says to itself."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.lets_pass = asyncio.Event()
        self.lets_pass.set()
        self.holds_at_next_word = False

    async def start(self) -> tuple[str, int]:
        """Listen; return the address."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address

    async def stop(self) -> None:
        """End it."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)
        for writer in self._writers:
            await writer.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader_there, writer_there = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, writer_there]
        self._tasks += [
            asyncio.create_task(self._forth(reader, writer_there)),
            asyncio.create_task(self._back(reader_there, writer)),
        ]

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.holds_at_next_word:
                self.lets_pass.clear()
            writer.write(data)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.lets_pass.wait()
            writer.write(data)


@asynccontextmanager
async def speaking(
    folder: Path, version: str
) -> AsyncIterator[tuple[Server, Relay, TlsTransport, Told]]:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
    pipe = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", folder / "both.pem"),
        *("-key", folder / "both.pem", version),
        stdin=pipe[0],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    server = Server(process, pipe)
    listening: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.started()
            relay = Relay(server.port)
            sock = await dial(await relay.start(), buffer_bytes=65536)
            transport, told = await open_tls(
                asyncio.get_running_loop(), sock, trusting(authority), "127.0.0.1", Told
            )
            listening = asyncio.create_task(server.listen())
            yield server, relay, transport, told
            transport.abort()
            await told.gone()
            await relay.stop()
    finally:
        process.kill()
        await process.wait()
        os.close(pipe[0])
        os.close(pipe[1])
        if listening is not None:
            await listening


@pytest.mark.parametrize("command", [b"K", b"k"])
async def test_new_keys_amid_the_data_lose_no_byte(tmp_path: Path, command: bytes) -> None:
    """K wants ours renewed in turn, which is a write in answer to a read."""
    async with speaking(tmp_path, "-tls1_3") as (server, _, transport, told):
        sent = 0
        for turn in range(1, 5):
            server.process.send_signal(signal.SIGSTOP)
            # All is full, and a record half sent, when the server obeys.
            while told.may_write.is_set():
                transport.write(OURS)
                sent += len(OURS)
                await asyncio.sleep(0)
            server.says(command)
            server.process.send_signal(signal.SIGCONT)
            await server.obeys()
            server.says(b"news")
            await until(told.received.count, b"news\n", turn)
            await told.may_write.wait()
        await until(server.output.count, b"\xfe", sent)
        await until(server.output.count, b"SSL_do_handshake -> 1", 4)


async def until(count: Callable[[bytes], int], what: bytes, times: int) -> None:
    await eventually(lambda: count(what) == times, f"{what!r} {times} times")


async def test_what_is_written_amid_a_renegotiation_waits_for_it(tmp_path: Path) -> None:
    async with speaking(tmp_path, "-tls1_2") as (server, relay, transport, told):
        transport.write(OURS)
        await until(server.output.count, b"\xfe", len(OURS))
        relay.holds_at_next_word = True
        server.says(b"r")
        await eventually(lambda: not relay.lets_pass.is_set(), "we have begun a new handshake")
        for _ in range(50):
            transport.write(OURS)
        assert transport.get_write_buffer_size() == 50 * len(OURS)
        assert not told.may_write.is_set()
        # It waits to be told of the server's word, not of room for ours, of which there is plenty.
        fd = transport.get_extra_info("socket").fileno()
        assert not asyncio.get_running_loop().remove_writer(fd)
        relay.holds_at_next_word = False
        relay.lets_pass.set()
        await until(server.output.count, b"\xfe", 51 * len(OURS))
        server.says(b"news")
        await eventually(lambda: told.received == b"news\n", "its word came")
        assert transport.get_write_buffer_size() == 0
        assert told.may_write.is_set()
