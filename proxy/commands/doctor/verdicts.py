"""What an upstream's answer to one request means. Pure.

Only a refusal of the token is a failure: the path of `url` need not be one that anybody calls, so
that 404 and 405 are as good as 200. What the upstream says of itself is shown as the log shows what
servers say: cleaned, cut, the token struck out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.commands.doctor.report import Check
from proxy.tokens.outcome import cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.commands.doctor.token_facts import TokenFacts
    from proxy.config.document import KeyPath
    from proxy.config.schema import Upstream
    from proxy.forwarding.head import Field

_ERROR = re.compile(r'\berror\s*=\s*"?([\w.-]{1,64})', re.IGNORECASE)
_SCOPE = re.compile(r'\bscope\s*=\s*"([^"]{1,200})"', re.IGNORECASE)
_BEARER = re.compile(r"(?:^|,)\s*(?:bearer|dpop)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and its answer. `facts` None: it went without a token of ours."""

    name: str
    upstream: Upstream
    target: str
    status: int
    fields: Sequence[Field]
    facts: TokenFacts | None
    secrets: tuple[str, ...]

    @property
    def words(self) -> str:
        """Say what was asked and what came."""
        return f"GET {self.target} answered {self.status}"

    def field(self, name: str) -> str:
        """Return a field's values, as they may be shown."""
        wanted = name.lower().encode()
        values = [value for key, value in self.fields if key.lower() == wanted]
        return cleaned(b", ".join(values).decode("latin-1"), self.secrets)


def judged(asked: Asked) -> Check:
    """Return the check of a request."""
    subject: KeyPath = ("upstreams", asked.name)
    status = asked.status
    if asked.facts is None:
        if status in {401, 403}:
            detail = f"{asked.words}; no token of ours is sent, callers bring their own"
            return Check(subject, "request", "ok", detail)
    elif status == 401:
        return _unauthorized(subject, asked)
    elif status == 403:
        return _forbidden(subject, asked)
    if 300 <= status <= 399:
        return _redirected(subject, asked)
    if status == 429 or status >= 500:
        return Check(
            subject,
            "request",
            "warning",
            asked.words,
            "the upstream, or a gateway before it, is in trouble; if it always answers so, it may "
            "be another server than the one meant",
            (*subject, "url"),
        )
    if status == 421:
        return Check(
            subject,
            "request",
            "warning",
            asked.words,
            "the upstream does not serve this Host: compare the host in `url`",
            (*subject, "url"),
        )
    if asked.facts is None:
        return Check(subject, "request", "ok", f"{asked.words}; without a token, as configured")
    if 400 <= status <= 499:
        detail = f"{asked.words}, which is fine: it is there, and refuses neither us nor the token"
        return Check(subject, "request", "ok", detail)
    return Check(subject, "request", "ok", f"{asked.words}, with the token")


def _unauthorized(subject: KeyPath, asked: Asked) -> Check:
    challenge = asked.field("WWW-Authenticate")
    audience = ("audiences", asked.upstream.audience)
    error = _error(challenge)
    detail = f"{asked.words}: the upstream refuses the token{_told(challenge)}"
    if error == "insufficient_scope":
        hint, key = _lacking_scope(asked, challenge), (*audience, "scope")
    elif challenge and not _BEARER.search(challenge):
        hint = (
            "it wants to be shown something else than a bearer token: see whether `url` is the "
            "right server, and whether it wants the token in another `header` or `scheme`"
        )
        key = (*audience, "header")
    else:
        hint = (
            f"the token is sound for the authorization server and not for this upstream: "
            f"{_claims(asked)}see which issuer and audience it takes, and whether its clock is "
            "right"
        )
        key = (*audience, "audience")
    return Check(subject, "request", "failure", detail, hint, key)


def _forbidden(subject: KeyPath, asked: Asked) -> Check:
    challenge = asked.field("WWW-Authenticate")
    audience = ("audiences", asked.upstream.audience)
    if _error(challenge) == "insufficient_scope":
        detail = f"{asked.words}: the token has too little scope{_told(challenge)}"
        hint = _lacking_scope(asked, challenge)
    else:
        detail = (
            f"{asked.words}: the token is taken, this path is not allowed to us{_told(challenge)}"
        )
        hint = (
            f"{_claims(asked)}callers may meet with the same: see the client's rights at the "
            "upstream, and the scope. If only this path is closed, all is well"
        )
    return Check(subject, "request", "warning", detail, hint, (*audience, "scope"))


def _redirected(subject: KeyPath, asked: Asked) -> Check:
    location = urlsplit(_location(asked.fields))
    url = urlsplit(asked.upstream.url)
    elsewhere = bool(location.netloc) and (location.scheme, location.netloc) != (
        url.scheme,
        url.netloc,
    )
    # Without its query: that is where tokens travel.
    shown = cleaned(location._replace(query="", fragment="").geturl(), asked.secrets)
    detail = f"{asked.words}, to {shown or '(nowhere)'}; callers get it as it is"
    if not elsewhere:
        return Check(subject, "request", "ok", detail)
    return Check(
        subject,
        "request",
        "warning",
        detail,
        "a caller that follows it leaves this proxy, and has no token there: if all is redirected "
        "so, write into `url` where it leads to",
        (*subject, "url"),
    )


def _location(fields: Sequence[Field]) -> str:
    for name, value in fields:
        if name.lower() == b"location":
            text = value.decode("latin-1")
            try:
                urlsplit(text)
            except ValueError:
                return ""
            return text
    return ""


def _error(challenge: str) -> str:
    found = _ERROR.search(challenge)
    return found[1].lower() if found else ""


def _lacking_scope(asked: Asked, challenge: str) -> str:
    found = _SCOPE.search(challenge)
    wanted = f"it wants scope {found[1]}; " if found else ""
    return (
        f"{wanted}{_claims(asked)}add what is missing to `scope` of audience "
        f"{asked.upstream.audience}, and have it granted to the client"
    )


def _claims(asked: Asked) -> str:
    facts = asked.facts
    if facts is None:
        return ""
    told = [
        f"{name}={value}"
        for name in ("iss", "aud", "scope")
        if (value := facts.claim(name)) is not None
    ]
    return f"the token has {' '.join(told)}; " if told else ""


def _told(challenge: str) -> str:
    return f" (WWW-Authenticate: {challenge})" if challenge else " (no WWW-Authenticate)"
