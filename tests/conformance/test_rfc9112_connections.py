"""RFC 9112 (HTTP/1.1), towards callers: persistence, pipelining, versions, targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, request

if TYPE_CHECKING:
    from conformance.bench import Bench


POST = b"POST /a HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


async def test_trailers_of_a_request_become_no_fields_of_the_next(the: Bench) -> None:
    """§7.1.2: they are discarded, and the connection is not left to misread them."""
    caller = await the.caller()
    caller.send(
        POST + CHUNKED + b"\r\n2\r\nok\r\n0\r\nX-Trailer: 1\r\nX-Last: 2\r\n\r\n" + request()
    )
    upstream = await the.upstream.accept()
    await upstream.head()
    assert b"".join((await upstream.chunked())[0]) == b"ok"
    upstream.send(OK)
    answer = await caller.answer()
    assert answer.status == 200
    if answer.head.values("Connection") == [b"close"]:
        assert await caller.rest() == b""
    else:
        assert (await upstream.head()).values("X-Last") == []
        upstream.send(OK)


async def test_pipelined_requests_are_answered_in_order(the: Bench) -> None:
    """§9.3.2."""
    caller = await the.caller()
    caller.send(b"".join(request(line=b"GET /%d HTTP/1.1" % n) for n in range(5)))
    upstream = await the.upstream.accept()
    for number in range(5):
        assert (await upstream.head()).target == b"/%d" % number
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
    for number in range(5):
        assert (await caller.answer()).body == b"%d" % number
    assert the.upstream.connections == 1


async def test_a_refusal_among_pipelined_requests_keeps_its_place(the: Bench) -> None:
    """§9.3.2: the answer to what came before it is not overtaken."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    caller.send(b"BAD REQUEST\r\n\r\n")
    upstream.send(OK)
    assert (await caller.answer()).status == 200
    assert (await caller.answer()).status == 400
    assert await caller.rest() == b""


async def test_a_caller_that_closes_is_told_so_and_closed(the: Bench) -> None:
    """§9.6: the answer carries `close`, and the upstream's connection is its own affair."""
    caller = await the.caller()
    caller.send(request(b"Connection: close"))
    upstream = await the.upstream.accept()
    assert (await upstream.head()).values("Connection") == []
    upstream.send(OK)
    answer = await caller.answer()
    assert answer.head.values("Connection") == [b"close"]
    assert await caller.rest() == b""
    _, again = await the.pass_through_kept(upstream)
    assert again.status == 200


@pytest.mark.parametrize(
    ("fields", "kept"),
    [((), False), ((b"Connection: keep-alive",), True), ((b"Connection: Keep-Alive, X",), True)],
)
async def test_http_1_0_callers_are_kept_only_if_they_ask(
    the: Bench, fields: tuple[bytes, ...], *, kept: bool
) -> None:
    """§9.3, Appendix C.2.2."""
    caller = await the.caller()
    caller.send(request(*fields, line=b"GET /a HTTP/1.0"))
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert head.start == b"GET /a HTTP/1.1"
    assert head.values("Connection") == []
    upstream.send(OK)
    answer = await caller.answer()
    assert answer.body == b"ok"
    assert answer.head.values("Connection") == [b"keep-alive" if kept else b"close"]
    if kept:
        caller.send(request(line=b"GET /b HTTP/1.0"))
        assert (await upstream.head()).target == b"/b"
        upstream.send(OK)
        await caller.answer()
    assert await caller.rest() == b""


async def test_http_1_0_needs_no_host(the: Bench) -> None:
    """§3.2: the upstream gets one all the same."""
    head, answer = await the.pass_through(b"GET /a HTTP/1.0\r\nX-A: 1\r\n\r\n")
    assert head.start == b"GET /a HTTP/1.1"
    assert sorted(head.names) == [b"Host", b"Via", b"X-A"]
    assert answer.body == b"ok"


async def test_a_chunked_answer_is_unwrapped_for_http_1_0(the: Bench) -> None:
    """§6.1: no transfer coding may be sent to HTTP/1.0; the end of the connection ends it."""
    _, answer = await the.pass_through(
        request(b"Connection: keep-alive", line=b"GET /a HTTP/1.0"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
    )
    assert answer.head.values("Transfer-Encoding") == []
    assert answer.head.values("Connection") == [b"close"]
    assert answer.body == b"ok"


async def test_empty_lines_before_a_request_are_skipped(the: Bench) -> None:
    """§2.2: a server SHOULD ignore at least one."""
    head, answer = await the.pass_through(b"\r\n" + request())
    assert head.target == b"/a"
    assert answer.status == 200


async def test_the_authority_of_an_absolute_target_wins_over_host(the: Bench) -> None:
    """§3.2.2: and the upstream gets an origin-form target."""
    target = b"http://127.0.0.1:%d/a?b" % the.upstream.port
    head, _ = await the.pass_through(request(line=b"GET %b HTTP/1.1" % target, host=b"localhost:1"))
    assert head.start == b"GET /a?b HTTP/1.1"
    assert head.values("Host") == [b"127.0.0.1:%d" % the.upstream.port]


async def test_an_absolute_target_of_an_unknown_host_is_refused(the: Bench) -> None:
    """§3.2.2, RFC 9110 §15.5.20: 421; this is no open proxy."""
    caller = await the.caller()
    answer = await caller.asks(request(line=b"GET http://elsewhere.example/a HTTP/1.1"))
    assert answer.status == 421
    await the.nothing_went_up()


async def test_options_of_the_server_itself_pass(the: Bench) -> None:
    """§3.2.4: asterisk-form."""
    head, _ = await the.pass_through(request(line=b"OPTIONS * HTTP/1.1"))
    assert head.start == b"OPTIONS * HTTP/1.1"


async def test_options_of_an_absolute_target_without_path_becomes_asterisk(the: Bench) -> None:
    """§3.2.4: the last proxy of a chain MUST send `*`."""
    target = b"http://127.0.0.1:%d" % the.upstream.port
    head, _ = await the.pass_through(request(line=b"OPTIONS %b HTTP/1.1" % target))
    assert head.start == b"OPTIONS * HTTP/1.1"
