"""What became of one token request: a grant, or a failure told in full.

`FetchFailed` carries what the lease, the metrics and the log need; callers see only its `error`,
whose sentence is our own. What the server said is in `said`, cleaned and cut, for the log alone.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from proxy.telemetry.audience import FetchResult

SAID_MAX = 512
CLEANED_MAX = 4096
_OPAQUE = re.compile(r"(?<![\w.~+=-])(?=[A-Za-z.~+=_-]*+[0-9])[\w.~+=-]{20,}")
"""What is long and has digits may be a token that nothing gives away as one."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""By these servers name their own log lines; no token is one."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_TOKEN_LIKE = re.compile(
    # What stands behind a token's name in JSON, a form or markup, or behind a scheme; any JWT.
    # No way through it is longer than the text: servers choose what it is run on.
    r"""((?:access|refresh|id)_token[\\"'\s]*+[:=>][\\"'\s]*+)[^\\"'&\s,;}<]+"""
    r"|\b((?:bearer|basic)\s++)[\w.~+/=-]{16,}"
    r"|(?<![\w-])eyJ[\w-]++\.[\w.-]+"
    # A plain name may be plain words: what stands behind it is a token if a digit is in it.
    r"""|((?:token|secret|password|assertion)(?:[\\"'\s]*+[:=>]|[\\"']*+\s)[\\"'\s]*+)"""
    r"""(?=[^\\"'&\s,;}<0-9]*+[0-9])[^\\"'&\s,;}<]{8,}""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Grant:
    """A token answer that was understood. `lifetime_seconds` None: the answer does not say."""

    access_token: str
    token_type: str | None
    lifetime_seconds: float | None
    scope: str | None
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Grant(lifetime_seconds={self.lifetime_seconds}, scope={self.scope!r})"


class FetchFailed(Exception):  # noqa: N818 - a fact, told in the glossary's words
    """An attempt that brought no token.

    `result` is the metric label; `refusal` calls for the longer backoff; `invalid_client` says
    that our credential itself was refused. `limit` names the bound that an answer went beyond;
    `of_files`: another certificate or authority may mend it.
    """

    def __init__(
        self,
        fault: Fault,
        result: FetchResult,
        detail: str,
        *,
        said: str = "",
        refusal: bool = False,
        invalid_client: bool = False,
        retry_after_seconds: float | None = None,
        limit: str | None = None,
        of_files: bool = False,
    ) -> None:
        super().__init__(detail)
        self.error = ProxyError(fault, detail)
        self.limit = limit
        self._of_files = of_files
        self.result = result
        self.said = said
        self.refusal = refusal
        self.invalid_client = invalid_client
        self.retry_after_seconds = retry_after_seconds

    def add(self, sentence: str) -> None:
        """Add to what the log is told."""
        self.said = f"{self.said}; {sentence}" if self.said else sentence

    @property
    def awaits_credential(self) -> bool:
        """Say whether another credential of ours may end this."""
        unreadable = self.error.fault is Fault.CREDENTIAL_UNREADABLE
        return self.refusal or unreadable or self._of_files

    @property
    def told(self) -> str:
        """The whole of it, for the log."""
        return f"{self.error.detail}; {self.said}" if self.said else self.error.detail


def unavailable(
    detail: str,
    *,
    said: str = "",
    retry_after_seconds: float | None = None,
    of_files: bool = False,
) -> FetchFailed:
    """Return the failure of a server that cannot be reached, or says so itself."""
    return FetchFailed(
        Fault.AUTHORIZATION_SERVER_UNAVAILABLE,
        "unavailable",
        detail,
        said=said,
        retry_after_seconds=retry_after_seconds,
        of_files=of_files,
    )


def means_unavailable(status: int) -> bool:
    """Say whether a server that answers this speaks of its own trouble, and not of our request."""
    return status in {408, 429} or 500 <= status <= 599


def timed_out(detail: str) -> FetchFailed:
    """Return the failure of a server that did not answer in time."""
    return FetchFailed(Fault.AUTHORIZATION_SERVER_UNAVAILABLE, "timeout", detail)


def misspoke(detail: str, said: str = "", *, limit: str | None = None) -> FetchFailed:
    """Return the failure of an answer that is no token."""
    return FetchFailed(
        Fault.AUTHORIZATION_SERVER_MISSPOKE, "misspoke", detail, said=said, limit=limit
    )


def unreadable(error: ProxyError) -> FetchFailed:
    """Return the failure of a credential of our own that cannot be read."""
    return FetchFailed(Fault.CREDENTIAL_UNREADABLE, "credential_unreadable", error.detail)


def cleaned(text: str, strike_out: tuple[str, ...] = ()) -> str:
    """Return what a server said, fit for a log: printable, short, secrets and tokens struck out."""
    # Cut with room for what is struck out and for what is written in more characters than it has.
    # The NULs are what is left of UTF-16, between letters that are there to be read.
    text = text.replace("\0", "")[: CLEANED_MAX + max(map(len, strike_out), default=0)]
    for secret in strike_out:
        if secret:
            text = text.replace(secret, "***")
    # Pages quote in ways of their own (entities, percent signs): what still reads as a secret once
    # they are undone is not told at all.
    plain = html.unescape(text)
    escaped = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), plain)
    once = unquote(plain)
    undone = (plain, once, unquote(once), unquote_plus(plain), escaped)
    # Who escapes in a way of their own escapes backslashes too: compared without any.
    bare = plain.replace("\\", "").casefold()
    if any(
        (secret.replace("\\", "") or secret).casefold() in bare
        or any(secret in each for each in undone)
        for secret in filter(None, strike_out)
    ):
        return "(not told: it quotes our credential)"
    text = _TOKEN_LIKE.sub(lambda found: f"{found[1] or found[2] or found[3] or ''}***", text)
    text = _OPAQUE.sub(lambda found: found[0] if _UUID.fullmatch(found[0]) else "***", text)
    return _UNPRINTABLE.sub(" ", text).strip()[:SAID_MAX]
