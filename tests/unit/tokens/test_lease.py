"""`proxy.tokens.lease`: instants are handed in, so that every branch is a line of a table."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Fault, ProxyError
from proxy.model import Token
from proxy.tokens.lease import (
    LIFETIME_SECONDS_MAX,
    NEVER,
    REFUSAL,
    REJECTION_INTERVAL_SECONDS,
    RETRY_AFTER_SECONDS_MAX,
    TROUBLE,
    TROUBLE_WANTED,
    Backoff,
    Decision,
    Lease,
)

OLD = Token(b"Authorization", b"Bearer old")
NEW = Token(b"Authorization", b"Bearer new")
ERROR = ProxyError(Fault.AUTHORIZATION_SERVER_UNAVAILABLE, "down")
MIDDLE = 0.5
"""The chance that leaves `renew_at` where it is configured."""


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


@pytest.mark.parametrize(
    ("now", "decision"),
    [
        (0.0, Decision.USE),
        (74.9, Decision.USE),
        (75.0, Decision.USE_AND_RENEW),
        (94.9, Decision.USE_AND_RENEW),
        (95.0, Decision.WAIT),
        (100.0, Decision.WAIT),
        (1e9, Decision.WAIT),
    ],
)
def test_a_token_is_used_then_renewed_then_waited_for(now: float, decision: Decision) -> None:
    assert granted().decide(now) is decision


def test_without_any_token_a_caller_waits() -> None:
    assert Lease().decide(0.0) is Decision.WAIT
    assert not Lease().live(0.0)
    assert Lease().attempt_at() == NEVER


@pytest.mark.parametrize(
    ("lifetime", "usable"),
    [(3600.0, 3595.0), (100.0, 95.0), (20.0, 19.0), (5.0, 4.75), (1.0, 0.95), (0.01, 0.0095)],
)
def test_the_margin_is_the_smaller_of_five_seconds_and_five_percent(
    lifetime: float, usable: float
) -> None:
    lease = granted(at=10.0, lifetime=lifetime)
    assert lease.usable_until == pytest.approx(10.0 + usable)
    assert lease.expires_at == pytest.approx(10.0 + lifetime)


@pytest.mark.parametrize(
    ("chance", "renew_at"), [(0.0, 70.0), (0.25, 72.5), (0.5, 75.0), (0.999, 79.99)]
)
def test_renewal_is_spread_over_a_tenth_of_the_lifetime(chance: float, renew_at: float) -> None:
    assert granted(chance=chance).renew_at == pytest.approx(renew_at)


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.04])
@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_a_renewal_configured_early_is_never_due_before_the_token_was_asked_for(
    fraction: float, chance: float
) -> None:
    assert granted(fraction=fraction, chance=chance, lifetime=1000.0).renew_at > 0.0


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_a_renewal_configured_late_is_due_before_the_token_lapses(chance: float) -> None:
    lease = granted(fraction=0.999, chance=chance)
    assert lease.renew_at <= lease.usable_until


def test_tokens_of_a_moment_do_not_make_renewals_spin() -> None:
    assert granted(lifetime=0.001).attempt_at() == 0.5


@pytest.mark.parametrize("lifetime", [LIFETIME_SECONDS_MAX * 2, 1e300, math.inf])
def test_for_ever_is_ten_years(lifetime: float) -> None:
    assert granted(lifetime=lifetime).expires_at == LIFETIME_SECONDS_MAX


def test_the_same_token_again_is_asked_for_ever_more_seldom() -> None:
    lease = granted(lifetime=1000.0)
    intervals = []
    for _ in range(9):
        at = lease.expires_at - 100.0
        lease = granted(lease, OLD, at=at, lifetime=100.0, fraction=0.001)
        intervals.append(lease.renew_at - at)
    assert intervals == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])


def test_a_token_no_younger_counts_as_the_same() -> None:
    lease = granted(granted(lifetime=100.0), NEW, at=75.0, lifetime=25.0, fraction=0.001)
    assert lease.repeats == 1
    assert lease.renew_at == 76.0


def test_a_younger_token_ends_the_patience() -> None:
    repeated = granted(granted(), OLD, at=75.0, lifetime=25.0)
    assert granted(repeated, NEW, at=90.0).repeats == 0


def test_patience_ends_when_the_token_lapses() -> None:
    lease = granted(lifetime=1000.0)
    for _ in range(7):
        lease = granted(lease, OLD, at=950.0, lifetime=40.0)
    assert lease.renew_at == lease.usable_until == 988.0


def test_patience_with_a_token_of_a_moment_lasts_a_second_all_the_same() -> None:
    lease = granted(granted(lifetime=10.0), OLD, at=9.9, lifetime=0.01)
    assert lease.renew_at == pytest.approx(10.9)


@pytest.mark.parametrize(
    ("earlier", "wanted", "own"),
    [(0, 1, 1), (1, 2, 2), (2, 4, 4), (3, 5, 8), (4, 5, 16), (6, 5, 60), (2000, 5, 60)],
)
def test_trouble_doubles_to_a_minute_and_to_five_seconds_when_wanted(
    earlier: int, wanted: float, own: float
) -> None:
    lease = failed(granted(), earlier, now=80.0)
    lease = failed(lease, now=80.0, chance=0.5)
    assert lease.retry_at - 80.0 == pytest.approx(own * 0.9)
    assert lease.wanted_retry_at - 80.0 == pytest.approx(wanted * 0.9)
    assert lease.failures == earlier + 1


@pytest.mark.parametrize("earlier", range(8))
def test_before_any_first_token_five_seconds_are_the_longest(earlier: int) -> None:
    lease = failed(Lease(), earlier + 1, now=0.0, chance=0.999)
    assert lease.retry_at == lease.wanted_retry_at <= 5.0


@pytest.mark.parametrize(("earlier", "delay"), [(0, 10), (1, 20), (2, 40), (3, 60), (9, 60)])
@pytest.mark.parametrize("held", [True, False])
def test_a_refusal_waits_longer_whether_or_not_somebody_asks(
    *, held: bool, earlier: int, delay: float
) -> None:
    lease = granted() if held else Lease()
    lease = failed(lease, earlier + 1, now=90.0, refusal=True)
    assert lease.retry_at == lease.wanted_retry_at == pytest.approx(90.0 + delay * 0.9)


@pytest.mark.parametrize(
    ("retry_after", "least"), [(0.0, 0.9), (0.5, 0.9), (30.0, 30.0), (300.0, 300.0), (1e9, 300.0)]
)
def test_retry_after_is_honoured_up_to_five_minutes(retry_after: float, least: float) -> None:
    lease = failed(Lease(), now=0.0, retry_after=retry_after)
    assert least <= lease.wanted_retry_at <= min(max(least * 1.05, 1.0), 300.0)
    assert lease.retry_at == lease.wanted_retry_at


def test_while_backing_off_callers_are_refused_and_then_may_ask() -> None:
    lease = failed(Lease(), now=0.0, chance=0.0)
    assert lease.decide(0.84) is Decision.REFUSE
    assert lease.decide(0.86) is Decision.WAIT


def test_a_live_token_is_used_through_the_backoff_without_asking() -> None:
    lease = failed(granted(), now=80.0, chance=0.0)
    assert lease.decide(80.1) is Decision.USE
    assert lease.decide(80.9) is Decision.USE_AND_RENEW


def test_a_token_ends_failures() -> None:
    lease = granted(failed(granted(), 3, now=80.0), NEW, at=90.0)
    assert (lease.failures, lease.error, lease.retry_at) == (0, None, NEVER)


@pytest.mark.parametrize(
    ("now", "token", "worth_it"),
    [
        (4.9, OLD, False),  # younger than five seconds
        (5.0, OLD, True),
        (50.0, OLD, True),
        (50.0, NEW, False),  # not the one that is held
        (99.0, OLD, True),  # over already, and refused
    ],
)
def test_a_401_drops_only_the_token_that_is_held_and_no_young_one(
    now: float, token: Token, *, worth_it: bool
) -> None:
    assert granted().may_reject(token, now) is worth_it


def test_without_a_token_there_is_nothing_to_reject() -> None:
    assert not Lease().may_reject(OLD, 50.0)


def test_an_upstream_that_refuses_every_token_costs_one_in_thirty_seconds() -> None:
    lease = granted(granted().rejected(50.0), NEW, at=50.0, lifetime=1000.0)
    assert not lease.may_reject(NEW, 50.0 + REJECTION_INTERVAL_SECONDS - 0.1)
    assert lease.may_reject(NEW, 50.0 + REJECTION_INTERVAL_SECONDS)


def test_a_failed_fetch_between_does_not_shorten_the_thirty_seconds() -> None:
    lease = failed(granted().rejected(50.0), now=50.0, chance=0.0)
    lease = granted(lease, NEW, at=52.0, lifetime=1000.0)
    assert not lease.may_reject(NEW, 79.9)


def test_while_backing_off_a_401_drops_nothing() -> None:
    lease = failed(granted(), now=80.0, chance=0.0)
    assert not lease.may_reject(OLD, 80.5)
    assert lease.may_reject(OLD, 81.0)


def test_a_changed_credential_ends_a_refusal_and_nothing_else() -> None:
    refused = failed(granted(), 4, now=80.0, refusal=True)
    freed = refused.credential_changed()
    assert (freed.failures, freed.retry_at, freed.wanted_retry_at) == (0, NEVER, NEVER)
    assert freed.token == OLD
    assert not freed.credential_refused
    down = failed(granted(), 4, now=80.0)
    assert down.credential_changed() is down


def test_trouble_after_a_refusal_is_no_longer_a_refusal() -> None:
    lease = failed(failed(Lease(), now=0.0, refusal=True), now=10.0)
    assert not lease.credential_refused
    assert lease.wanted_retry_at < 15.0


# Laws: whatever happened before, these hold.

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
            lease = lease.credential_changed()
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


@given(st.integers(0, 10**6), st.sampled_from([TROUBLE, TROUBLE_WANTED, REFUSAL]))
def test_a_backoff_grows_and_ends_at_its_longest(failures: int, backoff: Backoff) -> None:
    assert backoff.first <= backoff.delay(failures) <= backoff.delay(failures + 1)
    assert backoff.delay(failures) <= backoff.longest
