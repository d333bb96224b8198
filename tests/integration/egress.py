"""A client whose token requests go through an egress proxy, and what is seen of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from faults.token_server import TokenServer
    from integration.foreign_server import ForeignServer
    from integration.proxy_process import RunningProxy
    from integration.recording_upstream import RecordingUpstream

    StartEgress = Callable[..., Awaitable["Egress"]]
    """`await start_egress(**settings)`: the fixture's type."""

SECRET = "s3cr3t-canary"


class Egress:
    """tinyproxy, and what it noted of the requests that came."""

    def __init__(self, server: ForeignServer, folder: Path) -> None:
        self.server = server
        self._log = folder / "tinyproxy.log"

    @property
    def requests(self) -> list[str]:
        marker = "Request (file descriptor "
        lines = [line for line in self._log.read_text().splitlines() if marker in line]
        return [line.partition(marker)[2].partition("): ")[2] for line in lines]


def config(
    server: TokenServer, upstream: RecordingUpstream, egress: Egress | None, **client: Any
) -> dict[str, Any]:
    wanted = {
        "token_endpoint": server.url,
        "client_id": "billing",
        "client_secret": SECRET,
        "authentication": "client_secret_post",
    } | client
    if egress is not None:
        # A plain endpoint behind a proxy is none of this machine's, so that it wants leave.
        wanted |= {"http_proxy": egress.server.url, "allow_http": True}
    return {
        "clients": {"billing": {key: value for key, value in wanted.items() if value is not None}},
        "audiences": {"orders": {"client": "billing", "prefetch": False}},
        "upstreams": {"orders": {"url": upstream.url, "audience": "orders"}},
    }


def with_certificate(files: Path) -> dict[str, Any]:
    return {
        "tls": {
            "ca_file": str(files / "ca.pem"),
            "certificate_file": str(files / "client.pem"),
            "key_file": str(files / "client.pem"),
        }
    }


async def problem(proxy: RunningProxy) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(proxy.url) as answer:
        said = json.loads(await answer.read())
        assert int(answer.headers["Retry-After"]) > 0
        return answer.status, said["code"], said["detail"]
