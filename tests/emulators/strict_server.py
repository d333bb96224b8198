"""What the emulators share: a strict token endpoint, the API behind it, and the counting.

An emulator is a real process. It prints `{"port": …, "api_port": …}` and serves until SIGTERM. Its
own file says what one provider's documentation allows; here stands how that is enforced:

- what the check does not allow is refused with an RFC 6749 §5.2 error, and remembered;
- the API answers only to a live token of this very process (RFC 6750 §3), and says which it was;
- `GET /.control/counts` on the first port tells what happened so far. It is the one path that no
  provider has, with the flag `--lifetime-seconds`, which shortens what `expires_in` says.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from token_request import Asked, RefusedError, Registered

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS_PATH = "/.control/counts"


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider, as its documentation has it."""

    name: str
    token_path: str
    lifetime_seconds: int
    api_prefix: str
    check: Callable[[Asked, Registered], dict[str, Any]]
    """Raises `RefusedError`, or returns the answer's members beside the usual three."""
    one_origin: bool = False
    """Whether the API stands at the authorization server's own host."""
    metadata_path: str | None = None


@dataclass(slots=True)
class Counts:
    """What happened so far."""

    granted: int = 0
    refused: list[str] = field(default_factory=list)
    metadata: int = 0
    api_answered: int = 0
    api_refused: list[str] = field(default_factory=list)


class Emulator:
    """A provider, running: its tokens, its counts, its two faces."""

    def __init__(self, provider: Provider, options: argparse.Namespace) -> None:
        self._provider = provider
        self._registered = Registered(options.client_id, options.client_secret)
        self._lifetime_seconds: float = options.lifetime_seconds or provider.lifetime_seconds
        self._ends_at: dict[str, float] = {}
        self._numbers: dict[str, int] = {}
        self._counts = Counts()

    async def authorization(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer at the authorization server's origin."""
        if request.path == COUNTS_PATH:
            counts = {name: getattr(self._counts, name) for name in Counts.__slots__}
            return web.json_response(counts)
        if self._provider.one_origin and request.path.startswith(self._provider.api_prefix):
            return await self.api(request)
        try:
            answer = await self._answer(request)
        except RefusedError as refused:
            self._counts.refused.append(str(refused))
            return _refusal(refused)
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def _answer(self, request: web.BaseRequest) -> dict[str, Any]:
        if request.raw_path == self._provider.metadata_path:
            _demand_method(request, "GET")
            self._counts.metadata += 1
            return self._metadata(request)
        if request.path != self._provider.token_path:
            raise RefusedError("invalid_request", "no such path", status=404)
        _demand_method(request, "POST")
        if request.raw_path != self._provider.token_path:
            raise RefusedError("invalid_request", "no query is documented")
        # aiohttp decodes a body while reading it, so a compressed one is refused unread.
        body = b"" if "Content-Encoding" in request.headers else await request.read()
        names = {name.lower() for name in request.headers}
        headers = {name: list(request.headers.getall(name)) for name in names}
        further = self._provider.check(Asked(headers, body), self._registered)
        return self._grant() | further

    def _grant(self) -> dict[str, Any]:
        token = secrets.token_urlsafe(32)
        self._counts.granted += 1
        self._numbers[token] = self._counts.granted
        self._ends_at[token] = time.monotonic() + self._lifetime_seconds
        lifetime = self._lifetime_seconds
        expires_in = int(lifetime) if lifetime == int(lifetime) else lifetime
        return {"access_token": token, "token_type": "Bearer", "expires_in": expires_in}

    def _metadata(self, request: web.BaseRequest) -> dict[str, Any]:
        origin = f"http://{request.host}"
        base = str(self._provider.metadata_path).partition("/.well-known/")[0]
        return {
            "issuer": origin + base,
            "authorization_endpoint": origin + base + "/authorize",
            "token_endpoint": origin + self._provider.token_path,
            "jwks_uri": origin + base + "/jwks",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
        }

    async def api(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer at the API's origin: who was called, and with which of our tokens."""
        try:
            scheme, token = self._live_token(request)
        except RefusedError as refused:
            self._counts.api_refused.append(str(refused))
            return _refusal(refused)
        self._counts.api_answered += 1
        body = await request.read()
        return web.json_response(
            {
                "provider": self._provider.name,
                "token_number": self._numbers[token],
                "scheme": scheme,
                "method": request.method,
                "target": request.raw_path,
                "body": body.decode(),
            }
        )

    def _live_token(self, request: web.BaseRequest) -> tuple[str, str]:
        if not request.path.startswith(self._provider.api_prefix):
            raise RefusedError("invalid_request", "no such path", status=404)
        realm = f'Bearer realm="{self._provider.name}"'
        lines = request.headers.getall("Authorization", [])
        if not lines:
            raise _unauthorized("a token is needed", realm)
        scheme, _, token = lines[0].partition(" ")
        # RFC 9110 §11.1: the scheme's case does not matter, whatever the documentation writes.
        if len(lines) > 1 or scheme.lower() != "bearer":
            raise _unauthorized("one Bearer token is needed", realm)
        if token not in self._ends_at:
            raise _unauthorized("not a token of ours", f'{realm}, error="invalid_token"')
        if time.monotonic() >= self._ends_at[token]:
            raise _unauthorized("the token has expired", f'{realm}, error="invalid_token"')
        return scheme, token


def _demand_method(request: web.BaseRequest, method: str) -> None:
    if request.method != method:
        raise RefusedError(
            "invalid_request", f"only {method}", status=405, headers={"Allow": method}
        )


def _unauthorized(why: str, challenge: str) -> RefusedError:
    return RefusedError("invalid_token", why, status=401, headers={"WWW-Authenticate": challenge})


def _refusal(refused: RefusedError) -> web.Response:
    body = {"error": refused.error, "error_description": refused.why}
    headers = {"Cache-Control": "no-store", **refused.headers}
    return web.json_response(body, status=refused.status, headers=headers)


def serve(provider: Provider, registered: Registered) -> None:
    """Run the emulator; `registered` is what `--client-id` and `--client-secret` default to."""
    parser = argparse.ArgumentParser(description=f"A strict emulator of {provider.name}.")
    parser.add_argument("--port", type=int, default=0, help="of the authorization server")
    parser.add_argument("--api-port", type=int, default=0, help="of the API, if it is another")
    parser.add_argument("--client-id", default=registered.client_id)
    parser.add_argument("--client-secret", default=registered.client_secret)
    parser.add_argument("--lifetime-seconds", type=float, help="instead of the documented one")
    asyncio.run(_serve(provider, parser.parse_args()))


async def _serve(provider: Provider, options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    emulator = Emulator(provider, options)
    runner, port = await _listen(emulator.authorization, options.port)
    runners = [runner]
    api_port = port
    if not provider.one_origin:
        runner, api_port = await _listen(emulator.api, options.api_port)
        runners.append(runner)
    print(json.dumps({"port": port, "api_port": api_port}), flush=True)
    await stopped.wait()
    for runner in runners:
        await runner.cleanup()


async def _listen(
    handler: Callable[[web.BaseRequest], Any], port: int
) -> tuple[web.ServerRunner, int]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=1)
    await site.start()
    return runner, int(runner.addresses[0][1])
