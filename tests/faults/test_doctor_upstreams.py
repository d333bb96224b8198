"""What an upstream answers to one request, and what that means for the token."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from faults.doctor_bench import answering, jwt, told
from faults.token_server import (
    configuration,
    surroundings,
)

from proxy.commands.doctor import upstreams

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from integration.recording_upstream import RecordedRequest


UPSTREAMS: dict[str, tuple[str, tuple[str, ...], str, str, str, str | None]] = {
    "wrong audience": (
        "401 Unauthorized",
        ('WWW-Authenticate: Bearer error="invalid_token", error_description="bad aud"',),
        "failure",
        "the upstream refuses the token",
        "aud=https://api.example; see which issuer and audience it takes",
        "audiences.orders.audience",
    ),
    "too little scope": (
        "401 Unauthorized",
        ('WWW-Authenticate: Bearer error="insufficient_scope", scope="orders:write"',),
        "failure",
        "insufficient_scope",
        "it wants scope orders:write",
        "audiences.orders.scope",
    ),
    "wants a password": (
        "401 Unauthorized",
        ('WWW-Authenticate: Basic realm="x"',),
        "failure",
        "Basic realm",
        "something else than a bearer token",
        "audiences.orders.header",
    ),
    "says nothing": (
        "401 Unauthorized",
        (),
        "failure",
        "(no WWW-Authenticate)",
        "see which issuer and audience it takes",
        "audiences.orders.audience",
    ),
    "forbidden": (
        "403 Forbidden",
        (),
        "warning",
        "this path is not allowed to us",
        "the client's rights at the upstream",
        "audiences.orders.scope",
    ),
    "forbidden for scope": (
        "403 Forbidden",
        ('WWW-Authenticate: Bearer error="insufficient_scope"',),
        "warning",
        "too little scope",
        "add what is missing to `scope`",
        "audiences.orders.scope",
    ),
    "elsewhere": (
        "302 Found",
        ("Location: https://login.example/in?code=1234",),
        "warning",
        "to https://login.example/in;",
        "leaves this proxy",
        "upstreams.api.url",
    ),
    "in trouble": (
        "502 Bad Gateway",
        (),
        "warning",
        "answered 502",
        "is in trouble",
        "upstreams.api.url",
    ),
    "another host": (
        "421 Misdirected Request",
        (),
        "warning",
        "answered 421",
        "does not serve this Host",
        "upstreams.api.url",
    ),
    "not found": ("404 Not Found", (), "ok", "which is fine", "", None),
    "other method": ("405 Method Not Allowed", (), "ok", "which is fine", "", None),
    "with a slash": ("301 Moved Permanently", ("Location: /v1/",), "ok", "to /v1/", "", None),
}


@pytest.mark.parametrize("case", UPSTREAMS)
async def test_what_an_upstream_answers_is_judged(tmp_path: Path, case: str) -> None:
    status, fields, result, detail, hint, key = UPSTREAMS[case]
    async with surroundings() as (server, upstream, _):
        token = jwt(aud="https://api.example")
        server.answer = lambda asked: server.grant(asked, token)
        upstream.answer = answering(status, *fields)
        found = await told(configuration(server, upstream.url), tmp_path)
        check = found.check("request")
        assert check["result"] == result
        assert detail in check["detail"]
        assert hint in (check["hint"] or "")
        assert check["key"] == key
        assert token not in found.text


async def test_an_upstream_without_an_audience_is_asked_without_a_token(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        upstream.answer = answering("401 Unauthorized")
        found = await told(
            configuration(server, upstream.url, upstream={"audience": "none"}), tmp_path
        )
        assert found.is_well
        assert "callers bring their own" in found.check("request")["detail"]
        assert not upstream.requests[0].values("Authorization")


async def test_an_upstream_that_is_no_http_or_never_answers_fails(tmp_path: Path) -> None:
    async def nonsense(_request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    async def silence(_request: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        return

    async with surroundings() as (server, upstream, _):
        upstream.answer = nonsense
        impatient = {"timeouts": {"connect_seconds": 1, "response_seconds": 5}}
        config = configuration(server, upstream.url, upstream=impatient)
        check = (await told(config, tmp_path)).only_failure
        assert check["detail"].startswith("upstream_misspoke: ")
        assert check["key"] == "upstreams.api.url"
        upstream.answer = silence
        slow = {"timeouts": {"connect_seconds": 1, "response_seconds": 0.2}}
        config = configuration(server, upstream.url, upstream=slow)
        check = (await told(config, tmp_path)).only_failure
        assert check["detail"].startswith("upstream_timeout: no answer within 0.2 s")
        assert check["key"] == "upstreams.api.timeouts.response_seconds"


async def test_a_slow_answer_that_callers_would_wait_for_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silence(_request: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        return

    monkeypatch.setattr(upstreams, "ANSWER_SECONDS_MAX", 0.2)
    async with surroundings() as (server, upstream, _):
        upstream.answer = silence
        found = await told(configuration(server, upstream.url), tmp_path)
        check = found.check("request")
        assert check["result"] == "warning"
        assert check["detail"].startswith("no answer within 0.2 s")
        assert "callers are given 60 s" in check["hint"]
        assert found.is_well


async def test_a_name_that_resolves_only_now_and_then_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = socket.getaddrinfo
    asked: list[Any] = []

    def once(host: Any, *arguments: Any, **named: Any) -> Any:
        if host == "localhost":
            asked.append(host)
            if len(asked) > 1:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return system(host, *arguments, **named)

    async with surroundings() as (server, upstream, _):
        monkeypatch.setattr(socket, "getaddrinfo", once)
        url = upstream.url.replace("127.0.0.1", "localhost")
        check = (await told(configuration(server, url), tmp_path)).only_failure
        assert len(asked) == 2
        assert check["check"] == "request"
        assert check["detail"].startswith("upstream_unreachable: localhost does not resolve")
        assert check["key"] == "upstreams.api.url"


async def test_a_body_without_end_holds_nobody_up(tmp_path: Path) -> None:
    async def stream(_request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000)

    async with surroundings() as (server, upstream, _):
        upstream.answer = stream
        found = await told(configuration(server, upstream.url), tmp_path)
        assert found.check("request")["result"] == "ok"
