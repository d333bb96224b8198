"""`proxy.tokens.lease`: its laws. Whatever happened before, these hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from unit.tokens.leases import ERROR, NEW, OLD, failed, granted

from proxy.tokens.lease import (
    REFUSAL,
    RETRY_AFTER_SECONDS_MAX,
    TROUBLE,
    TROUBLE_WANTED,
    Backoff,
    Decision,
    Lease,
)

if TYPE_CHECKING:
    from proxy.model import Token

INSTANTS = st.floats(0, 1e6)
CHANCES = st.floats(0, 1, exclude_max=True)
LIFETIMES = st.floats(0.001, 1e10)
FRACTIONS = st.floats(0, 1, exclude_min=True, exclude_max=True)
TOKENS = st.sampled_from([OLD, NEW])


@st.composite
def histories(draw: st.DrawFn) -> tuple[Lease, float]:
    """Draw a lease with a past, and the instant of its last event."""
    lease, now = Lease(), 0.0
    for event in draw(st.lists(st.sampled_from(["grant", "fail", "reject", "credential"]))):
        now += draw(st.floats(0, 1000))
        chance = draw(CHANCES)
        if event == "grant":
            lease = lease.granted(
                draw(TOKENS),
                asked_at=now,
                lifetime_seconds=draw(LIFETIMES),
                renew_at_fraction=draw(FRACTIONS),
                chance=chance,
            )
        elif event == "fail":
            lease = lease.failed(
                ERROR,
                now=now,
                chance=chance,
                refusal=draw(st.booleans()),
                retry_after_seconds=draw(st.none() | st.floats(0, 1e9)),
            )
        elif event == "reject":
            lease = lease.rejected(now)
        else:
            lease = lease.credential_changed(now)
    return lease, now


@given(histories(), INSTANTS)
def test_no_lapsed_token_is_ever_handed_out(history: tuple[Lease, float], seconds: float) -> None:
    lease, now = history
    at = now + seconds
    if lease.decide(at) in {Decision.USE, Decision.USE_AND_RENEW}:
        assert lease.token is not None
        assert lease.asked_at <= at < lease.usable_until < lease.expires_at


@given(histories(), CHANCES, st.booleans(), st.none() | st.floats(0, 1e9))
def test_a_failure_never_shortens_a_live_token(
    history: tuple[Lease, float],
    chance: float,
    refusal: bool,  # noqa: FBT001 - Hypothesis gives it by position
    retry_after: float | None,
) -> None:
    lease, now = history
    after = failed(lease, now=now, chance=chance, refusal=refusal, retry_after=retry_after)
    assert after.token == lease.token
    assert after.usable_until == lease.usable_until
    assert after.live(now) is lease.live(now)


@given(histories(), CHANCES, st.booleans(), st.none() | st.floats(0, 1e9))
def test_the_next_attempt_is_neither_at_once_nor_far_away(
    history: tuple[Lease, float],
    chance: float,
    refusal: bool,  # noqa: FBT001 - Hypothesis gives it by position
    retry_after: float | None,
) -> None:
    lease, now = history
    after = failed(lease, now=now, chance=chance, refusal=refusal, retry_after=retry_after)
    longest = max(60.0, min((retry_after or 0.0) * 1.05, RETRY_AFTER_SECONDS_MAX))
    assert 0.8 <= after.wanted_retry_at - now <= after.retry_at - now + 1e-6 <= longest + 1e-5
    if not refusal and not retry_after:
        assert after.wanted_retry_at - now <= 5.0


@given(histories(), INSTANTS)
def test_a_refused_token_is_gone_until_it_is_granted_anew(
    history: tuple[Lease, float], seconds: float
) -> None:
    lease, now = history
    rejected = lease.rejected(now)
    assert rejected.token is None
    assert rejected.decide(now + seconds) in {Decision.WAIT, Decision.REFUSE}
    assert not rejected.may_reject(OLD, now + seconds)
    assert granted(rejected, OLD, at=now).live(now)


@given(histories(), TOKENS, LIFETIMES, FRACTIONS, CHANCES)
def test_a_grant_is_never_renewed_at_once(
    history: tuple[Lease, float], token: Token, lifetime: float, fraction: float, chance: float
) -> None:
    lease, now = history
    after = granted(lease, token, at=now, lifetime=lifetime, fraction=fraction, chance=chance)
    assert after.attempt_at() - now >= 0.49
    assert after.failures == 0


@given(histories(), st.floats(0, 1000), CHANCES, st.floats(0, 1e6))
def test_a_renewal_that_fails_is_due_again_before_long_and_a_caller_is_told_when(
    history: tuple[Lease, float], seconds: float, chance: float, later: float
) -> None:
    lease, now = history
    at = now + seconds
    after = failed(lease, now=at, chance=chance)
    if after.decide(at + later) is Decision.REFUSE:
        told = after.refusal(at + later).retry_after_seconds
        assert told is not None
        assert 0 <= told <= 5.0
        assert after.decide(at + later + told + 1e-3) is not Decision.REFUSE


@given(histories(), CHANCES)
def test_a_401_again_within_thirty_seconds_drops_nothing(
    history: tuple[Lease, float], seconds: float
) -> None:
    """A-45, T-38: whatever is granted meanwhile."""
    lease, now = history
    after = granted(lease.rejected(now), NEW, at=now, lifetime=1e6)
    assert not after.may_reject(NEW, now + 29.99 * seconds)
    assert after.may_reject(NEW, now + 30.01)


@given(st.integers(0, 10**6), st.sampled_from([TROUBLE, TROUBLE_WANTED, REFUSAL]))
def test_a_backoff_grows_and_ends_at_its_longest(failures: int, backoff: Backoff) -> None:
    assert backoff.first <= backoff.delay(failures) <= backoff.delay(failures + 1)
    assert backoff.delay(failures) <= backoff.longest
