"""Answers of an authorization server that would fill the memory if they were taken whole.

They come for tokens that nobody has yet, for renewals, and for metadata, in every framing, and
packed: what is small on the wire must not count for less than what it unpacks to.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from endurance.measured_proxy import MIB, eventually
from endurance.sizes import sized
from integration.recording_upstream import RecordingUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from endurance.measured_proxy import MeasuredProxy, StartMeasured

    Answers = dict[str, Callable[[], Iterator[bytes]]]

ANSWER_BYTES = 1024 * MIB
GROWTH_BYTES_MAX = 8 * MIB
"""R-04; for all of them together."""
TAKEN_BYTES_MAX = 16 * MIB
"""What the kernel may hold of one answer; the proxy itself reads less."""
OF_EACH = sized(2, 4)
"""How many clients meet each answer at once."""
LIFETIME_SECONDS = 30
RENEW_AT = 0.06
"""Of the lifetime, give or take 0.05: a renewal comes at once, and the token lives on."""
BLANKS = b" " * MIB
TOKEN = b'{"access_token":"large","token_type":"Bearer","expires_in":60}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


def blanks() -> Iterator[bytes]:
    """Yield what may stand before a JSON object."""
    for _ in range(ANSWER_BYTES // len(BLANKS)):
        yield BLANKS


def with_length() -> Iterator[bytes]:
    yield HEAD + b"Content-Length: %d\r\n\r\n" % (ANSWER_BYTES + len(TOKEN))
    yield from blanks()
    yield TOKEN


def chunked() -> Iterator[bytes]:
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for part in [*blanks(), TOKEN]:
        yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def until_the_end() -> Iterator[bytes]:
    yield HEAD + b"\r\n"
    yield from blanks()
    yield TOKEN


def one_field() -> Iterator[bytes]:
    yield HEAD + b"X-Large: "
    for part in blanks():
        yield b"x" * len(part)
    yield b"\r\n\r\n"


def many_fields() -> Iterator[bytes]:
    yield HEAD
    line = b"X-Large: " + b"x" * 1000 + b"\r\n"
    for _ in blanks():
        yield line * (MIB // len(line))
    yield b"\r\n"


def padded_field() -> Iterator[bytes]:
    """Yield a field whose value does not begin."""
    yield HEAD + b"X-Large:"
    yield from blanks()
    yield b"\r\n\r\n"


def interim_answers() -> Iterator[bytes]:
    """Yield answers before the one that counts, which never comes."""
    one = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    for _ in blanks():
        yield one * (MIB // len(one))


def packed(coding: bytes, window_bits: int) -> Iterator[bytes]:
    packing = zlib.compressobj(wbits=window_bits)
    first, other = (packing.compress(BLANKS) + packing.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    # After a full flush nothing refers to what was before, so that a part may be repeated. The
    # checksum at the end is wrong then; a reader that comes so far has failed already.
    body = first + other * (ANSWER_BYTES // MIB - 1) + packing.compress(TOKEN) + packing.flush()
    yield HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    yield body


ANSWERS: Answers = {
    "length": with_length,
    "chunks": chunked,
    "end": until_the_end,
    "field": one_field,
    "fields": many_fields,
    "gzip": lambda: packed(b"gzip", 31),
    "deflate": lambda: packed(b"deflate", 15),
}
HEADS: Answers = {"padded": padded_field, "interim": interim_answers}
"""What is no answer yet, however much of it there is."""


class LargeAnswers:
    """An authorization server whose answers are named in the targets: `/length-0`, `/length-1`.

    At first it grants tokens, whatever is asked for; `large` makes all its answers large.
    """

    def __init__(self) -> None:
        self.large = False
        self.taken: list[tuple[str, int]] = []
        """Of each large answer how many bytes went out before the proxy had enough, by target."""
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            name = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()[1:]
            if not self.large:
                writer.write(self._grant())
                return
            sent = 0
            try:
                for part in (ANSWERS | HEADS)[name.partition("-")[0]]():
                    writer.write(part)
                    await writer.drain()
                    sent += len(part)
            finally:
                self.taken.append((name, sent))
        except ConnectionError:
            pass  # the proxy had enough, as it should
        finally:
            self._open.discard(writer)
            writer.close()

    def _grant(self) -> bytes:
        token = {"access_token": "good", "token_type": "Bearer", "expires_in": LIFETIME_SECONDS}
        body = json.dumps(token).encode()
        return HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.fixture
async def upstream() -> AsyncIterator[RecordingUpstream]:
    async with RecordingUpstream() as recording:
        yield recording


@pytest.fixture
async def server() -> AsyncIterator[LargeAnswers]:
    running = LargeAnswers()
    await running.start()
    yield running
    await running.stop()


def names(answers: Answers) -> list[str]:
    return [f"{answer}-{number}" for answer in answers for number in range(OF_EACH)]


def config(
    server: LargeAnswers, upstream: RecordingUpstream, wanted: list[str], *, key: str
) -> dict[str, Any]:
    """Return a client, an audience and an upstream of each name, and of one that is left alone.

    `key` is how the clients know their authorization server.
    """
    quiet = {"quiet": {"client": "quiet", "prefetch": False, "renew_at": 0.9}}
    audience = {"prefetch": False, "renew_at": RENEW_AT}
    clients = {
        name: {
            "client_id": name,
            "client_secret": "s",
            key if name in wanted else "token_endpoint": f"http://127.0.0.1:{server.port}/{name}",
        }
        for name in (*wanted, "quiet")
    }
    return {
        "clients": clients,
        "audiences": quiet | {name: audience | {"client": name} for name in wanted},
        "upstreams": {
            name: {"url": upstream.url, "audience": name, "match": {"path": f"/{name}"}}
            for name in clients
        },
    }


async def told(proxy: MeasuredProxy, name: str) -> tuple[int, str]:
    """Return an answer's status, and the code of ours."""
    async with aiohttp.ClientSession() as session, session.get(f"{proxy.url}/{name}") as answer:
        said = await answer.read()
    return answer.status, json.loads(said)["code"] if answer.status >= 500 else ""


