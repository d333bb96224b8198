"""RFC 9457 (problem details) with RFC 9209 (`Proxy-Status`): answers of our own, and only those."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, request

if TYPE_CHECKING:
    from conformance.bench import Bench, StartBench
    from conformance.wire import Answer

REGISTERED = {
    "dns_timeout",
    "dns_error",
    "destination_not_found",
    "destination_unavailable",
    "destination_ip_prohibited",
    "destination_ip_unroutable",
    "connection_refused",
    "connection_terminated",
    "connection_timeout",
    "connection_read_timeout",
    "connection_write_timeout",
    "connection_limit_reached",
    "tls_protocol_error",
    "tls_certificate_error",
    "tls_alert_received",
    "http_request_error",
    "http_request_denied",
    "http_response_incomplete",
    "http_response_header_section_size",
    "http_response_header_size",
    "http_response_body_size",
    "http_response_trailer_section_size",
    "http_response_trailer_size",
    "http_response_transfer_coding",
    "http_response_content_coding",
    "http_response_timeout",
    "http_upgrade_failed",
    "http_protocol_error",
    "proxy_internal_response",
    "proxy_internal_error",
    "proxy_configuration_error",
    "proxy_loop_detected",
}
"""RFC 9209 §2.3, and the IANA registry."""


def check(answer: Answer, *, status: int, code: str, upstream: str) -> None:
    """Fail unless it is a complete problem of that code."""
    assert answer.status == status
    (media_type,) = answer.head.values("Content-Type")
    assert media_type == b"application/problem+json"
    (length,) = answer.head.values("Content-Length")
    assert int(length) == len(answer.body)
    problem = json.loads(answer.body)
    assert set(problem) == {"type", "title", "status", "detail", "code", "upstream"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["upstream"] == upstream
    assert code in problem["type"]
    assert problem["title"]
    assert problem["detail"]
    (proxy_status,) = answer.head.values("Proxy-Status")
    name, _, error = proxy_status.decode().partition("; error=")
    assert name == "token-proxy"
    assert error in REGISTERED
    retry = answer.head.values("Retry-After")
    assert bool(retry) is (status == 503 and code != "shutting_down")
    assert all(int(seconds) >= 1 for seconds in retry)


REFUSALS = {
    "no_route": (request(line=b"GET /nowhere HTTP/1.1"), 404, ""),
    "host_refused": (request(host=b"evil.example"), 421, ""),
    "browser_refused": (request(b"Origin: http://evil.example"), 403, ""),
    "not_allowed": (request(line=b"DELETE /a HTTP/1.1"), 403, "api"),
    "authorization_refused": (request(b"Authorization: Bearer mine"), 400, "api"),
    "bad_request": (request(line=b"GET /a/../b HTTP/1.1"), 400, ""),
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_is_a_problem_with_a_registered_error_type(
    start_bench: StartBench, code: str
) -> None:
    """RFC 9457 §3.1, RFC 9209 §2.3: and it is counted under its code."""
    the = await start_bench(
        audience={},
        match={"path": "/a"},
        methods=["GET"],
        existing_authorization="reject",
    )
    sent, status, upstream = REFUSALS[code]
    caller = await the.caller()
    check(await caller.asks(sent), status=status, code=code, upstream=upstream)
    assert the.upstream.connections == 0
    facts = the.facts if upstream else the.unrouted
    assert facts.errors[code] == 1


async def test_a_refusal_does_not_cost_a_well_behaved_caller_its_connection(
    start_bench: StartBench,
) -> None:
    """RFC 9112 §9.3: what was understood and refused leaves the connection in order."""
    the = await start_bench(methods=["GET", "POST"])
    caller = await the.caller()
    for sent in (
        request(line=b"DELETE /a HTTP/1.1"),
        request(host=b"evil.example"),
        request(b"Content-Length: 4", line=b"PUT /a HTTP/1.1", body=b"body"),
    ):
        answer = await caller.asks(sent)
        assert answer.status in {403, 421}
        assert answer.head.values("Connection") == []
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(OK)
    assert (await caller.answer()).status == 200


async def test_a_refusal_before_the_body_came_closes(start_bench: StartBench) -> None:
    """RFC 9112 §9.3: else the body would be read as the next request."""
    the = await start_bench(methods=["GET"])
    caller = await the.caller()
    caller.send(request(b"Content-Length: 100", line=b"POST /a HTTP/1.1"))
    answer = await caller.answer()
    assert answer.status == 403
    assert answer.head.values("Connection") == [b"close"]
    caller.send(request().ljust(100))
    assert await caller.rest() == b""
    await the.nothing_went_up()


async def test_a_refusal_of_head_has_no_body(start_bench: StartBench) -> None:
    """RFC 9110 §9.3.2: and what follows is the next answer."""
    the = await start_bench(methods=["GET"])
    caller = await the.caller()
    answer = await caller.asks(request(line=b"HEAD /a HTTP/1.1"))
    assert answer.status == 403
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(OK)
    assert (await caller.answer()).status == 200


async def test_an_unreachable_upstream_is_a_problem(the: Bench) -> None:
    """RFC 9209 §2.3.7."""
    the.upstream.stop_listening()
    caller = await the.caller()
    answer = await caller.asks(request())
    check(answer, status=502, code="upstream_unreachable", upstream="api")
    assert answer.head.values("Proxy-Status") == [b"token-proxy; error=connection_refused"]
    assert the.facts.connects["refused"] == 1


async def test_a_name_that_does_not_resolve_is_a_problem(start_bench: StartBench) -> None:
    """RFC 9209 §2.3.2."""
    the = await start_bench(url="https://nowhere.invalid")
    caller = await the.caller()
    answer = await caller.asks(request())
    check(answer, status=502, code="upstream_unreachable", upstream="api")
    assert answer.head.values("Proxy-Status") == [b"token-proxy; error=dns_error"]
    assert the.facts.connects["name"] == 1


async def test_a_forwarded_error_bears_nothing_of_ours(the: Bench) -> None:
    """RFC 9209 §2: we generated nothing, so we say nothing."""
    fields = b"Content-Type: text/plain\r\nContent-Length: 2"
    for status in (b"404 Not Found", b"502 Bad Gateway", b"503 Unavailable"):
        answer = b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n\r\nno"
        _, came = await the.pass_through(request(b"Connection: close"), answer, last=True)
        assert b"\r\n".join(came.head.lines) == fields + b"\r\nConnection: close"
        assert came.body == b"no"


async def test_nothing_that_was_sent_is_told_back(the: Bench) -> None:
    """RFC 9457 §5: details are for callers, and callers may be pages."""
    secret = b"s3cr3t-in-the-request"
    for sent in (
        request(host=secret),
        request(line=b"GET /%b/../ HTTP/1.1" % secret),
        request(b"X-A: \x00" + secret),
        b"GET /%b\r\n\r\n" % secret,
        b"BREW: /%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % secret,
    ):
        answer = await (await the.caller()).asks(sent)
        assert answer.status >= 400
        assert secret not in answer.body
        assert secret not in b"".join(answer.head.lines)
