"""Each thing that keeps a token away gets a sentence with its cause, and the key to change."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import contextmanager
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from faults.doctor_bench import answering, jwt, told
from faults.token_server import (
    TokenServer,
    configuration,
    eventually,
    http_answer,
    refusal,
    surroundings,
)
from integration.recording_upstream import RecordingUpstream

from proxy.commands.doctor.examination import examine
from proxy.config.loader import load_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from faults.token_server import Asked

    from proxy.commands.doctor.report import Group

wall = partial(time.time)  # noqa: TID251 - Date and exp are wall time
JWT_SECRET = "a-secret-of-more-than-thirty-two-bytes-for-hs256"


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


async def test_what_is_well_is_told_line_by_line_and_nothing_fails(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        expiry = int(wall()) + 3600
        claims = {"iss": server.issuer, "aud": "https://api.example", "exp": expiry}
        token = jwt(**claims, azp="billing", scope="orders:read", hidden="not-shown")
        dated = (f"Date: {formatdate(usegmt=True)}",)
        server.answer = lambda _: http_answer(
            {"access_token": token, "token_type": "bearer", "expires_in": 3600}, fields=dated
        )
        upstream.answer = answering("204 No Content")
        wanted = {"audience": "https://api.example", "scope": "orders:read"}
        found = await told(configuration(server, f"{upstream.url}/v1", audience=wanted), tmp_path)
        assert found.is_well, found.text
        assert found.report["ok"] is True
        results = [(check["check"], check["result"]) for check in found.report["checks"]]
        assert results == [
            ("running", "skipped"),
            ("name", "ok"),
            ("tcp", "ok"),
            ("clock", "ok"),
            ("token", "ok"),
            ("name", "ok"),
            ("tcp", "ok"),
            ("request", "ok"),
        ]
        assert found.check("token")["subject"] == "audiences.orders"
        for words in ("Bearer, lasts 3600 s", f"iss={server.issuer}", "azp=billing", "exp=20"):
            assert words in found.check("token")["detail"]
        assert "not-shown" not in found.text
        assert token not in found.text
        (request,) = upstream.requests
        assert request.head[0] == b"GET /v1 HTTP/1.1"
        assert request.values("Authorization") == [f"Bearer {token}".encode()]


REFUSALS: list[tuple[str, bytes, dict[str, Any], str, str, str]] = [
    (
        "wrong secret",
        refusal("invalid_client", status="401 Unauthorized"),
        {},
        "grant_refused",
        "the secret is wrong, or client_id is",
        "clients.billing.client_secret",
    ),
    (
        "wrong audience, by description",
        refusal("access_denied", status="403 Forbidden", error_description="Service not found"),
        {"audience": "https://api.example"},
        "error: access_denied",
        "does not know this audience",
        "audiences.orders.audience",
    ),
    (
        "wrong resource",
        refusal("invalid_target"),
        {"resource": "https://api.example/"},
        "error: invalid_target",
        "does not know this resource",
        "audiences.orders.resource",
    ),
    (
        "audience named in words",
        refusal("invalid_request", error_description="The audience is unknown"),
        {"audience": "https://api.example"},
        "The audience is unknown",
        "compare `audience` of audience orders",
        "audiences.orders.audience",
    ),
    (
        "wrong scope",
        refusal("invalid_scope"),
        {"scope": "orders:read"},
        "error: invalid_scope",
        "does not know this scope",
        "audiences.orders.scope",
    ),
    (
        "grant not allowed",
        refusal("unauthorized_client"),
        {},
        "error: unauthorized_client",
        "does not allow this client the grant client_credentials",
        "clients.billing.client_id",
    ),
    (
        "something missing",
        refusal("invalid_request"),
        {},
        "error: invalid_request",
        "`parameters`",
        "audiences.orders.parameters",
    ),
    (
        "no such path",
        http_answer("<html>not here</html>", status="404 Not Found"),
        {},
        "status 404",
        "no token endpoint at this path",
        "clients.billing.token_endpoint",
    ),
    (
        "method not allowed",
        http_answer("", status="405 Method Not Allowed"),
        {},
        "status 405",
        "no token endpoint at this path",
        "clients.billing.token_endpoint",
    ),
    (
        "a page",
        http_answer("<!DOCTYPE html><title>Sign in</title>"),
        {},
        "authorization_server_misspoke",
        "a web page, perhaps a login",
        "clients.billing.token_endpoint",
    ),
    (
        "a redirect",
        http_answer("", status="302 Found", fields=("Location: https://elsewhere.example/",)),
        {},
        "status 302",
        "it redirects, which is not followed",
        "clients.billing.token_endpoint",
    ),
    (
        "in trouble",
        http_answer("oh", status="503 Service Unavailable"),
        {},
        "authorization_server_unavailable",
        "the server itself is in trouble",
        "clients.billing.token_endpoint",
    ),
    (
        "other JSON",
        http_answer({"token": "x"}),
        {},
        "the answer has no access_token",
        "what answers is no token endpoint",
        "clients.billing.token_endpoint",
    ),
    (
        "another type of token",
        http_answer({"access_token": "x", "token_type": "DPoP", "expires_in": 9}),
        {},
        "of a type that we do not know",
        "say how such a token is sent",
        "audiences.orders.scheme",
    ),
]


@pytest.mark.parametrize(
    ("answer", "audience", "detail", "hint", "key"),
    [case[1:] for case in REFUSALS],
    ids=[case[0] for case in REFUSALS],
)
async def test_a_refused_token_is_told_with_its_cause_and_the_key(
    tmp_path: Path, answer: bytes, audience: dict[str, Any], detail: str, hint: str, key: str
) -> None:
    async with surroundings(answer=lambda _: answer) as (server, upstream, _):
        found = await told(configuration(server, upstream.url, audience=audience), tmp_path)
        check = found.only_failure
        assert (check["subject"], check["check"]) == ("audiences.orders", "token")
        assert detail in check["detail"]
        assert hint in check["hint"]
        assert check["key"] == key
        assert "no token for orders" in found.check("request")["detail"]
        assert not upstream.requests
        if key.rpartition(".")[2] in {"client_secret", "token_endpoint"}:
            assert f"key:  {key} (token-proxy.yaml:" in found.text


async def test_a_wrong_clock_is_told_by_the_date_and_blamed_for_a_refused_assertion(
    tmp_path: Path,
) -> None:
    behind = (f"Date: {formatdate(wall() - 3600, usegmt=True)}",)
    async with surroundings() as (server, upstream, _):
        server.answer = lambda asked: server.grant(asked).replace(
            b"\r\n", f"\r\n{behind[0]}\r\n".encode(), 1
        )
        found = await told(configuration(server, upstream.url), tmp_path)
        assert found.is_well
        check = found.check("clock")
        assert check["result"] == "warning"
        assert "ahead of the server's" in check["detail"]
        assert 3595 < int(check["detail"].split(" s ahead")[0].split()[-1]) < 3700
        assert "set the clock that is wrong" in check["hint"]

        server.answer = lambda _: http_answer(
            {"error": "invalid_client"}, status="401 Unauthorized", fields=behind
        )
        signing = {"authentication": "client_secret_jwt", "client_secret": JWT_SECRET}
        found = await told(configuration(server, upstream.url, client=signing), tmp_path)
        assert "s ahead of the server's" in found.only_failure["detail"]
        assert "set this machine's clock" in found.only_failure["hint"]
        assert found.check("clock")["result"] == "warning"
        assert JWT_SECRET not in found.text


async def test_a_closed_port_is_told_once_and_all_behind_it_skipped(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        with closed_port() as port:
            endpoint = {"token_endpoint": f"http://127.0.0.1:{port}/token"}
            found = await told(configuration(server, upstream.url, client=endpoint), tmp_path)
        check = found.only_failure
        assert check["check"] == "tcp"
        assert "it refuses connections" in check["detail"]
        assert "nothing listens there" in check["hint"]
        assert check["key"] == "clients.billing.token_endpoint"
        assert "- clock, token for orders: not checked, because of that" in found.text
        assert not server.requests


async def test_a_name_that_does_not_resolve_is_told(tmp_path: Path) -> None:
    async with surroundings() as (server, _, _guard):
        found = await told(configuration(server, "https://nowhere.invalid/v1"), tmp_path)
        check = found.only_failure
        assert check["check"] == "name"
        assert "nowhere.invalid does not resolve" in check["detail"]
        assert "a slip" in check["hint"]
        assert check["key"] == "upstreams.api.url"
        assert "- tcp, tls, request: not checked, because of that" in found.text


async def test_a_server_that_takes_the_connection_and_never_answers_is_told(
    tmp_path: Path,
) -> None:
    async with surroundings() as (server, upstream, _):
        server.hold()
        config = configuration(server, upstream.url, client={"timeout_seconds": 1})
        check = (await told(config, tmp_path)).only_failure
        assert "did not answer within 1 s" in check["detail"]
        assert "does not answer" in check["hint"]
        assert check["key"] == "clients.billing.timeout_seconds"


async def test_less_scope_and_another_audience_than_asked_for_are_warnings(
    tmp_path: Path,
) -> None:
    async with surroundings() as (server, upstream, _):
        upstream.answer = answering("200 OK")
        token = jwt(aud=["account"], exp=int(wall()) + 60)
        server.answer = lambda _: http_answer(
            {"access_token": token, "expires_in": 3600, "scope": "a b", "token_type": "Bearer"}
        )
        wanted = {"audience": "https://api.example", "scope": "a b c d"}
        found = await told(configuration(server, upstream.url, audience=wanted), tmp_path)
        assert found.is_well
        assert "not granted: c d" in found.check("scope")["detail"]
        assert found.check("scope")["key"] == "audiences.orders.scope"
        assert "the token is for account" in found.check("audience")["detail"]
        assert found.check("audience")["key"] == "audiences.orders.audience"
        assert found.check("lifetime")["result"] == "warning"
        keyed = {"resource": "https://api.example/?key=canary"}
        found = await told(configuration(server, upstream.url, audience=keyed), tmp_path)
        assert "asked for https://api.example/?***, " in found.check("audience")["detail"]


async def test_a_running_proxy_is_told_from_another_server_at_its_address(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _), TokenServer() as admin:
        listen = {"listen": f"127.0.0.1:{admin.port}"}
        config = configuration(server, upstream.url, admin=listen)
        for body, result in (("ok\n", "ok"), ("<html>welcome", "skipped")):
            admin.answer = lambda _, body=body: http_answer(body)  # type: ignore[misc]
            assert (await told(config, tmp_path)).check("running")["result"] == result


async def test_all_are_asked_at_once_and_told_in_their_order(tmp_path: Path) -> None:
    """Each server answers only when the other has been asked."""
    async with TokenServer() as one, TokenServer() as two, RecordingUpstream() as upstream:
        servers = {"one": one, "two": two}
        for server in servers.values():
            server.hold()

        def granting(server: TokenServer) -> Callable[[Asked], bytes]:
            def answer(asked: Asked) -> bytes:
                return server.grant(asked)

            return answer

        one.answer, two.answer = granting(one), granting(two)
        config = configuration(one, upstream.url)
        config["clients"] = {
            name: config["clients"]["billing"] | {"token_endpoint": server.url}
            for name, server in servers.items()
        }
        config["audiences"] = {"b": {"client": "two"}, "a": {"client": "one"}}
        config["upstreams"] = {
            name: {"url": upstream.url, "audience": name, "match": {"path": f"/{name}"}}
            for name in ("b", "a")
        }
        run = asyncio.create_task(told(config, tmp_path))
        await eventually(lambda: one.held == 1 and two.held == 1)
        two.release()
        await eventually(lambda: two.held == 0)
        one.release()
        found = await run
        assert found.is_well, found.text
        titles = [group.title.split(" (")[0] for group in found.groups]
        assert titles == ["this proxy", "client one", "client two", "upstream b", "upstream a"]
        assert len(one.requests) == len(two.requests) == 1


async def test_a_reader_that_leaves_ends_it_as_that(tmp_path: Path) -> None:
    def gone(_group: Group) -> None:
        raise BrokenPipeError

    async with surroundings() as (server, upstream, _):
        server.hold()
        config = load_text(yaml.safe_dump(configuration(server, upstream.url)), "c", {}, tmp_path)
        with pytest.raises(BrokenPipeError):
            await examine(config, gone)
        await eventually(lambda: server.held == 0)
