"""The nouns that both halves share, and the one seam between them.

Nothing here knows HTTP, OAuth, configuration or time: a `Secret` that does not print itself, a
`Token` ready to be put on a request, and `TokenSource`, which is all that the forwarding half
knows of where tokens come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NewType, Protocol, final

AudienceName = NewType("AudienceName", str)
"""A key of `audiences` in the configuration: a named token that we want."""

UpstreamName = NewType("UpstreamName", str)
"""A key of `upstreams` in the configuration: an origin that we forward to."""

ClientName = NewType("ClientName", str)
"""A key of `clients` in the configuration: who we are at an authorization server."""


@final
class Secret:
    """Text that must not be shown. `reveal()` is the only way to it; everything else masks it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, for the wire and for nothing else."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        # A pickled secret is a secret on a disk.
        message = "a Secret cannot be pickled"
        raise TypeError(message)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as it goes on the wire.

    `header` is the field name and `credential` the whole field value (scheme and token), both
    already checked: visible ASCII, no line breaks. Two tokens are the same if these are.
    """

    header: bytes
    credential: bytes = field(repr=False)


class TokenSource(Protocol):
    """Where tokens come from: the seam between the two halves."""

    def token_at_hand(self, audience: AudienceName) -> Token | None:
        """Return a live token if one is held and nothing is due; None: ask `token`."""
        ...

    async def token(self, audience: AudienceName) -> Token:
        """Return a live token; wait for one only if none is held.

        Raises `proxy.errors.ProxyError` when there is none to be had.
        """
        ...

    def reject(self, audience: AudienceName, token: Token) -> bool:
        """Say that an upstream answered 401 to `token`.

        Returns True when `token(audience)` may now yield another one, so that the request is
        worth sending once more; False when the 401 should be passed on.
        """
        ...
