"""One upstream: the way to it, and one request with the token that callers' requests get.

A GET of the path of `url`, nothing else: no body, nothing followed, and no more of the answer is
read than shows that it is one.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from proxy.commands.doctor.clock import SKEW_SECONDS_MAX, clock_check, seconds_ahead
from proxy.commands.doctor.reach import BEHIND
from proxy.commands.doctor.report import Check, Group, skipped
from proxy.commands.doctor.verdicts import Asked, judged
from proxy.commands.doctor.way import LayerFailed, Way, socket_to, within
from proxy.errors import Fault, ProxyError
from proxy.forwarding.connection import UpstreamConnection
from proxy.forwarding.tls_handshake import open_tls

if TYPE_CHECKING:
    from proxy.commands.doctor.clients import Held
    from proxy.commands.doctor.surroundings import Surroundings
    from proxy.config.document import KeyPath
    from proxy.forwarding.answer_reader import AnswerHead

ANSWER_SECONDS_MAX = 10.0
DRAIN_SECONDS_MAX = 1.0
BODY_BYTES_MAX = 65536
SECRET_LENGTH_MIN = 8
"""Shorter values of `set_headers` are no secrets, and would strike out innocent words."""


class UpstreamExamination:
    """Examines one upstream. `token` yields what its audience's client got; None: nothing."""

    def __init__(
        self, name: str, around: Surroundings, token: asyncio.Future[Held | None] | None
    ) -> None:
        self.name = name
        self._around = around
        self._token = token
        self._subject: KeyPath = ("upstreams", name)
        self._route = around.routes[name]
        upstream = self._upstream = self._route.upstream
        self._seconds = min(upstream.timeouts.response_seconds, ANSWER_SECONDS_MAX)
        self._way = Way(
            self._route.url,
            (*self._subject, "url"),
            self._subject,
            upstream.tls,
            upstream.timeouts.connect_seconds,
        )

    async def run(self) -> Group:
        """Return what was found."""
        group = Group(f"upstream {self.name} (url: {self._upstream.url})")
        checks = group.checks
        around = self._around
        trust = around.contexts.of(self._upstream.tls)
        checks += await around.reach_upstreams.examine(self._subject, self._way, trust)
        if any(check.result == "failure" for check in checks):
            checks += skipped(self._subject, ["request"], BEHIND)
            return group
        held: Held | None = None
        if self._token is not None:
            held = await asyncio.shield(self._token)
            if held is None:
                audience = self._upstream.audience
                reason = f"not checked, as there is no token for {audience}: see its client, above"
                checks += skipped(self._subject, ["request"], reason)
                return group
        checks += await self._asked(held)
        return group

    async def _asked(self, held: Held | None) -> list[Check]:
        try:
            head = await self._exchange(held)
        except LayerFailed as failed:
            # The name resolved for the first connection, and no more for this one.
            detail = f"upstream_unreachable: {failed.detail}, though it did just before"
            hint = f"names come and go here: {failed.hint}"
            return [Check(self._subject, "request", "failure", detail, hint, failed.key)]
        except (ProxyError, OSError) as error:
            found = [self._unanswered(error)]
            return found + await self._if_tls_is_wanted()
        target = (self._route.url_path or b"/").decode("ascii")
        asked = Asked(
            self.name,
            self._upstream,
            target,
            head.status,
            head.fields,
            None if held is None else held.facts,
            self._secrets(held),
        )
        found = [judged(asked)]
        if head.status == 400:
            found += await self._if_tls_is_wanted()
        ahead = seconds_ahead(head.fields, self._around.wall())
        if ahead is not None and held is not None:
            why = "it may take a token for one that is over, or not begun"
            found.insert(0, clock_check(self._subject, ahead, SKEW_SECONDS_MAX, why))
        return found

    async def _exchange(self, held: Held | None) -> AnswerHead:
        """Send the request and return the answer's head. Raises `ProxyError`, `OSError`."""
        connection = await within(self._way.seconds, self._connected())
        try:
            loop = asyncio.get_running_loop()
            detail = f"no answer within {self._seconds:g} s"
            connection.expect_by(loop.time() + self._seconds, detail)
            connection.send(self._request(held), to_head=False, whole=True)
            await connection.head()
            head = connection.answer.head
            assert head is not None, "that was waited for"
            connection.expect_by(loop.time() + DRAIN_SECONDS_MAX, "")
            await _drained(connection)
            return head
        finally:
            connection.abort()

    async def _connected(self) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        way = self._way
        sock = await socket_to(await self._around.reach_upstreams.addresses(way))
        try:
            if way.url.scheme == "http":
                _, connection = await loop.create_connection(self._made, sock=sock)
            else:
                context = await self._around.contexts.of(self._upstream.tls).ready()
                _, connection = await open_tls(loop, sock, context, way.server_name, self._made)
        except BaseException:
            sock.close()
            raise
        return connection

    def _made(self) -> UpstreamConnection:
        limits = self._around.config.limits
        return UpstreamConnection(
            asyncio.get_running_loop(),
            head_bytes_max=limits.head_bytes_max,
            fields_max=limits.header_fields_max,
            on_closed=lambda _connection: None,
        )

    def _request(self, held: Held | None) -> bytes:
        route = self._route
        lines = [route.host_line, *route.set_lines]
        if held is not None:
            lines.append(held.token.header + b": " + held.token.credential)
        return b"GET %b HTTP/1.1\r\n%b\r\n\r\n" % (route.url_path or b"/", b"\r\n".join(lines))

    def _unanswered(self, error: Exception) -> Check:
        url: KeyPath = (*self._subject, "url")
        if isinstance(error, ProxyError) and error.fault is Fault.UPSTREAM_TIMEOUT:
            return self._too_slow(error)
        if not isinstance(error, ProxyError):
            detail = f"upstream_unreachable: no second connection ({type(error).__name__})"
            hint = "it took one connection and not the next: see it and what stands before it"
            return Check(self._subject, "request", "failure", detail, hint, url)
        detail = f"{error.code}: {error.detail}"
        hint, key = "what listens there is no sound HTTP/1.1 server: see its log, and `url`", url
        if self._way.url.scheme == "https" and "closed the connection" in error.detail:
            # Under TLS 1.3 a server says only after the handshake that it wants a certificate.
            has_one = self._upstream.tls.certificate_file is not None
            why = "not believe our certificate" if has_one else "want a certificate of ours"
            hint = f"the way there is sound: it may {why}, or be in trouble; its log tells"
            key = (*self._subject, "tls", "certificate_file")
        return Check(self._subject, "request", "failure", detail, hint, key)

    def _too_slow(self, error: ProxyError) -> Check:
        key = (*self._subject, "timeouts", "response_seconds")
        callers_wait = self._upstream.timeouts.response_seconds
        if callers_wait > self._seconds:
            detail = f"{error.detail}, which is as long as is waited here"
            hint = (
                f"callers are given {callers_wait:g} s, and may have their answer by then: see "
                "whether the upstream is well"
            )
            return Check(self._subject, "request", "warning", detail, hint, key)
        detail = f"upstream_timeout: {error.detail}, though it takes connections"
        hint = "see whether the upstream is well; if it is only slow, give it more time"
        return Check(self._subject, "request", "failure", detail, hint, key)

    async def _if_tls_is_wanted(self) -> list[Check]:
        way = self._way
        if way.url.scheme != "http" or not await self._around.reach_upstreams.speaks_tls(way):
            return []
        detail = f"{way.url.host}:{way.url.port} speaks TLS, and was asked in plain http"
        hint = "write https:// instead of http:// in `url`"
        return [Check(self._subject, "tls", "failure", detail, hint, way.key)]

    def _secrets(self, held: Held | None) -> tuple[str, ...]:
        values = self._upstream.set_headers.values()
        secrets = tuple(value for value in values if len(value) >= SECRET_LENGTH_MIN)
        return secrets if held is None else (held.facts.grant.access_token, *secrets)


async def _drained(connection: UpstreamConnection) -> None:
    """Take some of the body, so that a server's log does not tell of a caller that left."""
    # What becomes of the body is no concern here: it may be a stream without end.
    with contextlib.suppress(ProxyError):
        while not connection.answer.complete:
            await connection.more()
            connection.take()
            if connection.answer.received_bytes > BODY_BYTES_MAX:
                break
