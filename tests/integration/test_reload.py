"""A configuration that is changed a hundred times under load, by signal and by file."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import yaml
from faults.token_server import TokenServer, eventually
from integration.mounted_files import Mount, replace
from integration.proxy_process import COMPLETION, start
from integration.recording_upstream import RecordingUpstream
from integration.steady_load import steady_load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.proxy_process import RunningProxy

RELOADS = 100
PER_SECOND = 50
TOLD = ("config_reloaded", "config_reload_failed")


def document(server: TokenServer, upstream: RecordingUpstream, version: int) -> dict[str, Any]:
    """Return the configuration's `version`: `orders` is always the same, the others are not."""
    client = {
        "token_endpoint": server.url,
        "client_id": "billing",
        "client_secret": "s",
    }
    api = {"url": upstream.url, "audience": "orders", "match": {"path": "/orders"}}
    comes = {"url": upstream.url, "audience": "comes", "match": {"path": f"/{version % 3}"}}
    return COMPLETION | {
        "log": {"format": "json"},
        "clients": {"billing": client},
        "audiences": {
            "orders": {"client": "billing"},
            "comes": {"client": "billing", "scope": f"version-{version}"},
        },
        "upstreams": {"orders": api, "comes": comes},
        "limits": {"header_fields_max": 100 + version},
    }


def told(proxy: RunningProxy) -> int:
    return sum(len(proxy.events(name)) for name in TOLD)


async def write_and_ask(proxy: RunningProxy, write: Callable[[str], None], text: str) -> None:
    """Replace the file, ask by signal, and wait until the outcome is told."""
    before = told(proxy)
    write(text)
    proxy.process.send_signal(signal.SIGHUP)
    await eventually(lambda: told(proxy) > before)


async def test_a_hundred_good_and_bad_ones_under_load_cost_no_request_and_no_token(
    tmp_path: Path,
) -> None:
    async with TokenServer(lifetime_seconds=3600) as server, RecordingUpstream() as upstream:
        folder = tmp_path / "proxy"
        proxy = await start(document(server, upstream, 0), folder)
        file = folder / "token-proxy.yaml"
        enough = asyncio.Event()
        load = asyncio.create_task(
            steady_load(f"{proxy.url}/orders", per_second=PER_SECOND, enough=enough)
        )
        for version in range(1, RELOADS + 1):
            text = yaml.safe_dump(document(server, upstream, version))
            if version % 2 == 0:
                text = text.replace("upstreams:", "upstraems:") if version % 4 else text[:200]
            await write_and_ask(proxy, lambda new: replace(file, new), text)
        enough.set()
        statuses = await load
        assert {*statuses} == {200}
        assert statuses[200] > PER_SECOND
        asked = [each.field("scope") for each in server.token_requests]
        assert asked.count(None) == 1, "the token of the unchanged audience was kept"
        # One that was replaced before it could ask has not asked.
        good = [f"version-{version}" for version in range(1, RELOADS + 1, 2)]
        scopes = [scope for scope in asked if scope not in (None, "version-0")]
        assert scopes == [version for version in good if version in scopes]
        assert len(scopes) > RELOADS / 4
        reloaded = [*map(len, map(proxy.events, TOLD))]
        # The file is looked at as well, so that one may be told twice, or the next one instead.
        assert min(reloaded) > RELOADS / 4
        assert proxy.events("internal_error") == []
        assert await proxy.stop() == 0


async def test_a_mounted_configuration_that_is_swapped_is_read_again(tmp_path: Path) -> None:
    async with TokenServer() as server, RecordingUpstream() as upstream:
        versions = [yaml.safe_dump(document(server, upstream, version)) for version in (0, 1)]
        mount = Mount(tmp_path / "config", **{"token-proxy.yaml": versions[0]})
        proxy = await start({}, tmp_path / "proxy", file=mount["token-proxy.yaml"])
        assert (await proxy.get("/1"))[0] == 404
        mount.swap(**{"token-proxy.yaml": "listen: [1"})
        await eventually(lambda: bool(proxy.events("config_reload_failed")))
        assert await proxy.metric("tokenproxy_config_last_reload_successful") == 0
        assert (await proxy.get("/orders"))[0] == 200
        mount.swap(**{"token-proxy.yaml": versions[1]})
        await eventually(lambda: bool(proxy.events("config_reloaded")))
        assert await proxy.metric("tokenproxy_config_last_reload_successful") == 1
        assert (await proxy.get("/1"))[0] == 200
        assert await proxy.stop() == 0


async def test_a_file_that_is_gone_for_a_while_is_found_again(tmp_path: Path) -> None:
    async with TokenServer() as server, RecordingUpstream() as upstream:
        folder = tmp_path / "proxy"
        proxy = await start(document(server, upstream, 0), folder)
        file = folder / "token-proxy.yaml"
        file.unlink()
        await eventually(lambda: bool(proxy.events("config_reload_failed")))
        (failed,) = proxy.events("config_reload_failed")
        assert f"{file}:1:1: cannot be read" in failed["problem"]
        replace(file, yaml.safe_dump(document(server, upstream, 1)))
        await eventually(lambda: bool(proxy.events("config_reloaded")))
        assert len(proxy.events("config_reload_failed")) == 1
        assert await proxy.stop() == 0
