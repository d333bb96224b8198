"""RFC 9112 (HTTP/1.1), towards upstreams: answers that break off, and what follows an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, eventually, request

from proxy.forwarding.caller_connection import LINGER_SECONDS

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.wire import Peer


async def _end(upstream: Peer, *, reset: bool) -> None:
    await upstream.flush()
    if reset:
        upstream.abort()
    else:
        upstream.finish()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "part",
    [
        b"Content-Length: 10\r\n\r\nhello",
        b"Content-Length: 10\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_part_never_looks_like_the_whole(
    the: Bench, part: bytes, version: bytes, *, reset: bool
) -> None:
    """§8: an answer that broke off is broken off here, by a reset where the end is the end."""
    caller = await the.caller()
    caller.send(request(line=b"GET /a HTTP/" + version))
    upstream = await the.upstream.accept()
    await upstream.head()
    head, _, body = part.partition(b"\r\n\r\n")
    upstream.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
    assert (await caller.head()).start == b"HTTP/1.1 200 OK"
    upstream.send(body)
    await _end(upstream, reset=reset)
    came = b""
    was_reset = False
    try:
        while data := await caller.some():
            came += data
    except ConnectionResetError:
        was_reset = True
    assert was_reset or (version == b"1.1" and not came.endswith(b"0\r\n\r\n"))
    assert the.facts.errors["upstream_misspoke"] == 1


async def test_an_answer_ended_by_a_reset_is_no_whole(the: Bench) -> None:
    """§8: an end that was no end."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\n\r\nwhatever")
    await caller.until(b"whatever")
    upstream.abort()
    assert await caller.broken_off()


@pytest.mark.parametrize(
    "surplus",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        b"poison",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"\x00",
    ],
)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("line", [b"GET /a HTTP/1.1", b"HEAD /a HTTP/1.1"])
async def test_what_follows_an_answer_never_reaches_the_next_caller(
    the: Bench, surplus: bytes, line: bytes, *, together: bool
) -> None:
    """§9.2: bytes that answer nothing end the connection they came on."""
    caller = await the.caller()
    caller.send(request(line=line))
    upstream = await the.upstream.accept()
    await upstream.head()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    upstream.send(answer + surplus if together else answer)
    assert (await caller.answer(to_head=line.startswith(b"HEAD"))).status == 200
    if not together:
        upstream.send(surplus)
    await upstream.ended()
    caller.send(request(line=b"GET /next HTTP/1.1"))
    other = await the.upstream.accept()
    assert (await other.head()).target == b"/next"
    other.send(OK)
    assert (await caller.answer()).body == b"ok"


async def test_a_body_in_answer_to_head_never_reaches_the_next_caller(the: Bench) -> None:
    """§6.3: whatever its fields say, an answer to HEAD ends with its head."""
    caller = await the.caller()
    caller.send(request(line=b"HEAD /a HTTP/1.1"))
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    assert (await caller.answer(to_head=True)).status == 200
    await upstream.ended()
    _, answer = await the.pass_through(request())
    assert answer.body == b"ok"


async def test_an_answer_before_any_request_is_nobodys(the: Bench) -> None:
    """§9.2: a server that greets ends its connection, and the request goes out on another."""
    _, _ = await the.pass_through(request())
    idle = the.upstream._peers[0]
    idle.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    await idle.ended()
    head, answer = await the.pass_through(request(line=b"GET /b HTTP/1.1"))
    assert head.target == b"/b"
    assert answer.status == 200


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (OK, True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
    ],
)
async def test_an_upstreams_connection_persists_as_it_says(
    the: Bench, answer: bytes, *, kept: bool
) -> None:
    """§9.3: and none of it is the caller's business."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(answer)
    assert (await caller.answer()).head.values("Connection") == []
    await eventually(lambda: the.facts.connections_active == 0, "the connection is released")
    assert the.facts.connections_idle == (1 if kept else 0)
    if not kept:
        await upstream.ended()
    caller.send(request())
    again = upstream if kept else await the.upstream.accept()
    await again.head()
    again.send(OK)
    assert (await caller.answer()).status == 200


async def test_an_early_answer_ends_the_request_and_both_connections(the: Bench) -> None:
    """§9.3, §9.6: an answer to a body that is still coming; the rest is nobody's next request."""
    caller = await the.caller()
    caller.send(b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
    upstream = await the.upstream.accept()
    await upstream.head()
    await upstream.exactly(100)
    upstream.send(b"HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\nno")
    answer = await caller.answer()
    assert answer.status == 422
    assert answer.body == b"no"
    assert answer.head.values("Connection") == [b"close"]
    caller.send(b"x" * 900)
    assert await caller.rest() == b""
    await upstream.ended()


async def test_an_answer_until_close_ends_though_the_upload_was_not_read(the: Bench) -> None:
    """§9.6: the caller sees the end at once, not only when lingering is over."""
    caller = await the.caller()
    caller.send(b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
    upstream = await the.upstream.accept()
    await upstream.head()
    await upstream.exactly(3)
    upstream.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
    upstream.finish()
    await caller.head()
    async with asyncio.timeout(LINGER_SECONDS / 2):
        assert await caller.rest() == b"hello"
