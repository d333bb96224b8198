"""What may be told of a token: its kind, its lifetime, and five claims if it is a JWT. Pure.

Never the token. A claim is the server's text, so it is cut, and not told where it holds what is
secret. Claims are read without looking at the signature: they explain, they prove nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from proxy.commands.doctor.report import Check
from proxy.config.display import without_query

if TYPE_CHECKING:
    from proxy.config.schema import Audience
    from proxy.tokens.outcome import Grant

CLAIMS = ("iss", "aud", "exp", "azp", "scope")
CLAIM_MAX = 200
LAPSES_EARLY_SECONDS = 60
"""An `exp` that comes this much before `expires_in` ends is worth a warning."""
EXP_YEAR_9999 = 253_402_300_799
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w.-]*")


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is known of a token that was granted. `claims` None: it is no JWT that can be read."""

    grant: Grant = field(repr=False)
    scheme: str
    lifetime_seconds: float
    claims: dict[str, Any] | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def claim(self, name: str) -> str | None:
        """Return a claim as it may be shown; None if it is not there."""
        value = None if self.claims is None else self.claims.get(name)
        if value is None:
            return None
        if name == "exp":
            return _instant(value)
        if isinstance(value, list):
            value = " ".join(str(each) for each in value)
        return shown(str(value), self.secrets)

    @property
    def words(self) -> str:
        """Describe the token in one line."""
        parts = [self.scheme or "no scheme", f"lasts {self.lifetime_seconds:.0f} s"]
        if self.grant.scope is not None:
            parts.append(f"scope {shown(self.grant.scope, self.secrets) or '(none)'}")
        if self.claims is None:
            return f"{', '.join(parts)}; no JWT that can be read"
        told = [f"{name}={claim}" for name in CLAIMS if (claim := self.claim(name)) is not None]
        return f"{', '.join(parts)}; JWT with {' '.join(told) or 'none of the claims shown here'}"


def shown(text: str, secrets: tuple[str, ...]) -> str:
    """Return a server's text as it may be shown: cut, printable, without what is secret."""
    if any(secret and secret in text for secret in secrets):
        return "(not told: it holds a secret)"
    text = _JWT.sub("***", text[: CLAIM_MAX * 2])
    text = "".join(each if each.isprintable() else "?" for each in text)
    return text if len(text) <= CLAIM_MAX else f"{text[:CLAIM_MAX]}..."


def oddities(name: str, audience: Audience, facts: TokenFacts, now: float) -> list[Check]:
    """Return a warning for each thing that was asked for and not granted; `now` is Unix time."""
    subject = ("audiences", name)
    found: list[Check] = []
    missing = _missing_scope(audience, facts)
    if missing:
        listed = shown(" ".join(missing), facts.secrets)
        found.append(
            Check(
                subject,
                "scope",
                "warning",
                f"asked for, and not granted: {listed}",
                "have the server grant it to this client, or ask for less",
                (*subject, "scope"),
            )
        )
    wanted = [*audience.audience, *audience.resource]
    held = _held_audiences(facts)
    if wanted and held and not set(wanted) & set(held):
        asked = ", ".join(map(without_query, wanted))
        found.append(
            Check(
                subject,
                "audience",
                "warning",
                f"asked for {asked}, and the token is for {facts.claim('aud')}",
                "an upstream that looks at `aud` will refuse it; some servers want `resource` or "
                "a scope instead of `audience`, or know the API under another name",
                (*subject, "audience" if audience.audience else "resource"),
            )
        )
    early = _lapses_early(facts, now)
    if early is not None:
        found.append(
            Check(
                subject,
                "lifetime",
                "warning",
                f"the JWT's exp comes {early:.0f} s before the end that the answer promises",
                "upstreams will refuse it before it is renewed: compare the clocks, and have the "
                "server's expires_in corrected",
                (*subject, "renew_at"),
            )
        )
    return found


def _missing_scope(audience: Audience, facts: TokenFacts) -> list[str]:
    if audience.scope is None:
        return []
    granted = facts.grant.scope
    if granted is None and facts.claims is not None:
        for name in ("scope", "scp"):
            value = facts.claims.get(name)
            if isinstance(value, str | list):
                granted = value if isinstance(value, str) else " ".join(map(str, value))
                break
    if granted is None:
        # RFC 6749 §5.1: an answer without scope has granted what was asked for.
        return []
    return [each for each in audience.scope.split() if each not in granted.split()]


def _held_audiences(facts: TokenFacts) -> list[str]:
    value = None if facts.claims is None else facts.claims.get("aud")
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value] if isinstance(value, list) else []


def _lapses_early(facts: TokenFacts, now: float) -> float | None:
    expiry = None if facts.claims is None else facts.claims.get("exp")
    if isinstance(expiry, bool) or not isinstance(expiry, int | float):
        return None
    early = now + facts.lifetime_seconds - max(min(expiry, EXP_YEAR_9999), 0)
    return early if early > LAPSES_EARLY_SECONDS else None


def _instant(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "(no number)"
    if not 0 <= value <= EXP_YEAR_9999:
        return "(out of range)"
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
