"""One bounded exchange with an authorization server: the token half's only I/O.

Bounded in time (`timeout_seconds`, connect to last byte) and size. Redirects are not followed,
cookies not kept, proxies of the environment ignored. Whatever goes wrong on the way becomes
`FetchFailed`; a status is no failure here, it is for `grant` and `metadata` to judge.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp
import yarl

from proxy.config.urls import parse_url
from proxy.errors import ProxyError
from proxy.tokens.bounded_connector import AnswerTooLongError, BoundedConnector
from proxy.tokens.outcome import FetchFailed, misspoke, timed_out, unavailable, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.client import Client
    from proxy.network import Resolver
    from proxy.tls import SharedContext


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. The body may hold a token, so it does not print itself."""

    status: int
    body: bytes = field(repr=False)
    retry_after_seconds: float | None = None
    ahead_seconds: float | None = None
    """By how much this machine's clock is before the server's, by its `Date`."""


class Endpoint:
    """The way to one client's authorization server."""

    def __init__(
        self,
        client: Client,
        *,
        resolver: Resolver,
        trust: SharedContext,
        wall: Callable[[], float],
        body_bytes_max: int,
    ) -> None:
        self._client = client
        self._resolver = resolver
        self._trust = trust
        self._wall = wall
        self.body_bytes_max = body_bytes_max
        """How long a token answer may be."""
        self._sessions: dict[int, aiohttp.ClientSession] = {}
        """By the longest body that is read in them."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Post a token request. Raises `FetchFailed`."""
        return await self._exchange(
            "POST", url, headers, body, self.body_bytes_max, limit="token_response_bytes_max"
        )

    async def get(self, url: str, *, body_bytes_max: int) -> Answer:
        """Get a metadata document. Raises `FetchFailed`."""
        return await self._exchange(
            "GET",
            url,
            {"Accept": "application/json", "Accept-Encoding": "identity"},
            None,
            body_bytes_max,
            limit=None,
        )

    async def close(self) -> None:
        """Close what is open."""
        for session in self._sessions.values():
            await session.close()

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | None,
        bytes_max: int,
        *,
        limit: str | None,
    ) -> Answer:
        session = self._opened_session(bytes_max)
        context = await self._context(url)
        try:
            async with session.request(
                method,
                # As it is written: undone and done again, `%2F` in a query would be a slash.
                yarl.URL(url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                proxy=self._client.http_proxy,
                ssl=context,
                server_hostname=self._client.tls.server_name,
            ) as response:
                if response.status == 407 and self._client.http_proxy is not None:
                    # No tunnel leads to a plain http endpoint, so that the proxy answers in it.
                    raise _refused_by_proxy(response.status)
                retry_after = response.headers.get("Retry-After")
                behind = self._seconds_until(response.headers.get("Date"))
                return Answer(
                    status=response.status,
                    body=await _read(response, bytes_max, limit),
                    retry_after_seconds=self._retry_after(retry_after, behind or 0.0),
                    ahead_seconds=None if behind is None else -behind,
                )
        except TimeoutError:
            raise timed_out(
                f"the authorization server did not answer within {self._client.timeout_seconds:g} s"
            ) from None
        except aiohttp.ClientConnectorDNSError as error:
            # Behind a proxy no other name is looked up here.
            whose = "the authorization server's"
            if self._client.http_proxy is not None:
                whose = "the egress proxy's (`http_proxy`)"
            raise unavailable(f"{whose} name does not resolve", said=_told(error)) from None
        except aiohttp.ClientProxyConnectionError as error:
            raise unavailable(
                "the egress proxy of `http_proxy` cannot be reached", said=_told(error)
            ) from None
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise unavailable(
                "TLS to the authorization server failed: see the log, and the client's `tls` keys",
                said=str(error),
                of_files=True,
            ) from None
        except aiohttp.ClientHttpProxyError as error:
            raise _refused_by_proxy(error.status) from None
        except AnswerTooLongError:
            raise _too_long(bytes_max, limit) from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            raise misspoke(
                "the authorization server's answer is broken HTTP", _told(error)
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise unavailable(
                "the authorization server cannot be reached", said=_told(error)
            ) from None

    def _opened_session(self, bytes_max: int) -> aiohttp.ClientSession:
        session = self._sessions.get(bytes_max)
        if session is None:
            session = self._sessions[bytes_max] = aiohttp.ClientSession(
                connector=BoundedConnector(
                    resolver=self._resolver,
                    body_bytes_max=bytes_max,
                    loop=asyncio.get_running_loop(),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=self._client.timeout_seconds,
                    # Unasked, aiohttp rounds longer deadlines up to whole seconds.
                    ceil_threshold=float("inf"),
                ),
                skip_auto_headers=("User-Agent",),
                trust_env=False,
            )
        return session

    async def _context(self, url: str) -> ssl.SSLContext | bool:
        """Return the context for `url`; True, aiohttp's own, where there is no TLS on the way."""
        ways = [url] if self._client.http_proxy is None else [url, self._client.http_proxy]
        if all(parse_url(each, query_allowed=True).scheme == "http" for each in ways):
            return True
        try:
            return await self._trust.ready()
        except ProxyError as error:
            raise unreadable(error) from None

    def _retry_after(self, value: str | None, behind_seconds: float) -> float | None:
        """Read `Retry-After` in both forms (RFC 9110 §10.2.3); None if it cannot be read.

        A date is the server's, and so counts from where its clock stands: `behind_seconds` later
        than ours.
        """
        if value is None:
            return None
        value = value.strip()
        if value.isascii() and value.isdigit():
            return float(value[:9])
        seconds = self._seconds_until(value)
        return None if seconds is None else max(seconds - behind_seconds, 0.0)

    def _seconds_until(self, date: str | None) -> float | None:
        """Return the seconds to an HTTP date (RFC 9110 §5.6.7); None if there is none to read."""
        if date is None:
            return None
        try:
            at = parsedate_to_datetime(date)
            # The oldest of the three forms names no zone; all of them mean GMT.
            return at.replace(tzinfo=at.tzinfo or UTC).timestamp() - self._wall()
        except (ValueError, OverflowError):
            return None


async def _read(response: aiohttp.ClientResponse, bytes_max: int, limit: str | None) -> bytes:
    _watch(response)
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        parts.append(part)
        if size > bytes_max:
            response.close()
            if response.status >= 400:
                # It is no token in any case: its status says what it is.
                break
            raise _too_long(bytes_max, limit)
    return b"".join(parts)[:bytes_max]


def _refused_by_proxy(status: int) -> FetchFailed:
    return unavailable(
        "the egress proxy of `http_proxy` refused the way to the authorization server",
        said=f"status {status}",
    )


def _too_long(bytes_max: int, limit: str | None) -> FetchFailed:
    detail = f"the authorization server's answer is larger than {bytes_max} bytes"
    return misspoke(detail, limit=limit)


def _watch(response: aiohttp.ClientResponse) -> None:
    """Tell the body's reader when the connection ends before the body does.

    aiohttp does not where what follows the head is broken chunking: the reader would wait for ever.
    """
    connection = response.connection
    if connection is None or connection.protocol is None:
        # The body is there as a whole.
        return

    def ended(closed: asyncio.Future[None] | None) -> None:
        if closed is not None and not closed.cancelled():
            # Marked as seen: what it tells is told by the body.
            closed.exception()
        content = response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the body is broken off"))

    closed = connection.protocol.closed
    if closed is None:
        ended(None)
    else:
        closed.add_done_callback(ended)


def _told(error: BaseException) -> str:
    """Name the trouble without the request: aiohttp's own text may quote its headers."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error)
    if isinstance(error, aiohttp.ClientResponseError):
        return error.__class__.__name__
    return f"{error.__class__.__name__}: {error}"
