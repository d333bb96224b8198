"""What the log of a real proxy says of a thousand requests that all meet the same trouble.

Access lines follow `log.access` and are never folded; of anything else there is a line or two.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from integration.proxy_process import RunningProxy, start
from integration.recording_upstream import RecordingUpstream, response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.recording_upstream import RecordedRequest

TIMES = 1000
CONNECTIONS = 20
PATIENCE_SECONDS = 60
LINES_PER_TROUBLE = 2
DEAD = "http://127.0.0.1:9"


async def as_path_says(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    status = request.target.partition(b"?")[0].rpartition(b"/")[2].decode()
    writer.write(response(b"", status=f"{status} Said"))


@pytest.fixture
async def upstream() -> AsyncIterator[RecordingUpstream]:
    async with RecordingUpstream() as running:
        running.answer = as_path_says
        yield running


def configuration(upstream: RecordingUpstream, access: str) -> dict[str, Any]:
    client = {"token_endpoint": f"{DEAD}/token", "client_id": "billing", "client_secret": "s3cr3t"}
    return {
        "log": {"format": "json", "level": "debug", "access": access},
        "clients": {"billing": client},
        "audiences": {"orders": {"client": "billing", "prefetch": False}},
        "upstreams": {
            "api": {"url": upstream.url, "audience": "none", "match": {"path": "/api"}},
            "dead": {"url": DEAD, "audience": "none", "match": {"path": "/dead"}},
            "tokenless": {"url": DEAD, "audience": "orders", "match": {"path": "/tokenless"}},
            "narrow": {
                "url": upstream.url,
                "audience": "none",
                "match": {"path": "/narrow"},
                "methods": ["PUT"],
            },
        },
    }


def request(path: str, host: str = "localhost") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


TROUBLE = {
    "no route": request("/nothing"),
    "host refused": request("/api/200", host="elsewhere.example"),
    "not allowed": request("/narrow/200"),
    "no token": request("/tokenless"),
    "no upstream": request("/dead"),
    "refused by the upstream": request("/api/401"),
    "malformed": b"GET /api/200 HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\r\n\r\n",
}


async def ask(proxy: RunningProxy, wanted: bytes, times: int) -> list[int]:
    """Ask so often, each request as soon as the one before is answered; return the statuses."""
    port = int(proxy.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    statuses = []
    while len(statuses) < times:
        writer.write(wanted)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        statuses.append(int(head.split(" ")[1]))
        length = re.search(r"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        if "\r\nconnection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return statuses


async def flood(proxy: RunningProxy, wanted: bytes) -> Counter[int]:
    share = TIMES // CONNECTIONS
    async with asyncio.timeout(PATIENCE_SECONDS):
        all_statuses = await asyncio.gather(
            *(ask(proxy, wanted, share) for _ in range(CONNECTIONS))
        )
    return Counter(status for statuses in all_statuses for status in statuses)


async def test_a_thousand_of_each_trouble_leave_a_few_lines(
    tmp_path: Path, upstream: RecordingUpstream
) -> None:
    proxy = await start(configuration(upstream, "off"), tmp_path)
    try:
        seen = {name: await flood(proxy, wanted) for name, wanted in TROUBLE.items()}
    finally:
        await proxy.stop()
    events = Counter(event["event"] for event in proxy.events())
    for name, statuses in seen.items():
        assert statuses.total() == TIMES, name
        assert min(statuses) >= 400, name
    usual = ("listening", "stopping", "draining", "stopped")
    assert all(events.pop(name) == 1 for name in usual)
    assert events["upstream_connect_failed"] == 1
    assert events["token_fetch_failed"] >= 1
    # The token is asked for again while the flood lasts, each time a little later.
    assert events.total() <= LINES_PER_TROUBLE * len(TROUBLE)


@pytest.mark.parametrize(
    ("access", "written"),
    [("off", []), ("errors", [404, 400, 500, 502]), ("all", [200, 404, 400, 401, 500, 502])],
)
async def test_the_access_log_has_the_lines_that_are_wanted(
    tmp_path: Path, upstream: RecordingUpstream, access: str, written: list[int]
) -> None:
    proxy = await start(configuration(upstream, access), tmp_path)
    asked = ("/api/200?secret=1", "/nothing", "/api/../x", "/api/401", "/api/500", "/dead")
    try:
        answers = [(await ask(proxy, request(path), 1))[0] for path in asked]
    finally:
        await proxy.stop()
    assert answers == [200, 404, 400, 401, 500, 502]
    lines = proxy.events("request")
    assert [line["status"] for line in lines] == written
    for line in lines:
        ours = line["status"] in {404, 400, 502}
        assert line["origin"] == ("proxy" if ours else "upstream")
        assert ("code" in line) == ours
        assert line["duration_seconds"] >= 0
        assert "?" not in line.get("path", "")
