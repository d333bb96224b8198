"""The status page as a browser shows it: Debian's Chromium, driven, before a running proxy.

Healthy and during an outage of the authorization server, in both colour schemes, 400 and 1280 px
wide. Each test leaves a picture in its folder.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest
from faults.token_server import configuration, running, surroundings
from integration.foreign_server import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from faults.token_server import Asked, Proxy, TokenServer
    from playwright.async_api import Browser, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (400, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATIENCE_MILLISECONDS = 30_000
POLL_SECONDS = 0.2
CONTRAST_MIN = 4.5

FOCUSED = """() => document.activeElement.ariaLabel ?? document.activeElement.innerText"""

# Every text that is shown, with its colour and the nearest colour behind it, as WCAG 2 has it.
POOR_CONTRAST = """least => {
  const channels = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => channels(c).slice(0, 3)
    .map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if ((channels(c)[3] ?? 1) === 1) return c;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [], seen = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || e.closest("caption")) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    seen.push(ratio);
    if (ratio < least) found.push([walker.currentNode.textContent, ratio]);
  }
  return {found, seen: seen.length};
}"""


class Shown:
    """One page in the browser, and whatever the browser complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(request.url))

    async def heading(self) -> str:
        return await self.page.locator("h1").inner_text()

    async def comes_to_say(self, words: str) -> None:
        """Wait for the page to say it, which it can only do by loading itself anew."""
        heading = self.page.locator("h1").filter(has_text=words)
        await heading.wait_for(timeout=PATIENCE_MILLISECONDS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    require(program, "chromium is missing: install the distribution's package")
    require(
        importlib.util.find_spec("playwright"),
        "playwright is missing: install the dependency group `test`",
    )
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def shown(browser: Browser, url: str) -> AsyncIterator[Shown]:
    shows = Shown(await browser.new_page())
    await shows.page.goto(url)
    yield shows
    await shows.page.close()
    assert shows.complaints == []


async def assert_sound(browser: Browser, proxy: Proxy, picture: Path, words: str) -> None:
    """Look at the page in every way that it can be looked at, and take a picture of one."""
    async with shown(browser, f"{admin_url(proxy)}/?refresh=0") as shows:
        assert words in await shows.heading()
        for scheme in SCHEMES:
            await shows.page.emulate_media(color_scheme=scheme)
            for width in WIDTHS:
                await shows.page.set_viewport_size({"width": width, "height": 800})
                scroll = await shows.page.evaluate("document.documentElement.scrollWidth")
                assert scroll <= width, f"{scheme}: scrolls sideways, {scroll} px at {width}"
                contrast = await shows.page.evaluate(POOR_CONTRAST, CONTRAST_MIN)
                assert contrast["seen"] > 50
                assert contrast["found"] == [], f"{scheme}: hard to read"
            if scheme in picture.name:
                await shows.page.screenshot(path=picture, full_page=True)


def admin_url(proxy: Proxy) -> str:
    return f"http://{proxy.app.admin_address}"


def three_audiences(
    server: TokenServer, upstream_url: str, *, lifetime_seconds: float
) -> dict[str, Any]:
    """Return a configuration of three upstreams; the tokens of `orders` live as long as given."""
    names = ("orders", "invoices", "stock-reports")

    def answer(asked: Asked) -> bytes:
        is_orders = asked.field("audience") == "orders"
        server.lifetime_seconds = lifetime_seconds if is_orders else 3600
        return server.grant(asked)

    server.answer = answer
    config = configuration(server, upstream_url, admin={"listen": "127.0.0.1:0"})
    config["audiences"] = {name: {"client": "billing", "audience": name} for name in names}
    config["upstreams"] = {
        name: {"url": upstream_url, "audience": name, "match": {"path": f"/{name}"}}
        for name in names
    }
    return config


@asynccontextmanager
async def watched(
    folder: Path, *, lifetime_seconds: float = 600
) -> AsyncIterator[tuple[TokenServer, Proxy, Browser]]:
    """Run a proxy for three audiences that has answered a few requests, and a browser."""
    async with (
        chromium() as browser,
        surroundings() as (server, upstream, _),
        running(
            three_audiences(server, upstream.url, lifetime_seconds=lifetime_seconds), folder
        ) as proxy,
    ):
        for name in ("orders", "invoices", "invoices", "stock-reports", "nowhere"):
            await proxy.call(f"/{name}/1")
        yield server, proxy, browser


@pytest.mark.slow
async def test_the_page_is_sound_and_can_be_worked_by_keyboard(tmp_path: Path) -> None:
    async with watched(tmp_path) as (_, proxy, browser):
        await assert_sound(browser, proxy, tmp_path / "status-light.png", "All 3 tokens live")
        async with shown(browser, f"{admin_url(proxy)}/?refresh=600") as shows:
            reached = []
            for _ in range(6):
                await shows.page.keyboard.press("Tab")
                reached.append(await shows.page.evaluate(FOCUSED))
            assert reached == [
                "Pause",
                "JSON",
                "Metrics",
                "Tokens by audience",
                "Upstreams",
                "Last token requests, newest first",
            ]
            await shows.page.locator("a", has_text="Pause").focus()
            await shows.page.keyboard.press("Enter")
            await shows.page.locator("a", has_text="Refresh every 5 s").wait_for()
            assert await shows.page.locator("meta[http-equiv=refresh]").count() == 0


async def test_on_paper_the_dark_scheme_is_light(tmp_path: Path) -> None:
    """Printers leave backgrounds out: light text would stand on white."""
    async with (
        watched(tmp_path) as (_, proxy, browser),
        shown(browser, f"{admin_url(proxy)}/?refresh=0") as shows,
    ):
        inks = []
        for scheme in SCHEMES:
            await shows.page.emulate_media(color_scheme=scheme, media="print")
            inks.append(await shows.page.evaluate("getComputedStyle(document.body).color"))
        assert inks[0] == inks[1]


@pytest.mark.slow
async def test_an_outage_and_its_end_show_by_themselves(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, lifetime_seconds=2) as (server, proxy, browser),
        shown(browser, f"{admin_url(proxy)}/?refresh=1") as shows,
    ):
        await shows.comes_to_say("All 3 tokens live")
        server.down = True
        await shows.comes_to_say("callers of orders get 503 authorization_server_unavailable")
        assert await proxy.code("/orders/1") == "authorization_server_unavailable"
        picture = tmp_path / "status-outage-dark.png"
        await assert_sound(browser, proxy, picture, "1 of 3 tokens failing")
        async with proxy.session.get(f"{admin_url(proxy)}/status.json") as answer:
            told = {each["audience"]: each for each in (await answer.json())["audiences"]}
        assert told["orders"]["failing_with"] == "authorization_server_unavailable"
        assert told["orders"]["advice"] in await shows.page.locator("body").inner_text()
        server.down = False
        while "All 3 tokens live" not in await shows.heading():
            # Whoever asks makes the next try come soon.
            await proxy.call("/orders/1")
            await asyncio.sleep(POLL_SECONDS)
