"""Where a client's token endpoint is: configured, or found in published metadata.

RFC 8414 §3 and OpenID Connect Discovery 1.0 §4. A document is used only if its `issuer` is the
configured one to the letter. It is fetched when first needed and believed for an hour. Then it is
fetched again in the background, where the answer helps the next token request: what is known goes
on being used, so that a metadata server that hangs costs nobody a token. A failed fetch is
repeated after a minute at the earliest.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from proxy.config.urls import parse_url
from proxy.errors import Fault
from proxy.tokens.outcome import FetchFailed, misspoke, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.schema import Client
    from proxy.tokens.endpoint import Answer, Endpoint

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
        self._found: str | None = client.token_endpoint
        self._stale_at = float("inf") if client.token_endpoint else float("-inf")
        self._search: asyncio.Task[FetchFailed | None] | None = None
        self.outdated = False
        """Whether the endpoint in use is an older one, because no document could be had since."""

    async def url(self) -> str:
        """Return the token endpoint's URL. Raises `FetchFailed`."""
        if self._monotonic() >= self._stale_at:
            if self._search is None or self._search.done():
                self._search = asyncio.create_task(self._searched(), name="metadata")
            if self._found is None:
                # Shielded: one audience's fetch ending early must not end another's.
                failure = await asyncio.shield(self._search)
                if failure is not None:
                    raise failure
        assert self._found is not None, "a search finds something or says why not"
        return self._found

    def close(self) -> None:
        """End a search that is under way."""
        if self._search is not None:
            self._search.cancel()

    async def _searched(self) -> FetchFailed | None:
        """Search once; return why nothing was found. Nobody may be waiting, so it is not raised."""
        try:
            self._found = await self._find()
        except FetchFailed as failure:
            if self._found is not None:
                self.outdated = True
                self._stale_at = self._monotonic() + RETRY_SECONDS
            return failure
        self.outdated = False
        self._stale_at = self._monotonic() + BELIEVED_SECONDS
        return None

    async def _find(self) -> str:
        failures: list[FetchFailed] = []
        for url in well_known(self._client):
            try:
                answer = await self._endpoint.get(url, body_bytes_max=DOCUMENT_BYTES_MAX)
                return token_endpoint(self._client, answer)
            except FetchFailed as failure:
                if failure.result == "timeout":
                    # The other form is the same server's: waiting for it too helps nobody.
                    raise
                failures.append(failure)
        # A document that was found and is wrong says more than one that was not found.
        failures.sort(key=lambda failure: isinstance(failure, MetadataNotFound))
        raise failures[0]


class MetadataNotFound(FetchFailed):
    """No document at this place; the other well-known form may have it."""


def well_known(client: Client) -> list[str]:
    """Return the places to look, in order."""
    if client.discovery is not None:
        return [client.discovery]
    assert client.issuer is not None, "a client without endpoint has an issuer or a discovery URL"
    path = parse_url(client.issuer).path
    origin = client.issuer.removesuffix(path)
    path = path.rstrip("/")
    return [
        # RFC 8414 §3 inserts before the path, OpenID Connect Discovery §4 appends behind it.
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    ]


def token_endpoint(client: Client, answer: Answer) -> str:
    """Read a metadata document. Raises `FetchFailed`."""
    if answer.status in {408, 429} or 500 <= answer.status <= 599:
        raise unavailable(
            f"the metadata document's server answered {answer.status}",
            retry_after_seconds=answer.retry_after_seconds,
        )
    if answer.status != 200:
        raise MetadataNotFound(
            Fault.AUTHORIZATION_SERVER_MISSPOKE,
            "misspoke",
            f"no metadata document: the server answered {answer.status}",
        )
    try:
        document: Any = json.loads(answer.body.decode("utf-8"))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise misspoke("the metadata document is not a JSON object")
    if client.issuer is not None and document.get("issuer") != client.issuer:
        raise misspoke(
            "the metadata document's issuer is not the configured one (compared to the letter: "
            "scheme, host, port, path and trailing slash)",
            f"issuer: {document.get('issuer')!r:.200}",
        )
    found = document.get("token_endpoint")
    aliases = document.get("mtls_endpoint_aliases")
    if client.tls.certificate_file is not None and isinstance(aliases, dict):
        # RFC 8705 §5: who shows a certificate asks there.
        found = aliases.get("token_endpoint", found)
    if not isinstance(found, str) or not found:
        raise misspoke("the metadata document names no token_endpoint")
    try:
        url = parse_url(found, query_allowed=True)
    except ValueError as error:
        raise misspoke(f"the metadata document's token_endpoint {error}") from None
    if url.is_plain_remote and not client.allow_http:
        raise misspoke("the metadata document's token_endpoint is plain http")
    return found
