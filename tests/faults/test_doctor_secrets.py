"""The doctor shows no secret and no token, whatever a server quotes and whichever way it does."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from faults.doctor_bench import told
from faults.token_server import TokenServer, configuration, http_answer
from integration.recording_upstream import RecordingUpstream, response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from faults.doctor_bench import Told
    from faults.token_server import Asked
    from integration.recording_upstream import RecordedRequest

SECRET = "s3cr3t/canary+of=the client"
HEADER = "api-key-canary-8461"
CLAIMS = {"iss": SECRET, "aud": f"for {SECRET}", "azp": "x", "scope": "a b"}


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


TOKEN = ".".join(
    map(encoded, [b'{"alg": "none"}', json.dumps(CLAIMS).encode(), b"signature-canary"])
)


def forms(secret: str) -> set[str]:
    """Return the forms in which a secret may be seen."""
    return {
        secret,
        secret[:12],
        quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode().rstrip("="),
        encoded(secret.encode()),
        encoded(f"billing:{secret}".encode()),
    }


def quoting(asked: Asked) -> bytes:
    everything = f"{dict(asked.headers)} {asked.body.decode()} {SECRET} {TOKEN}"
    return http_answer(
        {"error": "invalid_client", "error_description": everything}, status="401 Unauthorized"
    )


def page(asked: Asked) -> bytes:
    return http_answer(f"<html>{asked.headers} {asked.body.decode()} {quote(SECRET)}</html>")


def unlike(asked: Asked) -> bytes:
    return http_answer({"accessToken": TOKEN, "message": f"{SECRET} {asked.headers}"})


def assert_nothing_shown(found: Told) -> None:
    for output in (found.text, json.dumps(found.report)):
        for secret in (SECRET, TOKEN, HEADER):
            seen = [form for form in forms(secret) if form in output]
            assert not seen, output


@pytest.mark.parametrize("answer", [quoting, page, unlike])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_what_the_token_endpoint_quotes_is_struck_out(
    tmp_path: Path, answer: Callable[[Asked], bytes], method: str
) -> None:
    async with TokenServer(answer=answer) as server, RecordingUpstream() as upstream:
        client = {"client_secret": SECRET, "authentication": method}
        found = await told(configuration(server, upstream.url, client=client), tmp_path)
        assert found.only_failure["check"] == "token"
        assert_nothing_shown(found)


@pytest.mark.parametrize("key", ["token_endpoint", "discovery"])
async def test_what_stands_in_an_addresss_query_is_struck_out(tmp_path: Path, key: str) -> None:
    """Some servers take a key there; `config` does not show it either."""
    async with TokenServer(answer=page) as server, RecordingUpstream() as upstream:
        where = {"token_endpoint": None, key: f"{server.url}?code={HEADER}"}
        client = {"client_secret": SECRET} | where
        found = await told(configuration(server, upstream.url, client=client), tmp_path)
        assert any(HEADER in asked.target for asked in server.requests)
        assert f"({key}: {server.url}?***)" in found.text
        assert_nothing_shown(found)


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "401 Unauthorized", "403 Forbidden"])
async def test_what_an_upstream_quotes_is_struck_out(tmp_path: Path, status: str) -> None:
    async def quoting_all(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        (credential,) = request.values("Authorization")
        (key,) = request.values("X-Api-Key")
        words = f"{credential.decode()} {key.decode()}"
        fields = (
            f'WWW-Authenticate: Bearer error="invalid_token", error_description="{words}"',
            f"Location: https://elsewhere.example/{TOKEN}/{HEADER}?token={TOKEN}",
        )
        writer.write(response(words.encode(), status=status, fields=fields))

    async with TokenServer() as server, RecordingUpstream() as upstream:
        server.answer = lambda asked: server.grant(asked, TOKEN, scope=f"a {SECRET}")
        upstream.answer = quoting_all
        config = configuration(
            server,
            upstream.url,
            client={"client_secret": SECRET},
            upstream={"set_headers": {"X-Api-Key": HEADER}},
        )
        found = await told(config, tmp_path)
        assert upstream.requests
        assert found.check("request")["detail"].startswith(f"GET / answered {status[:3]}")
        assert "(not told: it holds a secret)" in found.check("token")["detail"]
        assert_nothing_shown(found)
