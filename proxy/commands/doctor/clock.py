"""This machine's clock against a server's, by the `Date` of an answer (RFC 9110 §6.6.1). Pure."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from proxy.commands.doctor.report import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.config.document import KeyPath
    from proxy.forwarding.head import Field

SKEW_SECONDS_MAX = 30.0
"""By so much clocks may differ without a word where nothing is signed: JWTs have such leeway."""
AGREES_SECONDS = 2.0
"""A `Date` has whole seconds."""


def seconds_ahead(fields: Sequence[Field], now: float) -> float | None:
    """Return by how much `now` (Unix time) is before an answer's `Date`; None without a `Date`."""
    for name, value in fields:
        if name.lower() == b"date":
            try:
                at = parsedate_to_datetime(value.decode("latin-1"))
                # The oldest of the three forms names no zone; all of them mean GMT.
                return now - at.replace(tzinfo=at.tzinfo or UTC).timestamp()
            except (ValueError, OverflowError):
                return None
    return None


def clock_check(subject: KeyPath, ahead: float, seconds_max: float, why: str) -> Check:
    """Tell by how much this machine's clock is ahead of a server's; `why` that would matter."""
    if abs(ahead) < seconds_max:
        close = (
            "agrees with the server's"
            if abs(ahead) < AGREES_SECONDS
            else f"differs from the server's by {abs(ahead):.0f} s"
        )
        return Check(subject, "clock", "ok", f"this machine's clock {close}")
    way = "ahead of" if ahead > 0 else "behind"
    return Check(
        subject,
        "clock",
        "warning",
        f"this machine's clock is {abs(ahead):.0f} s {way} the server's",
        f"set the clock that is wrong (NTP), no key helps here: {why}",
    )
