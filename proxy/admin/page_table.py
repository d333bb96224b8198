"""The parts of the status page's tables: heads, cells, and what is said of a list cut short.

On a narrow screen a row becomes a card, and `data-label` is what stands over each value. The roles
are written out, for to some browsers a table laid out as cards is none otherwise. Contents are
HTML already; labels are our own words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.admin.wording import icon

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.admin.wording import Mark

ROWS_MAX = 100
"""A longer list is cut short, with what is in trouble first; the JSON twin has all of it."""

URGENCY: tuple[Mark, ...] = ("bad", "warning", "good", "quiet")

END = "</tbody></table></div>"


def opening(kind: str, caption: str, *rows: str) -> str:
    """Return the table's beginning: its caption for who cannot see it, and the rows of its head."""
    head = "".join(f'<tr role="row">{row}</tr>' for row in rows)
    return (
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0">'
        f'<table class="{kind}" role="table"><caption>{caption}</caption>'
        f'<thead role="rowgroup">{head}</thead><tbody role="rowgroup">'
    )


def head(label: str, css: str = "", *, rows: int = 1, columns: int = 1) -> str:
    """Return the head of a column, or of a group of them."""
    scope = "col" if columns == 1 else "colgroup"
    spans = (f' rowspan="{rows}"' if rows > 1 else "") + (
        f' colspan="{columns}"' if columns > 1 else ""
    )
    return f'<th role="columnheader" scope="{scope}"{_css(css)}{spans}>{label}</th>'


def row(first: str, *cells: str) -> str:
    """Return a row; `first` says what it is about."""
    about = f'<th role="rowheader" scope="row" class="whole">{first}</th>'
    return f'<tr role="row">{about}{"".join(cells)}</tr>'


def cell(label: str, content: str, css: str = "") -> str:
    """Return a cell; `label` is shown where the head is not."""
    shown = f' data-label="{label}"' if label else ""
    return f'<td role="cell"{_css(css)}{shown}>{content}</td>'


def more(columns: int, mark: Mark, paragraphs: Iterable[str]) -> str:
    """Return a row below another that tells more about it."""
    told = "".join(f"<p>{each}</p>" for each in paragraphs)
    return (
        f'<tr role="row" class="more"><td role="cell" class="whole" colspan="{columns}">'
        f'<div class="why {mark}">{told}</div></td></tr>'
    )


def state(mark: Mark, word: str, aside: str = "") -> str:
    """Return a word for how something stands, its shape before it."""
    beside = f'<span class="aside">{aside}</span>' if aside else ""
    return f'<span class="state {mark}">{icon(mark)}{word}</span>{beside}'


def left_out(number: int, what: str, order: str) -> str:
    """Return how many rows there are beyond those shown, and where to see them."""
    if number <= ROWS_MAX:
        return ""
    return (
        f'<p class="none">{ROWS_MAX} of {number:,} {what}, {order}; '
        f'all of them are in <a href="status.json">status.json</a>.</p>'
    )


def _css(css: str) -> str:
    return f' class="{css}"' if css else ""
