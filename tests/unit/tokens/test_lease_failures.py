"""`proxy.tokens.lease`: attempts that fail, and tokens that are refused upstream, in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from unit.tokens.leases import DELAYED, ERROR, NEW, OLD, failed, granted

from proxy.tokens.lease import NEVER, REJECTION_INTERVAL_SECONDS, Decision, Lease

if TYPE_CHECKING:
    from proxy.model import Token


@pytest.mark.parametrize(
    ("earlier", "wanted", "own"),
    [(0, 1, 1), (1, 2, 2), (2, 4, 4), (3, 5, 8), (4, 5, 16), (6, 5, 60), (2000, 5, 60)],
)
def test_trouble_doubles_to_a_minute_and_to_five_seconds_when_wanted(
    earlier: int, wanted: float, own: float
) -> None:
    lease = failed(granted(), earlier, now=80.0)
    lease = failed(lease, now=80.0, chance=0.5)
    assert lease.retry_at - 80.0 == pytest.approx(own * DELAYED)
    assert lease.wanted_retry_at - 80.0 == pytest.approx(wanted * DELAYED)
    assert lease.failures == earlier + 1


@pytest.mark.parametrize("refusal", [True, False])
def test_jitter_takes_two_to_ten_percent_off_a_delay(*, refusal: bool) -> None:
    """T-21; R-06: with less left of them, a minute would have room for a sixteenth attempt."""
    first = 10 if refusal else 1
    soonest = failed(Lease(), now=0.0, chance=0.0, refusal=refusal)
    latest = failed(Lease(), now=0.0, chance=1.0 - 2.0**-53, refusal=refusal)
    assert soonest.wanted_retry_at == pytest.approx(0.90 * first)
    assert latest.wanted_retry_at == pytest.approx(0.98 * first)


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
    assert lease.retry_at == lease.wanted_retry_at == pytest.approx(90.0 + delay * DELAYED)


@pytest.mark.parametrize(
    ("retry_after", "least"),
    [(0.0, DELAYED), (0.5, DELAYED), (30.0, 30.0), (300.0, 300.0), (1e9, 300.0)],
)
def test_retry_after_is_honoured_up_to_five_minutes(retry_after: float, least: float) -> None:
    lease = failed(Lease(), now=0.0, retry_after=retry_after)
    assert least <= lease.wanted_retry_at <= min(max(least * 1.05, 1.0), 300.0)
    assert lease.retry_at == lease.wanted_retry_at


def test_while_backing_off_callers_are_refused_and_then_may_ask() -> None:
    lease = failed(Lease(), now=0.0, chance=0.0)
    assert lease.decide(0.89) is Decision.REFUSE
    assert lease.decide(0.91) is Decision.WAIT


@pytest.mark.parametrize(("seconds", "left"), [(0.0, 0.94), (0.5, 0.44), (0.94, 0.0), (7.0, 0.0)])
def test_what_is_refused_is_told_by_its_own_code_and_with_the_time_to_the_next_attempt(
    seconds: float, left: float
) -> None:
    refusal = failed(Lease(), now=3.0).refusal(3.0 + seconds)
    assert (refusal.fault, refusal.detail) == (ERROR.fault, ERROR.detail)
    assert refusal.retry_after_seconds == pytest.approx(left)


def test_a_live_token_is_used_through_the_backoff_without_asking() -> None:
    lease = failed(granted(), now=80.0, chance=0.0)
    assert lease.decide(80.1) is Decision.USE
    assert lease.decide(80.91) is Decision.USE_AND_RENEW


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
    freed = refused.credential_changed(81.0)
    assert (freed.retry_at, freed.wanted_retry_at) == (81.0, 81.0)
    assert freed.token == OLD
    assert not freed.awaits_credential
    down = failed(granted(), 4, now=80.0)
    assert down.credential_changed(81.0) is down


def test_a_credential_that_changes_all_the_time_is_asked_with_once_in_ten_seconds() -> None:
    """R-06: what is refused for good is not hammered because its file flaps."""
    freed = failed(granted(), now=80.0, refusal=True).credential_changed(81.0)
    again = failed(freed, now=81.0, refusal=True)
    assert again.failures == 2
    freed = again.credential_changed(82.0)
    assert freed.wanted_retry_at == 91.0
    again = failed(freed, now=91.0, refusal=True)
    assert again.credential_changed(200.0).wanted_retry_at == again.wanted_retry_at < 200.0


def test_trouble_after_a_refusal_is_no_longer_a_refusal() -> None:
    lease = failed(failed(Lease(), now=0.0, refusal=True), now=10.0)
    assert not lease.awaits_credential
    assert lease.wanted_retry_at < 15.0
