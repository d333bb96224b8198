"""The metrics of a running proxy: those of the table, bounded whatever callers do, well-formed.

Which format a scraper's `Accept` gets is in `tests/unit/telemetry/test_scrape.py`, how things are
counted in `test_exposition.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import string
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
from faults.token_server import Asked, Proxy, configuration, refusal, running, surroundings
from integration.foreign_server import require
from monitoring.metric_table import BEYOND_THE_TABLE, TABLE
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from proxy.admin import listener

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from faults.token_server import TokenServer
    from prometheus_client.metrics_core import Metric


def with_failures(server: TokenServer, upstream_url: str, **audience: Any) -> dict[str, Any]:
    """Return a configuration with an upstream that works, one that is dead, one without token."""
    config = configuration(
        server,
        upstream_url,
        audience=audience,
        admin={"listen": "127.0.0.1:0"},
    )
    config["audiences"]["denied"] = {"client": "billing", "audience": "denied"} | audience
    config["upstreams"] |= {
        # Nothing listens on port 1, and nothing is asked of the other.
        "dead": {"url": "http://127.0.0.1:1", "audience": "none", "match": {"path": "/dead"}},
        "denied": {"url": upstream_url, "audience": "denied", "match": {"path": "/denied"}},
    }
    return config


def denying(server: TokenServer) -> None:
    """Let `server` refuse what is asked of it for one of the audiences."""

    def answer(asked: Asked) -> bytes:
        if asked.field("audience") == "denied":
            return refusal("invalid_target")
        return server.grant(asked)

    server.answer = answer


async def families(proxy: Proxy) -> dict[str, Metric]:
    found = text_string_to_metric_families(await proxy.metrics())
    return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in found}


async def every_series(proxy: Proxy) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {
        (sample.name, frozenset(sample.labels.items()))
        for family in (await families(proxy)).values()
        for sample in family.samples
    }


async def test_names_types_and_what_stands_at_zero_are_those_of_the_table(tmp_path: Path) -> None:
    async with (
        surroundings() as (server, upstream, _),
        # Nothing is asked for ahead of the first request, so that nothing has happened yet.
        running(with_failures(server, upstream.url, prefetch=False), tmp_path) as proxy,
    ):
        shown = await families(proxy)
    ours = {name: family.type for name, family in shown.items() if "tokenproxy" in name}
    assert ours == {name: kind for name, (kind, _) in TABLE.items()} | BEYOND_THE_TABLE
    for name, (kind, labels) in TABLE.items():
        samples = shown[name].samples
        if kind != "gauge":
            assert {sample.value for sample in samples} == {0.0}, name
        if not labels or None in labels.values():
            assert {frozenset(sample.labels) for sample in samples} <= {frozenset(labels)}, name
            continue
        told = dict(labels)
        if kind == "histogram":
            assert {sample.name for sample in samples} == {
                f"{name}_{part}" for part in ("bucket", "sum", "count")
            }
            samples = [sample for sample in samples if sample.name.endswith("_bucket")]
            told["le"] = [*(str(float(bound)) for bound in labels["le"].split()), "+Inf"]
        expected = {
            frozenset(zip(told, values, strict=True))
            for values in itertools.product(*told.values())
        }
        assert {frozenset(sample.labels.items()) for sample in samples} == expected, name
        assert len(samples) == len(expected), name


async def ask(
    session: aiohttp.ClientSession, proxy: Proxy, method: str, path: str, host: str
) -> int:
    url = URL(proxy.url + path, encoded=True)
    async with session.request(method, url, headers={"Host": host}) as answer:
        await answer.read()
        return answer.status


async def test_a_thousand_random_paths_methods_and_hosts_add_no_series(tmp_path: Path) -> None:
    chance = random.Random(8)
    signs = string.ascii_letters + string.digits

    def word(longest: int) -> str:
        return "".join(chance.choices(signs, k=chance.randint(1, longest)))

    async with (
        surroundings() as (server, upstream, _),
        running(
            configuration(server, upstream.url, admin={"listen": "127.0.0.1:0"}), tmp_path
        ) as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8)) as session,
    ):
        ours = proxy.url.removeprefix("http://")
        # One of each kind: a method that is known, one that is not, a host that is none of ours.
        for method, host in itertools.product(("GET", "BREW"), (ours, "elsewhere.example")):
            await ask(session, proxy, method, "/", host)
        before = await every_series(proxy)
        asked = [
            (
                chance.choice(("GET", f"X{word(20)}")),
                f"/{word(40)}/%{chance.randint(48, 90):02X}/{word(9)}?{word(9)}={word(9)}",
                chance.choice((ours, f"{word(20)}.{word(5)}.example")),
            )
            for _ in range(1000)
        ]
        statuses = await asyncio.gather(*(ask(session, proxy, *each) for each in asked))
        assert set(statuses) == {200, 421}
        assert await every_series(proxy) == before
    others = {dict(labels)["method"] for name, labels in before if name.endswith("requests_total")}
    assert others == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "_OTHER"}


async def with_all_kinds_of_trouble(proxy: Proxy) -> None:
    """Let requests end well, at a dead upstream, without a token, at a limit of what is allowed."""
    assert await proxy.status() == 200
    assert await proxy.code("/dead") == "upstream_unreachable"
    assert await proxy.code("/denied") == "grant_refused"
    status, _, _ = await proxy.call(headers={"Host": "elsewhere.example"})
    assert status == 421


async def test_promtool_has_nothing_to_complain_about_after_traffic_and_failures(
    tmp_path: Path,
) -> None:
    promtool = shutil.which("promtool")
    require(promtool, "promtool is not installed")
    assert promtool is not None
    async with (
        surroundings() as (server, upstream, _),
        running(with_failures(server, upstream.url), tmp_path) as proxy,
    ):
        denying(server)
        await with_all_kinds_of_trouble(proxy)
        page = await proxy.metrics()
    ours = [line for line in page.splitlines() if "tokenproxy_" in line]
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input="\n".join([*ours, ""]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_openmetrics_says_the_same_after_traffic_and_failures(tmp_path: Path) -> None:
    async with (
        surroundings() as (server, upstream, _),
        running(with_failures(server, upstream.url), tmp_path) as proxy,
    ):
        denying(server)
        await with_all_kinds_of_trouble(proxy)
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        url = f"http://{proxy.app.admin_address}/metrics"
        async with proxy.session.get(url, headers=accept) as answer:
            assert answer.content_type == "application/openmetrics-text"
            page = await answer.text()
        text = await every_series(proxy)
    found = {
        (sample.name, frozenset(sample.labels.items()))
        for family in openmetrics(page)
        for sample in family.samples
    }
    assert {one for one in found if one[0].startswith("tokenproxy_")} == {
        one for one in text if one[0].startswith("tokenproxy_")
    }


async def test_a_scrape_that_takes_long_holds_up_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    render = listener.render

    def slow(*arguments: Any) -> tuple[bytes, str]:
        begun.set()
        assert go_on.wait(60)
        return render(*arguments)

    monkeypatch.setattr(listener, "render", slow)
    async with (
        surroundings() as (server, upstream, _),
        running(with_failures(server, upstream.url), tmp_path) as proxy,
    ):
        scrape = asyncio.create_task(proxy.metrics())
        try:
            assert await asyncio.to_thread(begun.wait, 60)
            assert [await proxy.status() for _ in range(20)] == [200] * 20
            assert not scrape.done()
        finally:
            go_on.set()
        assert "tokenproxy_build_info" in await scrape
