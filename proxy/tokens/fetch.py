"""One audience's token request from end to end: where, as whom, what for, and what came back.

Stateless but for the secret that was read last: an unreadable file keeps the value it had, be it
the one at start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import ProxyError
from proxy.tokens import client_authentication, grant
from proxy.tokens.outcome import FetchFailed, Grant, misspoke, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.schema import Audience, Client
    from proxy.model import Secret, Token
    from proxy.tokens.endpoint import Endpoint
    from proxy.tokens.metadata import TokenEndpointLocator

WARNINGS = {
    "expires_in": "the token answer's expires_in cannot be read; it counts as absent",
    "token_type": "the token answer names no token_type; Bearer is assumed",
    "credential": "the secret file cannot be read; the value read last is still used",
    "metadata": "the metadata cannot be fetched again; the token endpoint found last is still used",
    "scope": "the authorization server granted less scope than was asked for",
}
"""What may be odd about a usable answer: the log's event and sentence."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A token and what is known of it. `warnings` name what was odd but usable.

    `asked_at`: monotonic, when the request that brought it was posted.
    """

    token: Token
    asked_at: float
    lifetime_seconds: float
    warnings: tuple[str, ...]


class Credential:
    """A client's secret, read anew for every request."""

    def __init__(self, client: Client) -> None:
        self._source = client.client_secret
        self._last = None if client.client_secret is None else client.client_secret.first
        self.stale = False
        """Whether the value now in use is an older one, because the file cannot be read."""

    @property
    def may_change(self) -> bool:
        """Say whether reading again can bring another value."""
        return self._source is not None and self._source.file is not None

    def read(self) -> Secret | None:
        """Return the secret, None if the client has none. Raises `FetchFailed`."""
        if self._source is None:
            return None
        try:
            self._last = self._source.read()
            self.stale = False
        except ProxyError as error:
            if self._last is None:
                raise unreadable(error) from None
            self.stale = True
        return self._last

    def differs(self, shown: Secret | None) -> bool:
        """Say whether the file now holds another value than the one that was `shown`."""
        if not self.may_change or self._source is None:
            return False
        try:
            return self._source.read() != shown
        except ProxyError:
            # Half-written or gone for a moment: no news.
            return False


class Fetch:
    """Asks for one audience's token."""

    def __init__(
        self,
        client: Client,
        audience: Audience,
        *,
        endpoint: Endpoint,
        locator: TokenEndpointLocator,
        credential: Credential,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._client = client
        self._audience = audience
        self._endpoint = endpoint
        self._locator = locator
        self._fields = grant.fields(client, audience)
        self._monotonic = monotonic
        self._wall = wall
        self._credential = credential
        self._shown: Secret | None = None

    @property
    def credential_may_change(self) -> bool:
        """Say whether what we show may be another one later."""
        return self._credential.may_change

    def credential_changed(self) -> bool:
        """Say whether our credential is another one now than the one shown last."""
        return self._credential.differs(self._shown)

    async def ask(self) -> Fetched:
        """Ask once; once more if our credential was refused and has changed since it was read.

        Raises `FetchFailed`.
        """
        try:
            return await self._ask()
        except FetchFailed as failure:
            if failure.invalid_client and self.credential_changed():
                return await self._ask()
            raise

    async def _ask(self) -> Fetched:
        url = await self._locator.url()
        # Remembered here, as another audience's request may read the shared credential meanwhile.
        secret = self._shown = self._credential.read()
        request = client_authentication.build(self._client, secret, self._fields)
        # Not before: the search, and a request that was refused, are no part of a token's life.
        asked_at, wall_asked_at = self._monotonic(), self._wall()
        answer = await self._endpoint.post(url, request.headers, request.body)
        granted = grant.read_answer(
            answer.status,
            answer.body,
            retry_after_seconds=answer.retry_after_seconds,
            secrets=request.secrets,
        )
        token = grant.credential(
            granted, header=self._audience.header, scheme=self._audience.scheme
        )
        warnings = list(granted.warnings)
        if granted.token_type is None and self._audience.scheme is None:
            warnings.append("token_type")
        if self._credential.stale:
            warnings.append("credential")
        if self._locator.outdated:
            warnings.append("metadata")
        if granted.scope is not None and self._audience.scope is not None:
            missing = set(self._audience.scope.split()) - set(granted.scope.split())
            if missing:
                warnings.append("scope")
        lifetime = self._lifetime(granted, wall_asked_at)
        return Fetched(token, asked_at, lifetime, tuple(warnings))

    def _lifetime(self, granted: Grant, wall_asked_at: float) -> float:
        if granted.lifetime_seconds is not None:
            return granted.lifetime_seconds
        own = grant.lifetime_from_jwt(granted.access_token, wall_asked_at)
        if own is None:
            return self._audience.default_lifetime_seconds
        if own <= 0:
            raise misspoke("the token's own exp has passed, by this machine's clock")
        return own
