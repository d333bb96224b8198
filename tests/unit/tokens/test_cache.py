"""`proxy.tokens.cache` with a real token endpoint and time in our hands."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import socket
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from faults.stepped_time import advance, now, stepped
from faults.token_server import Asked, TokenServer, eventually, http_answer, refusal
from unit.tokens.some import jwt

from proxy.config.loader import load_text
from proxy.errors import Fault, ProxyError
from proxy.model import AudienceName, Token
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.log import Log
from proxy.tokens.cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.telemetry.audience import AudienceFacts

WALL_AT_START = 1_760_000_000.0
ORDERS, STOCK = AudienceName("orders"), AudienceName("stock")


class Bench:
    """A cache, what it asked, and what it says of itself."""

    def __init__(self, cache: TokenCache, telemetry: Telemetry, server: TokenServer) -> None:
        self.cache = cache
        self.telemetry = telemetry
        self.server = server
        self.servers = [server]
        self.log = io.StringIO()

    @property
    def facts(self) -> AudienceFacts:
        return self.telemetry.audiences["orders"]

    def settled(self) -> bool:
        """Whether nothing is under way but what the server holds back."""
        in_flight = sum(each.fetches_in_flight for each in self.telemetry.audiences.values())
        return in_flight == sum(each.held for each in self.servers)

    async def advance(self, seconds: float) -> None:
        await advance(seconds, self.settled)

    async def token(self, audience: AudienceName = ORDERS) -> str:
        """Return the token itself."""
        found = await self.cache.token(audience)
        assert found.header == b"Authorization"
        return found.credential.decode().removeprefix("Bearer ")

    async def refusal(self, audience: AudienceName = ORDERS) -> ProxyError:
        with pytest.raises(ProxyError) as caught:
            await self.cache.token(audience)
        return caught.value

    def events(self, name: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [event for event in events if event["event"] == name]


@asynccontextmanager
async def bench(
    *,
    client: dict[str, Any] | None = None,
    audience: dict[str, Any] | None = None,
    clients: dict[str, Any] | None = None,
    audiences: dict[str, Any] | None = None,
    lifetime_seconds: float = 100,
    **top: Any,
) -> AsyncIterator[Bench]:
    """Make a cache with the audience `orders`, not prefetched; chance is always in the middle."""
    async with TokenServer(lifetime_seconds=lifetime_seconds) as server:
        document = {
            "allow_inline_secrets": True,
            "clients": {
                "billing": {
                    "token_endpoint": server.url,
                    "client_id": "billing",
                    **({} if client and "client_secret_file" in client else {"client_secret": "s"}),
                    **(client or {}),
                },
                **(clients or {}),
            },
            "audiences": {
                "orders": {"client": "billing", "prefetch": False} | (audience or {}),
                **(audiences or {}),
            },
            "upstreams": {"api": {"url": "http://127.0.0.1:9", "audience": "orders"}},
            **top,
        }
        config = load_text(yaml.safe_dump(document), "f.yaml", {}, Path())
        began = now()
        stream = io.StringIO()
        telemetry = Telemetry(
            upstreams=config.upstreams,
            audiences=config.audiences,
            log=Log(format="json", level="debug", access="off", stream=stream, wall=lambda: 0.0),
            wall=lambda: WALL_AT_START + now() - began,
            monotonic=now,
        )
        cache = TokenCache(
            config,
            telemetry.audiences,
            monotonic=now,
            wall=telemetry.wall,
            chance=lambda: 0.5,
        )
        the = Bench(cache, telemetry, server)
        the.log = stream
        try:
            yield the
        finally:
            await cache.close()


def gaps(server: TokenServer) -> list[float]:
    """Return the seconds between attempts, those included that were reset."""
    instants = sorted([each.at for each in server.requests] + server.refused_at)
    return [round(after - before, 3) for before, after in itertools.pairwise(instants)]


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


# Renewal.


@stepped
async def test_a_token_is_renewed_in_the_background_ahead_of_its_end() -> None:
    async with bench() as the:
        await the.token()
        await the.advance(74)
        assert len(the.server.requests) == 1
        the.server.hold()
        await the.advance(2)
        assert [await the.token() for _ in range(3)] == ["token-1"] * 3
        assert (the.facts.stale, the.facts.waiters) == (3, 0)
        the.server.release()
        await the.advance(0)
        assert await the.token() == "token-2"
        assert the.facts.fetches["miss", "success"] == 1
        assert the.facts.fetches["renewal", "success"] == 1
        assert the.facts.misses == 1


@stepped
async def test_tokens_of_five_seconds_are_renewed_without_a_wait_or_a_lapse() -> None:
    async with bench(lifetime_seconds=5) as the:
        await the.token()
        for _ in range(900):
            await the.advance(1)
            assert the.server.expiry[await the.token()] > now()
        assert the.facts.misses == 1
        assert the.facts.joined == the.facts.refused == 0
        assert set(gaps(the.server)) == {3.75}


@stepped
async def test_a_lifetime_counts_from_when_the_token_was_asked_for() -> None:
    async with bench(lifetime_seconds=10, audience={"renew_at": 0.9}) as the:
        the.server.delay_seconds = 4
        caller = asyncio.create_task(the.token())
        await the.advance(4)
        assert await caller == "token-1"
        the.server.hold()
        await the.advance(5.4)
        assert await the.token() == "token-1"
        await the.advance(0.2)
        waiting = asyncio.create_task(the.token())
        await the.advance(0)
        assert not waiting.done()
        the.server.delay_seconds = 0
        the.server.release()
        await the.advance(4)
        assert await waiting == "token-2"


@stepped
async def test_a_token_whose_life_was_over_before_it_came_is_not_used() -> None:
    async with bench(lifetime_seconds=3) as the:
        the.server.delay_seconds = 5
        caller = asyncio.create_task(the.refusal())
        await the.advance(6)
        assert caller.result().fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
        assert the.facts.fetches["miss", "timeout"] == 1


@stepped
async def test_the_same_token_again_is_not_asked_for_at_once() -> None:
    async with bench(lifetime_seconds=1000) as the:
        ends_at = now() + 1000

        def again(asked: Asked) -> bytes:
            return the.server.grant(asked, token="same", expires_in=int(ends_at - now()))

        the.server.answer = again
        await the.token()
        await the.advance(993)
        assert await the.token() == "same"
        assert min(gaps(the.server)) >= 1
        assert len(the.server.requests) < 10


@stepped
async def test_a_renewal_in_trouble_backs_off_and_the_old_token_serves_to_its_end() -> None:
    async with bench(lifetime_seconds=400) as the:
        await the.token()
        await the.advance(299)
        the.server.down = True
        while now() < the.server.expiry["token-1"] - 6.1:
            await the.advance(1)
            assert await the.token() == "token-1"
        # The delays of SPEC §3 less a tenth of jitter: callers do not shorten them meanwhile.
        assert gaps(the.server)[1:6] == [0.9, 1.8, 3.6, 7.2, 14.4]
        await the.advance(1.2)
        error = await the.refusal()
        assert (error.fault, error.status) == (Fault.AUTHORIZATION_SERVER_UNAVAILABLE, 503)
        lives = [each.get("live_for_seconds") for each in the.events("token_fetch_failed")]
        assert lives[0] == pytest.approx(95)
        assert lives[-1] is None


@stepped
async def test_beyond_the_tokens_end_callers_learn_it_at_once_and_no_storm_begins() -> None:
    async with bench() as the:
        the.server.down = True
        await the.refusal()
        tries = len(the.server.refused_at)
        began = now()
        for _ in range(400):
            await the.advance(0.1)
            asked_at = now()
            error = await the.refusal()
            assert now() == asked_at
            assert error.retry_after_seconds is not None
            assert 0 <= error.retry_after_seconds <= 5
        assert now() - began == pytest.approx(40)
        assert len(the.server.refused_at) - tries <= 11
        assert max(gaps(the.server)) <= 5


@stepped
async def test_recovery_takes_no_longer_than_five_seconds_after_a_long_outage() -> None:
    async with bench() as the:
        await the.token()
        the.server.down = True
        for _ in range(500):
            await the.advance(4.9)
            if now() > the.server.expiry["token-1"]:
                await the.refusal()
        the.server.down = False
        back_at = now()
        while True:
            try:
                await the.token()
                break
            except ProxyError:
                await the.advance(0.25)
        assert now() - back_at <= 5
        assert the.facts.consecutive_failures == 0


@stepped
async def test_nobody_asking_an_outage_is_tried_once_a_minute_and_ends_by_itself() -> None:
    async with bench() as the:
        await the.token()
        the.server.down = True
        await the.advance(1000)
        assert gaps(the.server)[-3:] == [54.0, 54.0, 54.0]
        the.server.down = False
        await the.advance(60)
        assert (await the.token(), the.facts.misses) == ("token-2", 1)


@stepped
async def test_before_a_first_token_it_is_tried_every_five_seconds_without_anybody_asking() -> None:
    async with bench(audience={"prefetch": True}) as the:
        the.server.down = True
        the.cache.start()
        await the.advance(60)
        assert gaps(the.server) == [0.9, 1.8, 3.6, *[4.5] * (len(the.server.refused_at) - 4)]
        assert the.facts.fetches["start", "unavailable"] == len(the.server.refused_at)


@stepped
async def test_retry_after_of_the_server_is_kept_to() -> None:
    async with bench() as the:
        busy = http_answer(b"", status="503 Busy", fields=("Retry-After: 120",))
        the.server.answer = lambda _: busy
        error = await the.refusal()
        assert error.retry_after_seconds == pytest.approx(123)
        await the.advance(119)
        assert (await the.refusal()).retry_after_seconds == pytest.approx(4)
        assert len(the.server.requests) == 1
        await the.advance(5)
        assert len(the.server.requests) == 2


@stepped
async def test_a_refusal_stays_visible_by_its_own_code_with_retry_after() -> None:
    async with bench() as the:
        the.server.answer = lambda _: refusal("invalid_scope", error_description="CANARY")
        for _ in range(20):
            error = await the.refusal()
            assert (error.fault, error.status) == (Fault.GRANT_REFUSED, 502)
            assert error.retry_after_seconds is not None
            assert error.retry_after_seconds > 0
            assert "CANARY" not in error.detail
            await the.advance(0.4)
        assert len(the.server.requests) == 1
        (told,) = the.events("token_fetch_failed")
        assert "CANARY" in told["detail"]
        await the.advance(60)
        assert gaps(the.server) == [9.0, 18.0, 36.0][: len(gaps(the.server))]


@stepped
async def test_tokens_of_a_moment_cost_no_request_per_call() -> None:
    async with bench(lifetime_seconds=0.2) as the:
        for _ in range(1000):
            await the.token()
            await the.advance(0.01)
        assert len(the.server.requests) <= 60


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


# Credentials.


@stepped
async def test_invalid_client_reads_the_secret_again_and_tries_once_more(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    async with bench(client={"client_secret_file": str(file)}) as the:

        def rotated(asked: Asked) -> bytes:
            if asked.secret == "new":
                return the.server.grant(asked)
            file.write_text("new\n")
            return refusal("invalid_client", status="401 Unauthorized")

        the.server.answer = rotated
        assert await the.token() == "token-1"
        assert [each.secret for each in the.server.requests] == ["old", "new"]
        assert the.facts.fetches["miss", "success"] == 1


@stepped
async def test_a_secret_that_is_wrong_twice_is_tried_no_third_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0")
    async with bench(client={"client_secret_file": str(file)}) as the:

        def never(asked: Asked) -> bytes:
            file.write_text(str(int(asked.secret) + 1))
            return refusal("invalid_client")

        the.server.answer = never
        assert (await the.refusal()).fault is Fault.GRANT_REFUSED
        assert [each.secret for each in the.server.requests] == ["0", "1"]


@stepped
async def test_a_secret_that_is_the_same_is_not_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("wrong")
    async with bench(client={"client_secret_file": str(file)}) as the:
        the.server.answer = lambda _: refusal("invalid_client")
        await the.refusal()
        assert len(the.server.requests) == 1


@stepped
async def test_a_changed_secret_ends_the_backoff_of_every_audience_of_its_client(
    tmp_path: Path,
) -> None:
    file = tmp_path / "secret"
    file.write_text("wrong")
    also = {"stock": {"client": "billing", "audience": "stock", "prefetch": False}}
    async with bench(client={"client_secret_file": str(file)}, audiences=also) as the:

        def only_the_right_one(asked: Asked) -> bytes:
            if asked.secret == "right":
                return the.server.grant(asked)
            return refusal("invalid_client")

        the.server.answer = only_the_right_one
        await the.refusal()
        await the.advance(0.5)
        await the.refusal(STOCK)
        await the.advance(2)
        file.write_text("right")
        await the.advance(1.1)
        assert await the.token() == "token-1"
        assert await the.token(STOCK) == "stock-2"
        assert (the.facts.misses, the.facts.hits) == (1, 1)


@stepped
async def test_an_unreadable_secret_keeps_its_last_value_with_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cr3t")
    async with bench(client={"client_secret_file": str(file)}) as the:
        await the.token()
        file.unlink()
        await the.advance(80)
        assert await the.token() == "token-2"
        assert {each.secret for each in the.server.requests} == {"s3cr3t"}
        assert len(the.events("credential")) == 1


@stepped
async def test_a_secret_that_was_never_read_is_our_own_trouble_and_heals(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cr3t")
    async with bench(client={"client_secret_file": str(file)}) as the:
        file.unlink()
        error = await the.refusal()
        assert (error.fault, error.status) == (Fault.CREDENTIAL_UNREADABLE, 503)
        assert str(tmp_path) not in error.detail
        assert the.server.requests == []
        file.write_text("s3cr3t")
        await the.advance(5)
        assert await the.token() == "token-1"


@stepped
async def test_a_secret_that_vanishes_after_a_refusal_is_no_news(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("wrong")
    async with bench(client={"client_secret_file": str(file)}) as the:
        the.server.answer = lambda _: refusal("invalid_client")
        await the.refusal()
        file.unlink()
        await the.advance(8)
        assert len(the.server.requests) == 1


@stepped
async def test_a_client_without_a_secret_has_none_that_could_change() -> None:
    none = {"authentication": "none", "client_id": "public"}
    async with TokenServer() as server:
        server.answer = lambda _: refusal("invalid_client")
        client = {"token_endpoint": server.url} | none
        stock = {"client": "public", "prefetch": False}
        async with bench(clients={"public": client}, audiences={"stock": stock}) as the:
            the.servers.append(server)
            await the.refusal(STOCK)
            await the.advance(8)
            assert len(server.requests) == 1
            assert server.requests[0].field("client_id") == "public"


# Discovery.


@stepped
async def test_audiences_of_one_client_share_the_search_for_its_endpoint() -> None:
    async with TokenServer() as server:

        def answer(asked: Asked) -> bytes:
            if asked.method == "GET":
                return http_answer({"issuer": server.issuer, "token_endpoint": server.url})
            return server.grant(asked)

        server.answer = answer
        client = {"issuer": server.issuer, "client_id": "x", "authentication": "none"}
        names = [AudienceName(name) for name in ("a", "b", "c")]
        audiences = {
            name: {"client": "found", "audience": name, "prefetch": False} for name in names
        }
        async with bench(clients={"found": client}, audiences=audiences) as the:
            tokens = await asyncio.gather(*(the.token(name) for name in names))
            assert sorted(token[0] for token in tokens) == names
            assert [each.method for each in server.requests] == ["GET", "POST", "POST", "POST"]


@stepped
async def test_an_issuer_that_is_down_backs_off_like_a_token_endpoint() -> None:
    async with TokenServer(down=True) as server:
        client = {"issuer": server.issuer, "client_id": "x", "authentication": "none"}
        stock = {"client": "found", "prefetch": False}
        async with bench(clients={"found": client}, audiences={"stock": stock}) as the:
            error = await the.refusal(STOCK)
            assert error.fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
            tried = len(server.refused_at)
            for _ in range(5):
                assert (await the.refusal(STOCK)).retry_after_seconds
            assert len(server.refused_at) == tried


# What an answer may say besides.


def bodied(**members: Any) -> bytes:
    return http_answer({"access_token": "t", **members})


@stepped
async def test_odd_but_usable_answers_are_warned_of() -> None:
    async with bench(audience={"scope": "read write"}) as the:
        the.server.answer = lambda _: bodied(expires_in=[1], scope="read")
        await the.token()
        assert the.facts.lifetime_seconds == 300
        for warning in ("expires_in", "token_type", "scope"):
            assert len(the.events(warning)) == 1


@stepped
async def test_a_granted_scope_in_another_order_is_no_oddity() -> None:
    async with bench(audience={"scope": "read write"}) as the:
        the.server.answer = lambda _: bodied(token_type="Bearer", scope="write more read")
        await the.token()
        assert the.events("scope") == []


@pytest.mark.parametrize(("exp", "lifetime"), [(WALL_AT_START + 50, 50), (None, 300)])
def test_without_expires_in_the_jwts_own_end_counts_or_the_configured_one(
    exp: float | None, lifetime: float
) -> None:
    @stepped
    async def run() -> None:
        async with bench() as the:
            token = jwt({"exp": exp})
            the.server.answer = lambda _: http_answer({"access_token": token})
            await the.token()
            assert the.facts.lifetime_seconds == pytest.approx(lifetime)

    run()


@stepped
async def test_a_jwt_that_is_over_by_this_machines_clock_is_misspoken() -> None:
    async with bench() as the:
        token = jwt({"exp": WALL_AT_START - 1})
        the.server.answer = lambda _: http_answer({"access_token": token})
        error = await the.refusal()
        assert error.fault is Fault.AUTHORIZATION_SERVER_MISSPOKE
        assert "clock" in error.detail


@stepped
async def test_nothing_that_the_server_quotes_of_our_secret_gets_into_the_log() -> None:
    async with bench(client={"client_secret": "s3cr3t+canary/é", "client_id": "a b"}) as the:

        def quote(asked: Asked) -> bytes:
            sent = asked.headers["authorization"]
            return refusal("invalid_client", error_description=f"{sent} {asked.secret} is wrong")

        the.server.answer = quote
        await the.refusal()
        text = the.log.getvalue()
        assert "is wrong" in text
        assert "canary" not in text
        assert the.server.requests[0].headers["authorization"].split()[1] not in text


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
