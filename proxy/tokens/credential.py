"""A client's credential: what it shows at the token endpoint, read anew for every request.

A file that is missing or half-written keeps the value it had, be it the one at start. Certificate
and trust are read when they change and when we are refused. Whoever finds a change says so.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.config.proof import PROOF_OF, Proof, understand
from proxy.errors import ProxyError
from proxy.tokens.outcome import unreadable

if TYPE_CHECKING:
    import ssl

    from proxy.config.client import Client
    from proxy.config.secrets import SecretSource
    from proxy.model import Secret
    from proxy.telemetry.files import FileFacts
    from proxy.tls import SharedContext


@dataclass(frozen=True, slots=True)
class Shown:
    """What one request showed: a proof, if there is one, on a connection made with `tls`.

    `stale` says what is wrong with the file if the proof is an older one.
    """

    proof: Proof | None
    tls: ssl.SSLContext | None = field(repr=False)
    stale: str | None = None


class Credential:
    """One client's credential, shared by its audiences. `name` is the client's."""

    def __init__(self, name: str, client: Client, trust: SharedContext, facts: FileFacts) -> None:
        self._client = client
        self._trust = trust
        self._facts = facts
        key = PROOF_OF.get(client.authentication, "")
        self._source: SecretSource | None = getattr(client, key) if key else None
        self.key = f"clients.{name}.{key.removesuffix('_file')}_file"
        """What the file of the proof is called in the configuration."""
        self.tls_key = f"clients.{name}.tls"
        self._last: Proof | None = None if self._source is None else self._source.proof

    @property
    def files(self) -> tuple[str, ...]:
        """The file that the proof is in; none if it is in the configuration itself."""
        return (
            () if self._source is None or self._source.file is None else (str(self._source.file),)
        )

    async def read(self) -> Shown:
        """Return what is to be shown now. Raises `FetchFailed`."""
        stale = None
        try:
            self.read_proof()
        except ProxyError as error:
            if self._last is None:
                raise unreadable(error) from None
            stale = error.detail
        return Shown(self._last, await self._tls(), stale)

    def read_proof(self) -> None:
        """Read the file of the proof again, and say so if it holds another one.

        Raises `ProxyError` `credential_unreadable` when it cannot be used; the old one stays.
        """
        if self._source is None:
            return
        text = self._source.read()
        if self._last is not None and text == self._last.text:
            return
        news = self._last is not None
        self._last = self._understood(self._source, text)
        if news:
            self._facts.read_again(self.key)

    async def read_tls(self) -> None:
        """Read the files of `tls` again if they have changed. Raises `ProxyError` likewise."""
        if self._trust.files and await self._trust.reload():
            self._facts.read_again(self.tls_key)

    async def differs(self, shown: Shown) -> bool:
        """Say whether something else than `shown` would be shown now, reading all files again."""
        # Half-written or gone for a moment: no news, of the one or of the other.
        with contextlib.suppress(ProxyError):
            self.read_proof()
        with contextlib.suppress(ProxyError):
            await self.read_tls()
        return self._last != shown.proof or await self._tls() is not shown.tls

    def _understood(self, source: SecretSource, text: Secret) -> Proof:
        try:
            return understand(
                text,
                authentication=self._client.authentication,
                algorithm=self._client.algorithm,
            )
        except ValueError as error:
            raise source.unusable(str(error)) from None

    async def _tls(self) -> ssl.SSLContext | None:
        """Return the context that connections are made with; None if its files cannot be used."""
        if not self._trust.files:
            return None
        try:
            return await self._trust.ready()
        except ProxyError:
            # The endpoint says so, and opens no connection without it.
            return None
