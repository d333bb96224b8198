"""Leases to build tables from: only what matters to a line is said."""

from __future__ import annotations

from proxy.errors import Fault, ProxyError
from proxy.model import Token
from proxy.tokens.lease import Lease

OLD = Token(b"Authorization", b"Bearer old")
NEW = Token(b"Authorization", b"Bearer new")
ERROR = ProxyError(Fault.AUTHORIZATION_SERVER_UNAVAILABLE, "down")
MIDDLE = 0.5
"""The chance that leaves `renew_at` where it is configured."""
DELAYED = 0.94
"""So much is left of a delay by that chance."""


def granted(
    lease: Lease | None = None,
    token: Token = OLD,
    *,
    at: float = 0.0,
    lifetime: float = 100.0,
    fraction: float = 0.75,
    chance: float = MIDDLE,
) -> Lease:
    return (lease or Lease()).granted(
        token,
        asked_at=at,
        lifetime_seconds=lifetime,
        renew_at_fraction=fraction,
        chance=chance,
    )


def failed(
    lease: Lease,
    times: int = 1,
    *,
    now: float,
    chance: float = MIDDLE,
    refusal: bool = False,
    retry_after: float | None = None,
) -> Lease:
    for _ in range(times):
        lease = lease.failed(
            ERROR, now=now, chance=chance, refusal=refusal, retry_after_seconds=retry_after
        )
    return lease
