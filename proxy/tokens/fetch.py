"""One audience's token request from end to end: where, as whom, what for, and what came back.

Stateless but for what was shown last, which tells whether a credential has changed since.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from proxy.config.proof import SIGNING
from proxy.tokens import client_authentication, grant
from proxy.tokens.client_authentication import AssertionTerms
from proxy.tokens.metadata import discrepancy
from proxy.tokens.outcome import FetchFailed, Grant, misspoke

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.client import Client
    from proxy.config.proof import Proof
    from proxy.config.schema import Audience
    from proxy.model import Token
    from proxy.tokens.credential import Credential, Shown
    from proxy.tokens.endpoint import Answer, Endpoint
    from proxy.tokens.locator import TokenEndpointLocator
    from proxy.tokens.metadata import Located

WARNINGS = {
    "expires_in": "the token answer's expires_in cannot be read; it counts as absent",
    "token_type": "the token answer names no token_type; Bearer is assumed",
    "scope": "the authorization server granted less scope than was asked for",
}
"""What may be odd about a usable answer: the log's event and sentence."""
MOVED = frozenset({301, 302, 303, 307, 308, 404, 405, 410})
"""Answers that raise the question whether the token endpoint is elsewhere by now."""
CREDENTIAL_MIN = 8
"""What is shorter (`true`, a tenant's number) would be struck out of words that it is part of."""
SKEW_SECONDS_MIN = 5.0
"""A clock that differs by less is no reason for an assertion to be refused."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A token and what is known of it. `warnings` tell what was odd but usable, by event.

    `asked_at`: monotonic, when the request that brought it was posted.
    """

    token: Token
    asked_at: float
    lifetime_seconds: float
    warnings: dict[str, str]


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
        self.endpoint = endpoint
        self._locator = locator
        self._fields = grant.fields(client, audience)
        self._parameters = _credentials(client.parameters | audience.parameters)
        self._monotonic = monotonic
        self._wall = wall
        self._credential = credential
        self._shown: Shown | None = None

    async def credential_changed(self) -> bool:
        """Say whether our credential is another one now than the one shown last."""
        # Where nothing was shown yet, something was in the way of it.
        return self._shown is None or await self._credential.differs(self._shown)

    async def ask(self, held: Token | None = None) -> Fetched:
        """Ask once; once more if we were refused and our credential has changed since it was read.

        `held` is the token in use, which is struck out of what the server says. Raises
        `FetchFailed`.
        """
        try:
            return await self._ask(held)
        except FetchFailed as failure:
            if failure.refusal and await self.credential_changed():
                return await self._ask(held)
            raise

    async def _ask(self, held: Token | None) -> Fetched:
        located = await self._locator.find()
        # Remembered here, as another audience's request may read the shared credential meanwhile.
        shown = self._shown = await self._credential.read()
        request = client_authentication.build(
            self._client,
            shown.proof,
            self._fields,
            AssertionTerms(
                # The issuer, where it is beyond doubt: a server could pass on what names another.
                audience=self._client.assertion_audience
                or located.issuer
                or located.token_endpoint,
                issued_at=self._wall(),
                jti=str(uuid.uuid4()),
            ),
        )
        # Not before: the search, and a request that was refused, are no part of a token's life.
        asked_at, wall_asked_at = self._monotonic(), self._wall()
        try:
            answer = await self.endpoint.post(located.token_endpoint, request.headers, request.body)
        except FetchFailed:
            self._locator.doubt()
            raise
        try:
            granted = grant.read_answer(
                answer.status,
                answer.body,
                retry_after_seconds=answer.retry_after_seconds,
                secrets=(*request.secrets, *self._parameters, *_words(held)),
            )
            token = grant.credential(
                granted, header=self._audience.header, scheme=self._audience.scheme
            )
        except FetchFailed as failure:
            if answer.status in MOVED:
                self._locator.doubt()
            self._explain(failure, located, answer, shown.proof)
            raise
        lifetime = self._lifetime(granted, wall_asked_at)
        return Fetched(token, asked_at, lifetime, self._warnings(granted, located, shown))

    def _explain(
        self, failure: FetchFailed, located: Located, answer: Answer, proof: Proof | None
    ) -> None:
        """Add what may be the reason of a refusal, for the log."""
        if not failure.refusal:
            return
        not_offered = discrepancy(self._client, located, proof)
        if not_offered:
            failure.add(not_offered)
        ahead = answer.ahead_seconds
        if (
            failure.invalid_client
            and self._client.authentication in SIGNING
            and ahead is not None
            and abs(ahead) >= SKEW_SECONDS_MIN
        ):
            way = "ahead of" if ahead > 0 else "behind"
            failure.add(f"this machine's clock is {abs(ahead):.0f} s {way} the server's")

    def _warnings(self, granted: Grant, located: Located, shown: Shown) -> dict[str, str]:
        events = list(granted.warnings)
        if granted.token_type is None and self._audience.scheme is None:
            events.append("token_type")
        if granted.scope is not None and self._audience.scope is not None:
            missing = set(self._audience.scope.split()) - set(granted.scope.split())
            if missing:
                events.append("scope")
        warnings = {event: WARNINGS[event] for event in events}
        if shown.stale is not None:
            warnings["credential"] = f"{shown.stale}; the value read last is still used"
        if self._locator.outdated is not None:
            warnings["metadata"] = (
                "no metadata to be had again, the token endpoint found last is still used: "
                f"{self._locator.outdated}"
            )
        not_offered = discrepancy(self._client, located, shown.proof)
        if not_offered:
            warnings["authentication"] = f"a token was granted, though {not_offered}"
        return warnings

    def _lifetime(self, granted: Grant, wall_asked_at: float) -> float:
        if granted.lifetime_seconds is not None:
            return granted.lifetime_seconds
        own = grant.lifetime_from_jwt(granted.access_token, wall_asked_at)
        if own is None:
            return self._audience.default_lifetime_seconds
        if own <= 0:
            raise misspoke("the token's own exp has passed, by this machine's clock")
        return own


def _words(held: Token | None) -> tuple[str, ...]:
    """Return a token as a server may quote it: without its scheme."""
    return () if held is None else (held.credential.decode("ascii").rpartition(" ")[2],)


def _credentials(parameters: dict[str, str | list[str]]) -> tuple[str, ...]:
    """Return what may be a credential among further fields: any name may stand for one."""
    values = (each if isinstance(each, list) else [each] for each in parameters.values())
    found = (value for several in values for value in several if len(value) >= CREDENTIAL_MIN)
    return tuple(spelt for value in found for spelt in (value, quote_plus(value)))
