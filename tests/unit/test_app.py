"""`proxy.app`: the wiring as a whole: it starts, says so, drains, ends, and fails in good order."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from faults.token_server import configuration, eventually, running, surroundings
from integration.recording_upstream import response

from proxy import app as wiring
from proxy.listeners import AddressUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from integration.recording_upstream import RecordedRequest


async def test_a_request_goes_all_the_way_with_its_token(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        async with running(configuration(server, upstream.url), tmp_path) as proxy:
            status, _, body = await proxy.call("/a?b=c", headers={"X-A": "1"})
        assert (status, body) == (200, b"token-1")
        (sent,) = upstream.requests
        assert sent.target == b"/a?b=c"
        assert sent.values("X-A") == [b"1"]


async def test_the_first_line_tells_version_file_and_addresses(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        listeners = ["127.0.0.1:0", f"unix:{tmp_path}/proxy.sock"]
        config = configuration(
            server, upstream.url, listen=listeners, admin={"listen": "127.0.0.1:0"}
        )
        async with running(config, tmp_path) as proxy:
            first = json.loads(proxy.log.splitlines()[0])
            assert (first["event"], first["level"]) == ("listening", "info")
            assert first["version"] == wiring.__version__
            assert first["file"] == "token-proxy.yaml"
            assert first["listen"] == proxy.app.addresses
            assert first["listen"][1] == listeners[1]
            assert first["admin"] == proxy.app.admin_address
            assert "tokenproxy_build_info" in await proxy.metrics()


async def test_without_an_admin_listener_there_is_none(tmp_path: Path) -> None:
    async with (
        surroundings() as (server, upstream, _),
        running(configuration(server, upstream.url), tmp_path) as proxy,
    ):
        assert proxy.app.admin_address is None


@pytest.mark.parametrize("key", ["listen", "admin"])
async def test_an_address_that_is_taken_is_named_and_nothing_stays_open(
    tmp_path: Path, key: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        first = f"unix:{tmp_path}/first.sock"
        keys: dict[str, Any] = (
            {"listen": [first, address]} if key == "listen" else {"admin": {"listen": address}}
        )
        async with surroundings() as (server, upstream, _):
            with pytest.raises(AddressUnavailable) as caught:
                async with running(configuration(server, upstream.url, **keys), tmp_path):
                    raise AssertionError("it must not start")
            assert server.requests == []
        assert address in str(caught.value)
        assert str(caught.value).startswith("listen:" if key == "listen" else "admin.listen:")
        assert not (tmp_path / "first.sock").exists()


async def test_a_drain_waits_for_what_is_in_flight_and_takes_nothing_new(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        arrived, go = asyncio.Event(), asyncio.Event()

        async def slow(_: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            arrived.set()
            await go.wait()
            writer.write(response(b"done"))

        upstream.answer = slow
        config = configuration(server, upstream.url, shutdown={"drain_seconds": 60})
        async with running(config, tmp_path) as proxy:
            address = proxy.app.addresses[0]
            caller = asyncio.create_task(proxy.call())
            await arrived.wait()
            draining = asyncio.create_task(proxy.app.drain())
            await eventually(lambda: bool(proxy.events("draining")))
            assert proxy.events("draining")[0]["in_flight"] == 1
            host, _, port = address.rpartition(":")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(host, int(port))
            assert not draining.done()
            go.set()
            assert (await caller)[2] == b"done"
            await draining
            assert proxy.events("drain_incomplete") == []


async def test_a_drain_ends_in_time_and_tells_what_was_broken_off(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        arrived = asyncio.Event()

        async def never(_: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
            arrived.set()
            await asyncio.Event().wait()

        upstream.answer = never
        config = configuration(server, upstream.url, shutdown={"drain_seconds": 0.1})
        async with running(config, tmp_path) as proxy:
            caller = asyncio.create_task(proxy.call())
            await arrived.wait()
            await proxy.app.drain()
            (told,) = proxy.events("drain_incomplete")
            assert told["in_flight"] == 1
            await proxy.app.close()
            (ended,) = await asyncio.gather(caller, return_exceptions=True)
            assert not isinstance(ended, tuple) or ended[0] >= 500


async def test_an_exception_that_nobody_waited_for_is_logged_without_its_text(
    tmp_path: Path,
) -> None:
    loop = asyncio.get_running_loop()
    async with surroundings() as (server, upstream, _):
        config = configuration(server, upstream.url)
        async with running(config, tmp_path, stray_exceptions=True) as proxy:
            error = ValueError("CANARY")
            loop.call_exception_handler({"message": "it broke", "exception": error})
            loop.call_exception_handler({"message": "it creaked"})
            broke, creaked = proxy.events("internal_error")
            assert (broke["message"], broke["error"]) == ("it broke", "ValueError")
            assert creaked["message"] == "it creaked"
            assert "CANARY" not in proxy.log


async def test_what_a_stray_callback_was_called_with_is_not_logged(tmp_path: Path) -> None:
    def callback(_argument: str) -> None:
        raise ValueError

    loop = asyncio.get_running_loop()
    async with surroundings() as (server, upstream, _):
        config = configuration(server, upstream.url)
        async with running(config, tmp_path, stray_exceptions=True) as proxy:
            loop.call_soon(callback, "CANARY")
            await eventually(lambda: bool(proxy.events("internal_error")))
            for message in (
                "Odd 'CANARY'",
                "Odd <CANARY>",
                "Odd {CANARY}",
                "Odd: CANARY",
                "(CANARY",
            ):
                loop.call_exception_handler({"message": message})
            called, *odd, bare = proxy.events("internal_error")
            assert called["message"].startswith("Exception in callback test_")
            assert " callback" in called["places"]
            assert {each["message"] for each in odd} == {"Odd"}
            assert bare["message"] == "an exception that nobody waited for"
            assert "CANARY" not in proxy.log


async def test_how_late_the_loop_is_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "LAG_INTERVAL_SECONDS", 0.001)
    async with (
        surroundings() as (server, upstream, _),
        running(configuration(server, upstream.url), tmp_path) as proxy,
    ):
        await eventually(lambda: proxy.app.telemetry.event_loop_lag_seconds > 0)
