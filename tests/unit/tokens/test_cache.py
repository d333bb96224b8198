"""`proxy.tokens.cache` with a real token endpoint and time in our hands."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import threading
from typing import Any

import pytest
from faults.stepped_time import now, stepped
from faults.token_server import TokenServer, eventually, refusal
from unit.tokens.cache_bench import ORDERS, STOCK, bench, gaps

from proxy.errors import Fault
from proxy.model import Token

# Single flight.


@stepped
async def test_the_first_caller_waits_and_all_others_with_it_for_one_request() -> None:
    async with bench() as the:
        the.server.hold()
        callers = [asyncio.create_task(the.token()) for _ in range(100)]
        await the.advance(1)
        assert the.facts.waiters == 100
        the.server.release()
        assert set(await asyncio.gather(*callers)) == {"token-1"}
        assert len(the.server.requests) == 1
        assert (the.facts.misses, the.facts.joined, the.facts.hits) == (1, 99, 0)
        assert the.facts.waiters == 0
        assert await the.token() == "token-1"
        assert the.facts.hits == 1


@stepped
async def test_callers_that_leave_do_not_end_the_fetch() -> None:
    async with bench() as the:
        the.server.hold()
        callers = [asyncio.create_task(the.token()) for _ in range(10)]
        await the.advance(1)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        assert the.facts.waiters == 0
        the.server.release()
        await the.advance(0)
        assert await the.token() == "token-1"
        assert (len(the.server.requests), the.facts.hits) == (1, 1)


@stepped
async def test_a_failure_reaches_every_waiter_at_once() -> None:
    async with bench() as the:
        the.server.answer = lambda _: refusal("invalid_scope")
        the.server.hold()
        callers = [asyncio.create_task(the.token()) for _ in range(50)]
        await the.advance(1)
        the.server.release()
        errors = await asyncio.gather(*callers, return_exceptions=True)
        assert {getattr(each, "code", each) for each in errors} == {"grant_refused"}
        assert len(the.server.requests) == 1


@stepped
async def test_one_waiter_more_than_the_limit_is_refused_at_once() -> None:
    async with bench(limits={"waiters_per_audience_max": 3}) as the:
        the.server.hold()
        callers = [asyncio.create_task(the.token()) for _ in range(3)]
        await the.advance(0)
        assert (await the.refusal()).fault is Fault.OVERLOADED
        assert the.facts.refused == 1
        the.server.release()
        assert await asyncio.gather(*callers) == ["token-1"] * 3


@stepped
async def test_a_caller_waits_no_longer_than_it_is_allowed_to_and_the_fetch_goes_on() -> None:
    async with bench(audience={"wait_seconds_max": 3}) as the:
        the.server.hold()
        early = asyncio.create_task(the.refusal())
        await the.advance(2)
        late = asyncio.create_task(the.token())
        await the.advance(1.5)
        error = early.result()
        assert (error.fault, error.status) == (Fault.TOKEN_WAIT_TIMEOUT, 503)
        assert error.retry_after_seconds == 1
        the.server.release()
        assert await late == "token-1"
        assert len(the.server.requests) == 1
        assert the.facts.wait.total == pytest.approx(4.5)


# Rejection.


@stepped
async def test_a_hundred_401s_for_one_token_cause_one_request() -> None:
    async with bench() as the:
        refused = await the.cache.token(ORDERS)
        await the.advance(6)
        assert [the.cache.reject(ORDERS, refused) for _ in range(100)] == [True] * 100
        found = await asyncio.gather(*(the.token() for _ in range(100)))
        assert set(found) == {"token-2"}
        assert len(the.server.requests) == 2
        assert the.facts.fetches["rejected", "success"] == 1


@stepped
async def test_a_late_401_for_an_old_token_drops_nothing_and_yields_the_new_one() -> None:
    async with bench() as the:
        old = await the.cache.token(ORDERS)
        await the.advance(80)
        assert await the.token() == "token-2"
        await the.advance(6)
        assert the.cache.reject(ORDERS, old)
        assert await the.token() == "token-2"
        assert len(the.server.requests) == 2


@stepped
async def test_an_upstream_that_refuses_every_token_costs_one_request_in_thirty_seconds() -> None:
    async with bench(lifetime_seconds=3600) as the:
        await the.token()
        for _ in range(1200):
            await the.advance(0.25)
            token = await the.cache.token(ORDERS)
            if the.cache.reject(ORDERS, token):
                await the.token()
        assert min(gaps(the.server)[1:]) >= 30
        assert len(the.server.requests) <= 12


@stepped
async def test_a_token_younger_than_five_seconds_is_not_dropped() -> None:
    async with bench() as the:
        token = await the.cache.token(ORDERS)
        await the.advance(4.9)
        assert not the.cache.reject(ORDERS, token)
        await the.advance(0.2)
        assert the.cache.reject(ORDERS, token)


@stepped
async def test_a_rejection_during_a_renewal_waits_for_that_one() -> None:
    async with bench() as the:
        old = await the.cache.token(ORDERS)
        the.server.hold()
        await the.advance(76)
        assert the.cache.reject(ORDERS, old)
        caller = asyncio.create_task(the.token())
        await the.advance(1)
        the.server.release()
        assert await caller == "token-2"
        assert len(the.server.requests) == 2


@stepped
async def test_when_no_other_token_can_be_had_the_error_is_told_and_late_401s_pass() -> None:
    async with bench() as the:
        old = await the.cache.token(ORDERS)
        await the.advance(6)
        the.server.down = True
        assert the.cache.reject(ORDERS, old)
        assert (await the.refusal()).fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
        assert not the.cache.reject(ORDERS, old)


@stepped
async def test_a_401_for_a_token_we_never_gave_is_passed_where_none_is_held() -> None:
    async with bench() as the:
        assert not the.cache.reject(ORDERS, Token(b"Authorization", b"Bearer x"))


@stepped
async def test_a_token_that_is_granted_again_after_its_rejection_is_used() -> None:
    async with bench() as the:
        old = await the.cache.token(ORDERS)
        await the.advance(6)
        the.cache.reject(ORDERS, old)
        the.server.answer = lambda asked: the.server.grant(asked, token="token-1")
        assert await the.token() == "token-1"


@stepped
async def test_a_waiter_whose_fresh_token_is_rejected_before_its_turn_gets_the_next() -> None:
    async with bench() as the:
        the.server.delay_seconds = 6

        async def reject_at_once() -> None:
            token = await the.cache.token(ORDERS)
            assert the.cache.reject(ORDERS, token)

        first = asyncio.create_task(reject_at_once())
        second = asyncio.create_task(the.token())
        await the.advance(6)
        await first
        assert not second.done()
        await the.advance(6)
        assert await second == "token-2"


# Start, idleness, end.


@stepped
async def test_only_what_is_prefetched_is_fetched_at_start() -> None:
    also = {"stock": {"client": "billing", "audience": "stock", "prefetch": True}}
    async with bench(audiences=also) as the:
        the.cache.start()
        await the.advance(1)
        assert [each.field("audience") for each in the.server.requests] == ["stock"]
        assert the.telemetry.audiences["stock"].fetches["start", "success"] == 1


@stepped
async def test_a_token_unused_for_long_is_let_go_and_fetched_anew_when_wanted() -> None:
    async with bench(audience={"idle_seconds": 200}) as the:
        await the.token()
        await the.advance(150)
        await the.token()
        assert the.facts.expires_at is not None
        await the.advance(199)
        assert the.facts.state == "live"
        await the.advance(2)
        assert (the.facts.state, the.facts.expires_at) == ("idle", None)
        asked = len(the.server.requests)
        await the.advance(100_000)
        assert len(the.server.requests) == asked
        await the.token()
        assert (len(the.server.requests), the.facts.state) == (asked + 1, "live")


@stepped
async def test_an_idle_audience_in_trouble_is_let_go_too() -> None:
    async with bench(audience={"idle_seconds": 100}) as the:
        the.server.down = True
        await the.refusal()
        await the.advance(150)
        tries = len(the.server.refused_at)
        await the.advance(1000)
        assert len(the.server.refused_at) == tries
        assert the.facts.consecutive_failures == 0


@stepped
async def test_a_token_of_a_year_is_let_go_in_time_all_the_same() -> None:
    async with bench(lifetime_seconds=31_536_000, audience={"idle_seconds": 10_000}) as the:
        await the.token()
        await the.advance(10_001)
        assert the.facts.state == "idle"


@stepped
async def test_while_draining_nothing_is_renewed_but_a_caller_still_gets_its_token() -> None:
    async with bench() as the:
        await the.token()
        the.cache.quiesce()
        await the.advance(80)
        assert (await the.token(), len(the.server.requests)) == ("token-1", 1)
        await the.advance(20)
        assert await the.token() == "token-2"


@stepped
async def test_closing_ends_a_fetch_and_tells_who_waits() -> None:
    async with bench() as the:
        the.server.hold()
        caller = asyncio.create_task(the.refusal())
        await the.advance(0)
        await the.cache.close()
        assert (await caller).fault is Fault.SHUTTING_DOWN
        assert the.facts.fetches_in_flight == 0


@stepped
async def test_closing_tells_who_waits_for_a_fetch_that_has_not_begun_yet() -> None:
    async with bench() as the:
        caller = asyncio.create_task(the.refusal())
        await asyncio.sleep(0)
        assert the.facts.fetches_in_flight == 1
        await the.cache.close()
        for _ in range(50):
            await asyncio.sleep(0)
        assert caller.done()
        assert caller.result().fault is Fault.SHUTTING_DOWN
        assert (the.facts.fetches_in_flight, the.server.requests) == (0, [])


@stepped
async def test_after_closing_no_token_is_to_be_had_nor_asked_for() -> None:
    async with bench() as the:
        await the.token()
        held = await the.cache.token(ORDERS)
        await the.advance(6)
        await the.cache.close()
        assert (await the.refusal()).fault is Fault.SHUTTING_DOWN
        assert not the.cache.reject(ORDERS, held)
        await the.advance(1000)
        assert len(the.server.requests) == 1


@stepped
async def test_a_dead_server_delays_no_other_audience() -> None:
    async with TokenServer() as dead:
        dead.hold()
        client = {"token_endpoint": dead.url, "client_id": "x", "authentication": "none"}
        stock = {"client": "dead", "prefetch": False, "wait_seconds_max": 2}
        async with bench(clients={"dead": client}, audiences={"stock": stock}) as the:
            the.servers.append(dead)
            waiting = asyncio.create_task(the.refusal(STOCK))
            await the.advance(1)
            asked_at = now()
            assert await the.token() == "token-1"
            assert now() == asked_at
            assert not waiting.done()
            await the.advance(2)
            assert waiting.result().fault is Fault.TOKEN_WAIT_TIMEOUT


async def test_a_name_that_hangs_for_many_audiences_delays_no_other_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hangs = threading.Event()
    system = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **keywords: Any) -> Any:
        if host == "hanging.example":
            hangs.wait(60)
        return system("127.0.0.1", *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with TokenServer() as server:
        named = {"client_id": "x", "authentication": "none"}
        clients = {
            "dead": named
            | {"token_endpoint": "https://hanging.example/token", "timeout_seconds": 0.1},
            "quick": named | {"token_endpoint": server.url.replace("127.0.0.1", "localhost")},
        }
        audiences: dict[str, Any] = {f"dead{n}": {"client": "dead"} for n in range(5)}
        audiences["stock"] = {"client": "quick", "prefetch": False}
        async with bench(clients=clients, audiences=audiences) as the:
            try:
                the.cache.start()
                dead = [the.telemetry.audiences[f"dead{n}"] for n in range(5)]
                # Each tried twice: what hangs is not looked up by thread after thread.
                await eventually(lambda: min(each.consecutive_failures for each in dead) >= 2)
                assert await the.token(STOCK) == "token-1"
            finally:
                hangs.set()


@stepped
async def test_a_fault_of_ours_is_told_without_its_text_and_backs_off() -> None:
    async with bench() as the:
        # No answer can cause this, so the fault is put where the cache hands over.
        the.cache._holdings[ORDERS].fetch._fields = None  # type: ignore[assignment]
        error = await the.refusal()
        assert error.fault is Fault.AUTHORIZATION_SERVER_MISSPOKE
        (told,) = the.events("token_fetch_failed")
        assert "TypeError at " in told["detail"]
        assert "client_authentication.py" in told["detail"]
        assert the.facts.fetches_in_flight == 0
        assert the.server.requests == []


@stepped
async def test_the_log_calls_a_token_by_a_name_that_tells_nothing_of_it() -> None:
    async with bench(lifetime_seconds=100) as the:
        first = await the.token()
        await the.advance(80)
        assert await the.token() != first
        names = [event["token"] for event in the.events("token_granted")]
        assert len({*names}) == 2
        assert all(re.fullmatch("[0-9a-f]{8}", name) for name in names)
        plain = hashlib.blake2s(f"Bearer {first}".encode(), digest_size=4).hexdigest()
        assert plain not in names, "without the key it could be found by trying"
        await the.advance(10)
        assert the.cache.reject(ORDERS, await the.cache.token(ORDERS))
        assert [event["token"] for event in the.events("token_rejected")] == names[1:]
