"""Finds a client's token endpoint: configured, or in published metadata (`metadata`).

A document is fetched when first needed and believed for an hour. Then it is fetched again in the
background, where the answer helps the next token request: what is known goes on being used, so that
a metadata server that hangs costs nobody a token. A failed fetch is repeated after a minute at the
earliest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from proxy.tokens.metadata import Located, MetadataNotFound, read_document, well_known
from proxy.tokens.outcome import FetchFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.client import Client
    from proxy.tokens.endpoint import Endpoint

DOCUMENT_BYTES_MAX = 262144
BELIEVED_SECONDS = 3600.0
RETRY_SECONDS = 60.0
"""Not before this after a failure, if there is a document: its server may hang for long."""


class TokenEndpointLocator:
    """Finds one client's token endpoint; concurrent searches share one."""

    def __init__(
        self, client: Client, endpoint: Endpoint, *, monotonic: Callable[[], float]
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._found: Located | None = None
        self._stale_at = float("-inf")
        self._places: deque[str] = deque()
        if client.token_endpoint is not None:
            self._found, self._stale_at = Located(client.token_endpoint), float("inf")
        else:
            self._places.extend(well_known(client))
        self._search: asyncio.Task[FetchFailed | None] | None = None
        self._doubted_at = float("-inf")
        self.outdated: str | None = None
        """Why the endpoint in use is an older one, if it is: no document could be had since."""

    async def find(self) -> Located:
        """Return the token endpoint, and what is known of it. Raises `FetchFailed`."""
        if self._monotonic() >= self._stale_at:
            search = self._searching()
            if self._found is None:
                # Shielded: one audience's fetch ending early must not end another's.
                failure = await asyncio.shield(search)
                if failure is not None:
                    raise failure
        assert self._found is not None, "a search finds something or says why not"
        return self._found

    def doubt(self) -> None:
        """Look for the endpoint anew, in the background: what was found answers as if it had moved.

        Once in `RETRY_SECONDS`: while all is down, metadata are asked for seldom.
        """
        now = self._monotonic()
        if self._places and self._found is not None and now - self._doubted_at >= RETRY_SECONDS:
            self._doubted_at = now
            self._searching()

    def close(self) -> None:
        """End a search that is under way."""
        if self._search is not None:
            self._search.cancel()

    def _searching(self) -> asyncio.Task[FetchFailed | None]:
        """Return the search that is under way, begun now if there is none."""
        if self._search is None or self._search.done():
            self._search = asyncio.create_task(self._searched(), name="metadata")
        return self._search

    async def _searched(self) -> FetchFailed | None:
        """Search once; return why nothing was found. Nobody may be waiting, so it is not raised."""
        try:
            self._found = await self._find()
        except FetchFailed as failure:
            if self._found is not None:
                self.outdated = failure.told
                self._stale_at = self._monotonic() + RETRY_SECONDS
            # Kept until the next search: its frames would keep the document that was too long.
            return failure.with_traceback(None)
        self.outdated = None
        self._stale_at = self._monotonic() + BELIEVED_SECONDS
        return None

    async def _find(self) -> Located:
        failures: list[FetchFailed] = []
        for url in tuple(self._places):
            try:
                answer = await self._endpoint.get(url, body_bytes_max=DOCUMENT_BYTES_MAX)
                return read_document(self._client, answer)
            except FetchFailed as failure:
                if failure.result == "timeout":
                    # The other form is the same server's: waiting for it too helps nobody now. But
                    # it is asked first the next time, lest a path that hangs hide it for ever.
                    self._places.rotate(-1)
                    raise
                failures.append(failure)
        # A document that was found and is wrong says more than one that was not found.
        failures.sort(key=lambda failure: isinstance(failure, MetadataNotFound))
        raise failures[0]
