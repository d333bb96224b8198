"""The forwarding half's conductor: a request's whole life.

It is one straight way in two steps. `begin` does all that needs no waiting for, and nearly always
that is all, up to the answer, which `answered` passes on: no task, no future. `finish` does what
has to wait. Before the first byte of an answer is out, trouble is a `ProxyError`, and it becomes an
answer here (in `finish`, or `unparsed` for what is no request) and nowhere else. After the first
byte, trouble breaks the connection off.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.config.addresses import TcpAddress
from proxy.errors import Fault, ProxyError
from proxy.forwarding import answer as own_answer
from proxy.forwarding.admission import refuse_foreign_pages, refuse_loop
from proxy.forwarding.delivery import deliver_at_once
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.lanes import Lanes
from proxy.forwarding.record import note
from proxy.forwarding.server import CallerServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.addresses import Address
    from proxy.config.schema import Config
    from proxy.forwarding.caller_request import CallerRequest
    from proxy.forwarding.head import RequestHead
    from proxy.forwarding.lane import Lane
    from proxy.forwarding.routing import Route
    from proxy.model import TokenSource
    from proxy.telemetry.facts import Telemetry
    from proxy.telemetry.upstream import UpstreamFacts
    from proxy.tls import TlsContexts

CALLER_LEFT = 499
"""What a request counts as whose caller left before an answer began (nginx's number)."""


class Gateway:
    """Takes requests from callers, and forwards them."""

    def __init__(
        self,
        config: Config,
        tokens: TokenSource,
        telemetry: Telemetry,
        *,
        contexts: TlsContexts,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._telemetry = telemetry
        self._log = telemetry.log
        self._now: Callable[[], float] = loop.time
        self._lanes = Lanes(
            config, tokens, telemetry, contexts=contexts, loop=loop, draining=self._is_draining
        )
        self._nobody = telemetry.upstreams[""]
        self._in_flight_max = config.limits.requests_in_flight_max
        self._refuses_browsers = config.browser_requests == "refuse"
        self._drained: asyncio.Event | None = None
        self.in_flight = 0
        self.server = CallerServer(
            self, limits=config.limits, connections_max=self._lanes.descriptors.callers_max
        )

    def reconfigure(self, config: Config, tokens: TokenSource) -> list[Lane]:
        """Serve by another configuration from now on; return the lanes served until now.

        Requests that are in flight go on as they began. See `Lanes.reconfigure`.
        """
        left = self._lanes.reconfigure(config, tokens)
        self._in_flight_max = config.limits.requests_in_flight_max
        self._refuses_browsers = config.browser_requests == "refuse"
        self.server.reconfigure(config.limits, connections_max=self._lanes.descriptors.callers_max)
        return left

    def begin(self, request: CallerRequest) -> bool:
        """Take a request as far as it goes without waiting; raises nothing.

        True if it is on its way upstream, and only its answer is waited for: `answered` is next
        when there is news. False if something else is: `finish` is next.
        """
        now = request.started_at = self._now()
        request.facts = self._nobody
        self.in_flight += 1
        try:
            self._admit()
            head = request.protocol.read_head(request)
            if head.max_forwards == 0:
                return False
            route, target = self._route(head)
            lane = self._lanes.by_name[route.name]
            request.facts = lane.facts
            route.check(head)
            exchange = request.exchange = Exchange(request, head, lane, target)
            lane.entered()
            return exchange.send_at_once(now)
        except Exception as error:  # noqa: BLE001 - `finish` raises it where errors become answers
            request.trouble = error
            return False

    def answered(self, request: CallerRequest) -> bool | None:
        """Pass on the answer to a request that is on its way, if all of it is here; raises nothing.

        Returns whether the caller's connection may be kept; None if `finish` has to go on.
        """
        assert request.exchange is not None, "it is on its way"
        now = self._now()
        try:
            keep_alive = deliver_at_once(request.exchange, now)
        except Exception as error:  # noqa: BLE001 - as above
            request.trouble = error
            return None
        if keep_alive is not None:
            self._over(request, now=now)
        return keep_alive

    async def finish(self, request: CallerRequest) -> bool:
        """Go on from where `begin` left it, and say whether the caller's connection may be kept.

        Raises nothing but `CancelledError`, when the caller has left.
        """
        error: ProxyError | None = None
        own_status = CALLER_LEFT
        exchange = request.exchange
        try:
            if request.trouble is not None:
                raise request.trouble  # noqa: TRY301 - where `begin` could not answer it
            if exchange is None:
                own_status = 200
                return self._answer_options(request)
            keep_alive = await exchange.run()
        except ProxyError as trouble:
            error = trouble
            own_status = error.status
            keep_alive = self._answer(request, error)
        except Exception as trouble:  # noqa: BLE001 - a fault of ours ends one request, not more
            self._log.exception(
                "internal_error", "a fault of this proxy broke off a request", trouble
            )
            own_status = 500
            request.protocol.break_off()
            keep_alive = False
        finally:
            self._over(request, own_status=own_status, error=error, now=self._now())
        if exchange is not None:
            await exchange.settled()
        return keep_alive

    def abandon(self, request: CallerRequest) -> None:
        """End a request that is on its way and whose caller has left."""
        self._over(request, now=self._now())

    def _over(
        self,
        request: CallerRequest,
        *,
        now: float,
        own_status: int = CALLER_LEFT,
        error: ProxyError | None = None,
    ) -> None:
        """Let go of what a request held, and count it."""
        if request.exchange is not None:
            request.exchange.lane.left()
            request.exchange.end(now)
        self.in_flight -= 1
        if self._drained is not None and not self.in_flight:
            self._drained.set()
        note(
            self._telemetry,
            request,
            own_status=own_status,
            error=error,
            seconds=now - request.started_at,
        )

    def start_drain(self) -> None:
        """Answer requests that begin from now on with `shutting_down`."""
        self._drained = asyncio.Event()
        if not self.in_flight:
            self._drained.set()

    def _is_draining(self) -> bool:
        return self._drained is not None

    async def drained(self) -> None:
        """Wait until no request is in flight and every answer is out; `start_drain` comes first."""
        assert self._drained is not None, "start_drain comes first"
        await self._drained.wait()
        await self.server.emptied()

    def listening_on(self, addresses: list[Address]) -> None:
        """Take note of what is listened on: requests may name us by it."""
        self._lanes.routes.ports = frozenset(
            address.port for address in addresses if isinstance(address, TcpAddress)
        )

    async def close(self) -> None:
        """Close all connections, callers' and upstreams'."""
        await self.server.end_all()
        await self._lanes.close()

    def _admit(self) -> None:
        if self._drained is not None:
            raise ProxyError(Fault.SHUTTING_DOWN, "this proxy is shutting down")
        if self.in_flight > self._in_flight_max:
            raise ProxyError(
                Fault.OVERLOADED,
                "limits.requests_in_flight_max is reached",
                retry_after_seconds=1,
                limit="requests_in_flight_max",
            )

    def _route(self, head: RequestHead) -> tuple[Route, bytes]:
        if head.via:
            refuse_loop(head, self._lanes.pseudonym)
        found = self._lanes.routes.match(head)
        if self._refuses_browsers and (head.origin or head.sec_fetch_site):
            refuse_foreign_pages(head)
        return found

    def _answer_options(self, request: CallerRequest) -> bool:
        """Answer OPTIONS that is to go no further (RFC 9110 §7.6.2)."""
        if request.protocol.transport is not None:
            request.protocol.transport.write(own_answer.options())
        return False

    def _answer(self, request: CallerRequest, error: ProxyError) -> bool:
        """Turn an error into an answer, or into a broken connection; say whether to keep it."""
        self._count(request.facts, error)
        if request.exchange is not None and request.exchange.answer_begun:
            request.protocol.break_off()
            return False
        head = request.head
        # A body that was not read would be taken for the next request.
        keep_alive = (
            head is not None
            and error.fault is not Fault.BAD_REQUEST
            and head.keep_alive
            and self._drained is None
            and (request.body is None or request.body.complete)
        )
        transport = request.protocol.transport
        if transport is not None:
            transport.write(
                own_answer.problem(
                    error,
                    request.facts.name,
                    minor=1 if head is None else head.minor,
                    close=not keep_alive,
                    to_head=request.method == "HEAD",
                )
            )
        return keep_alive

    def _count(self, facts: UpstreamFacts, error: ProxyError) -> None:
        facts.failed(error.code)
        if error.limit is not None:
            self._telemetry.limits_reached[error.limit] += 1

    def unparsed(self, error: ProxyError) -> bytes:
        """Count and render the refusal of what could not be parsed."""
        self._count(self._nobody, error)
        self._nobody.request_finished("_OTHER", error.status, "proxy", 0.0)
        if self._log.wants_access(error.status, "proxy"):
            self._log.access(
                upstream="",
                status=error.status,
                origin="proxy",
                code=error.code,
                detail=error.detail,
            )
        return own_answer.problem(error, "", minor=1, close=True, to_head=False)
