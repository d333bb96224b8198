"""A client's credential: what it shows at the token endpoint, read anew for every request.

A file that is missing or half-written keeps the value it had, be it the one at start. What a
private key means is worked out on a thread: of a long RSA key that takes half a second.
"""

from __future__ import annotations

import asyncio
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
    from proxy.tls import TlsContexts


@dataclass(frozen=True, slots=True)
class Shown:
    """What one request showed: a proof, a certificate, both, or nothing at all."""

    proof: Proof | None
    certificate: ssl.SSLContext | None = field(repr=False)


class Credential:
    """One client's credential, shared by its audiences."""

    def __init__(self, client: Client, contexts: TlsContexts) -> None:
        self._client = client
        self._contexts = contexts
        self.key = PROOF_OF.get(client.authentication, "")
        """The configuration key of the proof, without `_file`; empty: there is none."""
        self._source: SecretSource | None = getattr(client, self.key) if self.key else None
        self._last: Proof | None = None
        self.stale: str | None = None
        """Why the value now in use is an older one, if it is: what is wrong with the file."""

    @property
    def files(self) -> tuple[str, ...]:
        """The file that the proof is in; none if it is in the configuration itself."""
        return (
            () if self._source is None or self._source.file is None else (str(self._source.file),)
        )

    async def read(self) -> Shown:
        """Return what is to be shown now. Raises `FetchFailed`."""
        try:
            await self.reload()
            self.stale = None
        except ProxyError as error:
            if self._last is None:
                await self._fall_back(error)
            self.stale = error.detail
        return Shown(self._last, self._certificate())

    async def reload(self) -> bool:
        """Read the file again; return whether it holds another proof now.

        Raises `ProxyError` `credential_unreadable` when it cannot be used; the old one stays.
        """
        if self._source is None:
            return False
        text = self._source.read()
        if self._last is not None and text == self._last.text:
            return False
        self._last = await self._understood(self._source, text)
        return True

    async def differs(self, shown: Shown) -> bool:
        """Say whether something else than `shown` would be shown now, reading all files again."""
        try:
            await self.reload()
            if self._client.tls.certificate_file is not None:
                await self._contexts.reload(self._client.tls)
        except ProxyError:
            # Half-written or gone for a moment: no news.
            return False
        return self._last != shown.proof or self._certificate() is not shown.certificate

    async def _fall_back(self, error: ProxyError) -> None:
        """Take the value that the file held at start, if it held one."""
        if self._source is None or self._source.first is None:
            raise unreadable(error) from None
        self._last = await self._understood(self._source, self._source.first)

    async def _understood(self, source: SecretSource, text: Secret) -> Proof:
        def understood() -> Proof:
            return understand(
                text,
                authentication=self._client.authentication,
                algorithm=self._client.algorithm,
            )

        try:
            if self.key == "private_key":
                return await asyncio.to_thread(understood)
            return understood()
        except ValueError as error:
            raise source.unusable(str(error)) from None

    def _certificate(self) -> ssl.SSLContext | None:
        if self._client.tls.certificate_file is None:
            return None
        try:
            return self._contexts.of(self._client.tls)
        except OSError:
            # The endpoint says so, and opens no connection without it.
            return None
