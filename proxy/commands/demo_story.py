"""What the demonstration shows: each act makes real calls and tells what they measured.

Every figure is either timed here, at the caller's end of a real connection to the proxy, or read
from the proxy's own `/metrics`. An act that did not see what it is there to show raises
`DemoFailed`; each waits for its event under a deadline.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from proxy.commands.demo_servers import AuthorizationServer

PATH = "/hello"
CACHED_CALLS = 20
REFUSED_CALLS = 5
PAUSE_SECONDS = 0.1
"""Between two calls of the steady traffic."""
WATCH_SECONDS = 0.5
PATIENCE_SECONDS = 15.0
"""How much longer than a token's lifetime an event may take before the demonstration gives up."""

# Enough of the text format for names from our own configuration, which need no escaping.
SAMPLE = re.compile(r"^tokenproxy_(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


class DemoFailed(Exception):  # noqa: N818 - it names a fact
    """What was to be shown did not happen; the text says what did."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call and its answer. `credential`: how the upstream quotes the token it saw."""

    status: int
    seconds: float
    credential: str = ""
    code: str = ""
    retry_after: str = ""


class Figures:
    """The proxy's metrics as they were at one moment."""

    def __init__(self, page: str) -> None:
        self._samples = [
            (name, set(LABEL.findall(labels)), float(value))
            for name, labels, value in SAMPLE.findall(page)
        ]

    def __call__(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of `tokenproxy_NAME` that carry these labels."""
        return sum(
            value
            for sampled, carried, value in self._samples
            if sampled == name and labels.items() <= carried
        )

    @property
    def granted(self) -> float:
        """How many token requests brought a token."""
        return self("token_fetches_total", result="success")

    @property
    def renewed(self) -> float:
        """How many of them were renewals that nobody waited for."""
        return self("token_fetches_total", result="success", reason="renewal")

    @property
    def waited(self) -> float:
        """How many calls waited for a token."""
        return self("token_wait_seconds_count")


class Story:
    """The acts. `say` prints one line under a heading; URLs have no slash at their end."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        proxy_url: str,
        admin_url: str,
        authorization_server: AuthorizationServer,
        say: Callable[[str, str], None],
    ) -> None:
        self._session = session
        self._url = f"{proxy_url}{PATH}"
        self._metrics_url = f"{admin_url}/metrics"
        self._server = authorization_server
        self._say = say
        self._deadline_seconds = authorization_server.lifetime_seconds + PATIENCE_SECONDS

    async def cold_and_cached(self) -> None:
        """Show that the first call waits for the first token, and the next ones find it."""
        cold = await self._call()
        _require([cold])
        first = await self.figures()
        if first("token_lookups_total", result="miss") != 1 or first.granted != 1:
            raise DemoFailed("the first call did not cause the first token request")
        self._say(
            "cold",
            f"{cold.status} in {_ms(cold.seconds)}, {_ms(first('token_wait_seconds_sum'))} of it "
            f"waiting for the first token ({cold.credential})",
        )
        calls = [await self._call() for _ in range(CACHED_CALLS)]
        _require(calls)
        then = await self.figures()
        if then.waited != first.waited or then.granted != first.granted:
            raise DemoFailed("a call waited for a token though there was one")
        self._say(
            "cached",
            f"{calls[0].status} in {_ms(statistics.median(call.seconds for call in calls))}, the "
            f"median of {len(calls)} calls; token requests so far: {then.granted:.0f}",
        )

    async def renewal(self) -> None:
        """Show that calls go on while a new token takes the old one's place."""
        before = await self.figures()
        calls = await self._calls_until(lambda now: now.renewed > before.renewed)
        _require(calls)
        last = await self._call()
        now = await self.figures()
        if last.credential == calls[0].credential:
            raise DemoFailed("the upstream saw the old token after the renewal")
        if now.waited != before.waited:
            raise DemoFailed("a call waited for the renewal")
        self._say(
            "renewal",
            f"{_ahead(before, now):.1f} s ahead of expiry, under {len(calls)} calls, none waiting, "
            f"the slowest {_slowest(calls)} ({last.credential})",
        )

    async def outage_survived(self) -> None:
        """Show that nobody notices when the server is gone while a renewal is due."""
        before = await self.figures()
        gone_at = time.monotonic()
        await self._server.stop()
        calls = await self._calls_until(lambda now: now("token_consecutive_failures") > 0)
        back_at = await self._bring_back()
        _require(calls)
        self._say(
            "outage",
            f"authorization server gone for {back_at - gone_at:.1f} s: {len(calls)} calls, all "
            f"{calls[0].status}; renewals that failed: {await self._failed_since(before):.0f}",
        )
        _require(await self._calls_until(lambda now: now.granted > before.granted))
        recovered_at = time.monotonic()
        now = await self.figures()
        if now.waited != before.waited:
            raise DemoFailed("a call waited for a token during the outage")
        self._say(
            "recovery",
            f"renewed {recovered_at - back_at:.1f} s after its return, "
            f"{_ahead(before, now):.1f} s ahead of expiry; calls that failed: "
            f"{now('errors_total') - before('errors_total'):.0f}",
        )

    async def outage_outlasted(self) -> None:
        """Show what callers get when the server is gone for longer than the token lives."""
        before = await self.figures()
        gone_at = time.monotonic()
        await self._server.stop()
        self._say("outage", "authorization server gone, connections to it are refused")
        *calls, last = await self._calls_until(end_at=lambda status: status != 200)
        _require(calls)
        self._say(
            "alive",
            f"{len(calls)} calls in {time.monotonic() - gone_at:.1f} s, all {calls[0].status} with "
            f"the token at hand; renewals that failed: {await self._failed_since(before):.0f}",
        )
        then = await self.figures()
        refused = [last, *[await self._call() for _ in range(REFUSED_CALLS)]]
        sent = (await self.figures())("requests_total", origin="upstream")
        _require(refused, 503)
        if not all(call.retry_after and call.code for call in refused):
            raise DemoFailed("an answer 503 came without Retry-After or code")
        self._say(
            "lapsed",
            f"{len(refused)} calls, all {last.status} {last.code}, "
            f"Retry-After: {last.retry_after}, the slowest in {_slowest(refused)}; sent upstream: "
            f"{sent - then('requests_total', origin='upstream'):.0f}",
        )
        back_at = await self._bring_back()
        *_, last = await self._calls_until(end_at=lambda status: status == 200)
        self._say(
            "recovery",
            f"{last.status} again {time.monotonic() - back_at:.1f} s after its return, by itself "
            f"({last.credential})",
        )

    async def watch(self) -> None:
        """Tell of every renewal, for ever."""
        before = await self.figures()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = await self.figures()
            if now.renewed > before.renewed:
                calls = now("requests_total") - before("requests_total")
                self._say(
                    "renewal",
                    f"{_ahead(before, now):.1f} s ahead of expiry; tokens so far: "
                    f"{now.granted:.0f}; calls since the one before: {calls:.0f}",
                )
                before = now

    async def figures(self) -> Figures:
        """Read the proxy's metrics."""
        try:
            async with self._session.get(self._metrics_url) as answer:
                return Figures(await answer.text())
        except (TimeoutError, ValueError) as error:
            raise DemoFailed(f"/metrics gave no figures: {type(error).__name__}") from None

    async def _call(self) -> Call:
        """Call the upstream through the proxy, without any token."""
        began_at = time.monotonic()
        try:
            async with self._session.get(self._url) as answer:
                body = dict(await answer.json(content_type=None))
        except (TimeoutError, TypeError, ValueError) as error:
            raise DemoFailed(f"a call got no answer of ours: {type(error).__name__}") from None
        return Call(
            status=answer.status,
            seconds=time.monotonic() - began_at,
            credential=body.get("headers", {}).get("Authorization", ""),
            code=body.get("code", ""),
            retry_after=answer.headers.get("Retry-After", ""),
        )

    async def _calls_until(
        self,
        happened: Callable[[Figures], bool] | None = None,
        *,
        end_at: Callable[[int], bool] = lambda _: False,
    ) -> list[Call]:
        """Call at a steady pace until the figures say so, or a status is one to end at."""
        calls: list[Call] = []
        try:
            async with asyncio.timeout(self._deadline_seconds):
                while True:
                    calls.append(await self._call())
                    if end_at(calls[-1].status) or (happened and happened(await self.figures())):
                        return calls
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            raise DemoFailed(
                f"what was waited for did not happen within {self._deadline_seconds:.0f} s "
                f"and {len(calls)} calls"
            ) from None

    async def _bring_back(self) -> float:
        """Let the authorization server listen again; return the instant of its return."""
        try:
            await self._server.start()
        except OSError as error:
            raise DemoFailed(f"somebody took the authorization server's port: {error}") from None
        return time.monotonic()

    async def _failed_since(self, before: Figures) -> float:
        """Return how many token requests failed since then."""
        now = await self.figures()
        fetches = now("token_fetches_total") - before("token_fetches_total")
        return fetches - (now.granted - before.granted)


def _require(calls: list[Call], status: int = 200) -> None:
    """Raise `DemoFailed` unless there was a call, and every one was answered with this status."""
    if not calls:
        raise DemoFailed(f"not one call was answered with {status}")
    for call in calls:
        if call.status != status:
            raise DemoFailed(f"a call got {call.status} {call.code}, not {status}")


def _ahead(before: Figures, now: Figures) -> float:
    """Return how many seconds before the end of the old token the new one came."""
    return before("token_expiry_timestamp_seconds") - now("token_last_success_timestamp_seconds")


def _slowest(calls: list[Call]) -> str:
    return _ms(max(call.seconds for call in calls))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
