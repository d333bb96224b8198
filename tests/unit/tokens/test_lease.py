"""`proxy.tokens.lease`: instants are handed in, so that every branch is a line of a table.

With `test_lease_failures.py` and `test_lease_laws.py` this covers the module to its last line and
branch. Here: a life that goes well.
"""

from __future__ import annotations

import math

import pytest
from unit.tokens.leases import NEW, OLD, granted

from proxy.tokens.lease import LIFETIME_SECONDS_MAX, NEVER, Decision, Lease


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


YEAR = 365.25 * 86400.0


@pytest.mark.parametrize(
    ("lifetime", "renewed", "used"),
    [
        (0.5, 0.5, 0.475),  # the one life too short to be renewed ahead of its end
        (0.7, 0.525, 0.665),
        (1.0, 0.75, 0.95),
        (3.7, 2.775, 3.515),
        (5.0, 3.75, 4.75),
        (20.0, 15.0, 19.0),
        (59.999, 44.99925, 56.99905),
        (99.9, 74.925, 94.905),
        (100.1, 75.075, 95.1),
        (300.0, 225.0, 295.0),
        (3600.0, 2700.0, 3595.0),
        (30 * 86400.0, 22.5 * 86400.0, 30 * 86400.0 - 5),
        (10 * YEAR, 7.5 * YEAR, 10 * YEAR - 5),
        (100 * YEAR, 7.5 * YEAR, 10 * YEAR - 5),
    ],
)
@pytest.mark.parametrize("at", [0.0, 1e9 + 0.1])
def test_the_instants_of_a_life_of_any_length(
    at: float, lifetime: float, renewed: float, used: float
) -> None:
    """To a fraction of a second, also where the clock has counted for thirty years."""
    lease = granted(at=at, lifetime=lifetime)
    assert lease.attempt_at() - at == pytest.approx(renewed, abs=1e-6)
    assert lease.usable_until - at == pytest.approx(used, abs=1e-6)
    assert lease.decide(at + min(renewed, used) - 0.001) is Decision.USE
    assert lease.decide(at + used + 0.001) is Decision.WAIT


@pytest.mark.parametrize(
    ("fraction", "earliest", "latest"),
    [
        (0.75, 700.0, 800.0),
        (0.5, 450.0, 550.0),
        (0.02, 10.0, 30.0),  # no room for all of the spread, at either end
        (0.95, 925.0, 975.0),
        (0.99, 985.0, 995.0),
        (0.9999, 995.0, 995.0),
    ],
)
def test_the_fraction_and_the_ends_of_its_spread(
    fraction: float, earliest: float, latest: float
) -> None:
    """T-28: audiences and replicas renew at different moments."""
    first = granted(lifetime=1000.0, fraction=fraction, chance=0.0).renew_at
    last = granted(lifetime=1000.0, fraction=fraction, chance=1.0 - 2.0**-53).renew_at
    assert (first, last) == pytest.approx((earliest, latest))


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
