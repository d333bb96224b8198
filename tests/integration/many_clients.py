"""One proxy process that proves many things: starting one takes longer than what it is asked then.

Each name in the configuration has an upstream at `/NAME`.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
from integration.oidc_provider import ORDERS

if TYPE_CHECKING:
    from integration.proxy_process import RunningProxy
    from integration.recording_upstream import RecordingUpstream

WELL_AGAIN_SECONDS_MAX = 8
"""Less than the 10 s for which a refusal is remembered at least."""

LOGGED_SECONDS_MAX = 30


def config_of_clients(
    clients: dict[str, dict[str, Any]], upstream: RecordingUpstream
) -> dict[str, Any]:
    """Return a configuration of these clients; each is behind the path of its name."""
    return _config(clients, dict(zip(clients, clients, strict=True)), upstream)


def config_of_audiences(
    client: dict[str, Any], upstream: RecordingUpstream, *names: str
) -> dict[str, Any]:
    """Return a configuration of one client, in which each path needs a token of its own."""
    return _config({"billing": client}, dict.fromkeys(names, "billing"), upstream)


def _config(
    clients: dict[str, dict[str, Any]], audiences: dict[str, str], upstream: RecordingUpstream
) -> dict[str, Any]:
    return {
        "clients": clients,
        "audiences": {
            name: {"client": client, "resource": ORDERS, "prefetch": False}
            for name, client in audiences.items()
        },
        "upstreams": {
            name: {"url": upstream.url, "audience": name, "match": {"path": f"/{name}"}}
            for name in audiences
        },
    }


async def codes(proxy: RunningProxy, *names: str) -> dict[str, tuple[int, str]]:
    """Return what a caller gets at each path: the status, and the code where it is an error."""
    found = {}
    async with aiohttp.ClientSession() as session:
        for name in names:
            async with session.get(f"{proxy.url}/{name}") as answer:
                body = await answer.read()
                is_problem = answer.content_type == "application/problem+json"
                found[name] = (answer.status, json.loads(body)["code"] if is_problem else "")
    return found


async def well_again(proxy: RunningProxy, name: str) -> None:
    """Wait until the path is served, sooner than a refusal would be forgotten by itself."""
    async with asyncio.timeout(WELL_AGAIN_SECONDS_MAX):
        while (await codes(proxy, name))[name] != (200, ""):
            await asyncio.sleep(0.05)


async def logged(proxy: RunningProxy, event: str, *, times: int = 1) -> None:
    """Wait until the event was logged that often."""
    async with asyncio.timeout(LOGGED_SECONDS_MAX):
        while len(proxy.events(event)) < times:
            await asyncio.sleep(0.05)


def warnings(proxy: RunningProxy) -> list[str]:
    """Return the lines of the log that warn, or worse, in order."""
    mild = ("info", "debug")
    return [json.dumps(event) for event in proxy.events() if event["level"] not in mild]
