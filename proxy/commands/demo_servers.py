"""What the demonstration needs around the proxy: an authorization server and an echo upstream.

For `token-proxy demo` and nothing else: no other module imports this one. Both servers listen on
the loopback interface only, on ports that the kernel chooses, and keep everything in memory: the
client's secret is made at start, tokens are random text that nobody knows once the process ends.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HOST = "127.0.0.1"
CLIENT_ID = "demo"
TOKEN_PATH = "/token"
SHOWN_CHARACTERS = 6
"""So much of a token is shown, so that one can see whether it is another one."""
STOP_SECONDS_MAX = 1.0


class LoopbackServer:
    """An HTTP server that can be taken away and brought back at the same address."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._runner: web.ServerRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens, or did; without a slash at the end."""
        return f"http://{HOST}:{self._port}"

    async def start(self) -> None:
        """Listen, again on the port of the first time. Raises `OSError` if that is taken."""
        server = web.Server(self._handler, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=STOP_SECONDS_MAX)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the listener and every connection: who connects now is refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


class AuthorizationServer(LoopbackServer):
    """Grants opaque tokens to one client, by client credentials over `client_secret_basic`.

    `answer_seconds` is how long it thinks, so that waiting for it shows. `granted` counts the
    tokens it gave out.
    """

    def __init__(self, *, lifetime_seconds: int, answer_seconds: float) -> None:
        super().__init__(self._answer)
        self.client_secret = secrets.token_urlsafe(32)
        self.lifetime_seconds = lifetime_seconds
        self.answer_seconds = answer_seconds
        self.granted = 0
        self._expiries: dict[str, float] = {}

    def is_live(self, token: str) -> bool:
        """Say whether `token` was granted here and has not expired."""
        return time.monotonic() < self._expiries.get(token, 0.0)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(self.answer_seconds)
        if request.path != TOKEN_PATH:
            return _refusal(404, "not_found")
        if request.method != "POST":
            return _refusal(405, "invalid_request", {"Allow": "POST"})
        if not self._knows(request.headers.get("Authorization", "")):
            return _refusal(401, "invalid_client", {"WWW-Authenticate": 'Basic realm="demo"'})
        if request.content_type != "application/x-www-form-urlencoded":
            return _refusal(400, "invalid_request")
        if (await request.post()).get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type")
        return self._grant()

    def _knows(self, authorization: str) -> bool:
        """Say whether this is our one client, its id and secret form-encoded (RFC 6749 §2.3.1)."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            pair = base64.b64decode(encoded, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            return False
        client_id, _, client_secret = map(unquote_plus, pair.partition(":"))
        return (
            scheme.lower() == "basic"
            and client_id == CLIENT_ID
            and hmac.compare_digest(client_secret.encode(), self.client_secret.encode())
        )

    def _grant(self) -> web.Response:
        now = time.monotonic()
        self._expiries = {each: end for each, end in self._expiries.items() if now < end}
        token = secrets.token_urlsafe(32)
        self._expiries[token] = now + self.lifetime_seconds
        self.granted += 1
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
        }
        return web.json_response(answer, headers={"Cache-Control": "no-store"})


class EchoUpstream(LoopbackServer):
    """A protected API: says what it saw of a request, or 401 to one without a live token."""

    def __init__(self, is_live: Callable[[str], bool]) -> None:
        super().__init__(self._answer)
        self._is_live = is_live

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._is_live(token):
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return _refusal(401, "invalid_token", challenge)
        seen = {
            "method": request.method,
            "path": request.path_qs,
            "headers": {name: _shown(name, value) for name, value in request.headers.items()},
        }
        return web.Response(
            text=json.dumps(seen, indent=2, ensure_ascii=False) + "\n",
            content_type="application/json",
        )


def _shown(name: str, value: str) -> str:
    """Return a field's value, of a credential only its beginning."""
    if name.lower() != "authorization":
        return value
    scheme, _, token = value.partition(" ")
    return f"{scheme} {token[:SHOWN_CHARACTERS]}…"


def _refusal(status: int, error: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": error}, status=status, headers=headers)