def assert_cut_off(server: LargeAnswers, wanted: list[str], grown: int) -> None:
    assert {name for name, _ in server.taken} == set(wanted)
    assert max(sent for _, sent in server.taken) <= TAKEN_BYTES_MAX, server.taken
    assert grown <= GROWTH_BYTES_MAX, f"{grown / MIB:.1f} MiB"


@pytest.mark.parametrize("key", ["token_endpoint", "discovery"])
async def test_a_gibibyte_for_a_first_token_is_cut_off_and_fills_no_memory(
    key: str, server: LargeAnswers, upstream: RecordingUpstream, start_measured: StartMeasured
) -> None:
    """R-04, A-27: be it a token, or the document that says where tokens are."""
    wanted = names(ANSWERS)
    proxy = await start_measured(upstream.port, top=config(server, upstream, wanted, key=key))
    assert await told(proxy, "quiet") == (200, "")
    before = proxy.largest_resident_bytes()
    server.large = True

    answers = await asyncio.gather(*(told(proxy, name) for name in wanted))

    assert answers == [(502, "authorization_server_misspoke")] * len(wanted)
    assert await told(proxy, "quiet") == (200, "")
    assert_cut_off(server, wanted, proxy.largest_resident_bytes() - before)


async def test_a_gibibyte_for_a_renewal_is_cut_off_while_the_token_serves(
    server: LargeAnswers, upstream: RecordingUpstream, start_measured: StartMeasured
) -> None:
    """R-04, A-27."""
    wanted = names(ANSWERS)
    proxy = await start_measured(
        upstream.port, top=config(server, upstream, wanted, key="token_endpoint")
    )
    for name in (*wanted, "quiet"):
        assert await told(proxy, name) == (200, "")
    before = proxy.largest_resident_bytes()
    server.large = True

    async def all_failed() -> bool:
        renewals = {"reason": "renewal", "result": "misspoke"}
        failed = await proxy.metric("tokenproxy_token_fetches_total", **renewals)
        return failed >= len(wanted) and {name for name, _ in server.taken} == set(wanted)

    await eventually(all_failed, "all renewals met their answer")

    for name in (*wanted, "quiet"):
        assert await told(proxy, name) == (200, "")
    assert_cut_off(server, wanted, proxy.largest_resident_bytes() - before)


@pytest.mark.parametrize("kind", HEADS)
async def test_a_gibibyte_that_is_no_answer_yet_is_cut_off_and_fills_no_memory(
    kind: str, server: LargeAnswers, upstream: RecordingUpstream, start_measured: StartMeasured
) -> None:
    """R-04: what comes before an answer is not to be larger than one may be."""
    wanted = [f"{kind}-0"]
    proxy = await start_measured(
        upstream.port, top=config(server, upstream, wanted, key="token_endpoint")
    )
    assert await told(proxy, "quiet") == (200, "")
    before = proxy.largest_resident_bytes()
    server.large = True

    status, _ = await told(proxy, *wanted)

    assert status in {502, 503}
    assert await told(proxy, "quiet") == (200, "")
    assert_cut_off(server, wanted, proxy.largest_resident_bytes() - before)
