"""What is in flight when the configuration is read again ends as it began, and leaves nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from faults.token_server import (
    configuration,
    eventually,
    running,
    surroundings,
    token_of,
)
from integration.recording_upstream import RecordedRequest, RecordingUpstream, response

from proxy.tokens import lease

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


FAILED, RELOADED = "config_reload_failed", "config_reloaded"


class Gate:
    """An upstream's `answer` that waits until it is opened."""

    def __init__(self) -> None:
        self.arrived, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        self.arrived.set()
        await self.opened.wait()
        token = token_of(request) if request.values("Authorization") else "none"
        writer.write(response(token.encode()))


async def test_a_removed_upstreams_requests_end_well_and_then_nothing_is_left_of_it(
    tmp_path: Path,
) -> None:
    async with surroundings() as (server, upstream, _):
        gate = upstream.answer = Gate()
        document = configuration(server, upstream.url, admin={"listen": "127.0.0.1:0"})
        async with running(document, tmp_path) as proxy:
            caller = asyncio.create_task(proxy.call())
            await gate.arrived.wait()
            await proxy.reload(
                clients={},
                audiences={},
                upstreams={"b": {"url": upstream.url, "audience": "none", "match": {"path": "/b"}}},
            )
            assert await proxy.code() == "no_route"
            page = await proxy.metrics()
            assert 'tokenproxy_requests_in_flight{upstream="api"} 1.0' in page
            assert 'audience="orders"' not in page
            gate.opened.set()
            assert (await caller)[::2] == (200, b"token-1")
            await eventually(lambda: [*proxy.app.telemetry.upstreams] == ["", "b"])
            assert 'upstream="api"' not in await proxy.metrics()


async def test_a_401_under_the_configuration_before_is_still_renewed_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "YOUNG_SECONDS", 0.0)
    async with surroundings() as (server, upstream, guard):
        gate = Gate()

        async def answer(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            if not gate.arrived.is_set():
                gate.arrived.set()
                await gate.opened.wait()
            await guard(request, writer)

        upstream.answer = answer
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            caller = asyncio.create_task(proxy.call())
            await gate.arrived.wait()
            guard.refused = {"token-1"}
            await proxy.reload(
                clients={}, audiences={}, upstreams={"b": {"url": upstream.url, "audience": "none"}}
            )
            assert proxy.app.telemetry.audiences == {}
            gate.opened.set()
            assert (await caller)[::2] == (200, b"token-2")


async def test_a_tunnel_outlives_its_upstream(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):

        async def echo(_: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            )
            opened.set_result(writer)
            await asyncio.Event().wait()

        opened: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        upstream.answer = echo
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            host, _, port = proxy.app.addresses[0].rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            far_end = await opened
            await proxy.reload(
                upstreams={"b": {"url": upstream.url, "audience": "none", "match": {"path": "/b"}}}
            )
            far_end.write(b"still there")
            assert await reader.readexactly(11) == b"still there"
            writer.close()


async def test_each_upstreams_series_end_with_its_own_last_request(tmp_path: Path) -> None:
    """Whatever else is in flight, and since whichever configuration."""
    async with (
        surroundings() as (server, upstream, _),
        RecordingUpstream() as second,
        RecordingUpstream() as third,
    ):
        upstreams: dict[str, Any] = {
            name: {"url": each.url, "audience": "none", "match": {"path": f"/{name}"}}
            for name, each in {"a": upstream, "b": second, "c": third}.items()
        }
        gates = {"a": Gate(), "b": Gate()}
        upstream.answer, second.answer = gates.values()
        document = configuration(server, upstream.url, upstreams=upstreams)
        async with running(document, tmp_path) as proxy:
            callers = [asyncio.create_task(proxy.call("/a"))]
            await gates["a"].arrived.wait()
            await proxy.reload(upstreams={name: upstreams[name] for name in "ab"})
            # Nobody is on it, though somebody is on another lane of before.
            await eventually(lambda: [*proxy.app.telemetry.upstreams] == ["", "a", "b"])
            callers.append(asyncio.create_task(proxy.call("/b")))
            await gates["b"].arrived.wait()
            await proxy.reload(upstreams={"a": upstreams["a"]})
            gates["a"].opened.set()
            assert (await callers[0])[0] == 200
            await asyncio.sleep(0.05)
            assert [*proxy.app.telemetry.upstreams] == ["", "a", "b"], "one is in flight still"
            gates["b"].opened.set()
            assert (await callers[1])[0] == 200
            await eventually(lambda: [*proxy.app.telemetry.upstreams] == ["", "a"])


async def test_a_long_request_keeps_what_it_may_want_and_nothing_of_what_came_later(
    tmp_path: Path,
) -> None:
    """A tunnel may last for days: what each reload leaves must not wait for its end."""
    async with surroundings() as (server, upstream, _):
        gate = upstream.answer = Gate()
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            caller = asyncio.create_task(proxy.call())
            await gate.arrived.wait()
            retired = proxy.app._tokens.retired
            for version in range(5):
                client = document["clients"]["billing"] | {"client_id": f"version-{version}"}
                await proxy.reload(clients={"billing": client})
            await eventually(lambda: len(retired._holdings) == len(retired._ways) == 1)
            assert len(proxy.app._leftovers._in_use) == 1
            (way,) = retired._ways
            assert way.client.client_id == "billing"
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert "configuration-left" not in names
            gate.opened.set()
            assert (await caller)[::2] == (200, b"token-1")
            await eventually(lambda: not retired._holdings and not retired._ways)


async def test_a_proxy_that_drains_reads_no_configuration_and_raises_no_alarm(
    tmp_path: Path,
) -> None:
    async with surroundings() as (server, upstream, _):
        gate = upstream.answer = Gate()
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            caller = asyncio.create_task(proxy.call())
            await gate.arrived.wait()
            draining = asyncio.create_task(proxy.app.drain())
            await eventually(lambda: bool(proxy.events("draining")))
            proxy._documents[0] = document | {"limits": {"header_fields_max": 7}}
            proxy.app.reload()
            await asyncio.sleep(0.1)
            gate.opened.set()
            assert (await caller)[0] == 200
            await draining
            assert proxy.events(FAILED) == proxy.events(RELOADED) == []
