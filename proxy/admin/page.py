"""The status page: the facts of `proxy.admin.status` as one HTML page, for people.

Rendered here, no script, nothing fetched from anywhere; it loads itself anew every few seconds
(`?refresh=SECONDS`, 0 for never). The content security policy lets in this page's own style sheet,
by its hash, and its own icon, and nothing else. Every text goes through `wording`, which escapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from proxy.admin import page_tables
from proxy.admin.headline import headline
from proxy.admin.page_style import STYLE, STYLE_HASH
from proxy.admin.page_tables import trouble
from proxy.admin.wording import (
    NOTHING,
    ago,
    breakable,
    icon,
    instant,
    lines,
    name,
    quick,
    span,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.admin.headline import Headline
    from proxy.admin.status import Configuration, Status
    from proxy.admin.wording import Mark

MEDIA_TYPE = "text/html; charset=utf-8"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"default-src 'none'; style-src '{STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
REFRESH_SECONDS = 5
REFRESH_SECONDS_MAX = 3600

_COLOURS: dict[Mark, str] = {
    "good": "#2da44e",
    "warning": "#d29922",
    "bad": "#cf222e",
    "quiet": "#8b949e",
}


def refresh_seconds(asked: str) -> int:
    """Return after how many seconds the page loads itself anew, 0 for never; `asked` is a query's.

    What is no such number counts as not asked.
    """
    if not (asked.isascii() and asked.isdigit()) or len(asked) > len(str(REFRESH_SECONDS_MAX)):
        return REFRESH_SECONDS
    return min(int(asked), REFRESH_SECONDS_MAX)


def pieces(status: Status, refresh: int) -> Iterator[str]:
    """Yield the page. `refresh` is in seconds, 0 for never."""
    said = headline(status)
    now = status.now
    yield _beginning(said, refresh)
    yield _top(status, refresh)
    yield '<main class="wide">'
    yield _headline(said, now)
    yield _section("tokens", "Tokens", "one per audience; times are UTC")
    yield from page_tables.tokens(status.audiences, now)
    yield "</section>"
    yield _section("upstreams", "Upstreams", "answers to callers, and how long they took")
    yield from page_tables.upstreams(status.upstreams)
    yield '</section><div class="pair">'
    yield _section("fetches", "Token requests", "the last 20, newest first")
    yield from page_tables.fetches(status.fetches, now)
    yield '</section><div class="stack">'
    yield _configuration(status.configuration, now)
    yield _process(status)
    yield "</div></div></main></body></html>\n"


def _beginning(said: Headline, refresh: int) -> str:
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    colour = _COLOURS[said.mark]
    shape = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
        f'<circle cx="8" cy="8" r="7" fill="{colour}"/></svg>'
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{text(said.sentence)} · token-proxy</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">{again}'
        f'<link rel="icon" href="data:image/svg+xml,{quote(shape)}">'
        f"<style>{STYLE}</style></head><body>"
    )


def _top(status: Status, refresh: int) -> str:
    if refresh:
        every = f"every {refresh} s"
        switch = '<a href="?refresh=0">Pause</a>'
    else:
        every = "paused"
        switch = f'<a href="?refresh={REFRESH_SECONDS}">Refresh every {REFRESH_SECONDS} s</a>'
    return (
        '<header class="top"><div class="wide">'
        f'<div class="brand">token-proxy <span>{text(status.version)}</span></div>'
        f'<div class="aside">{instant(status.now, status.now)} UTC, {every}</div>'
        f'<nav aria-label="This page">{switch}<a href="status.json">JSON</a>'
        '<a href="metrics">Metrics</a></nav></div></header>'
    )


def _headline(said: Headline, now: float) -> str:
    told = ""
    if said.failing is not None:
        first, *others = trouble(said.failing, now)
        if said.others_fail:
            first = f"<strong>{name(said.failing.audience)}</strong>: {first}"
        told = "".join(f"<p>{each}</p>" for each in (first, *others))
    notes = "".join(
        f'<li><span class="{mark}">{icon(mark)}</span><span>{breakable(note)}</span></li>'
        for mark, note in said.notes
    )
    return (
        f'<section class="head {said.mark}" aria-label="Summary">{icon(said.mark)}'
        f"<h1>{breakable(said.sentence)}</h1>{told}{f'<ul>{notes}</ul>' if notes else ''}</section>"
    )


def _section(identity: str, title: str, remark: str) -> str:
    return (
        f'<section class="panel" aria-labelledby="{identity}"><header>'
        f'<h2 id="{identity}">{title}</h2><p>{remark}</p></header>'
    )


def _configuration(configuration: Configuration, now: float) -> str:
    digest = configuration.sha256
    facts = {
        "File": f"<code>{text(configuration.file)}</code>",
        "SHA-256": NOTHING
        if digest is None
        else f'<code title="{text(digest)}">{text(digest[:12])}…</code>',
        "In use since": ago(configuration.loaded_at, now),
        "Last read": ago(configuration.last_reload_at, now),
    }
    if configuration.problem is None:
        facts["Problem"] = "none"
    else:
        facts["Problem"] = (
            f'<span class="state warning">{icon("warning")}the file cannot be used; '
            f"the configuration before it is in use</span><pre>{lines(configuration.problem)}</pre>"
        )
    return _section("configuration", "Configuration", "") + _facts(facts) + "</section>"


def _process(status: Status) -> str:
    facts = {
        "State": status.state,
        "Up": f"{span(status.now - status.started_at)}, since "
        f"{instant(status.started_at, status.now)}",
        "Listening on": ", ".join(f"<code>{text(each)}</code>" for each in status.listen)
        or NOTHING,
        "This listener": f"<code>{text(status.admin)}</code>",
        "Version": f"{text(status.version)}, Python {text(status.python)}",
        "Event loop lag": quick(status.event_loop_lag_seconds),
    }
    return _section("process", "Process", "") + _facts(facts) + "</section>"


def _facts(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{word}</dt><dd>{fact}</dd>' for word, fact in facts.items())}</dl>"
