"""TLS contexts for connections that we open: trust, and our certificate where there is one.

To make one takes a tenth of a second, so those who want the same share one. A file that changes
makes a new one, on a thread; one that cannot be used leaves the old one in use. Where there is no
old one there is no connection: nothing ever goes out without the certificate it should show.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from proxy.config.credentials import EncryptedKeyError, no_password
from proxy.config.file_state import FileState, state_of
from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.client import Tls

TRIES_MAX = 3
"""So often a context is made anew when its files change while it is made."""


class SharedContext:
    """The context of one `tls` section, as its files were when they were read last."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self.files = tuple(
            file for file in (tls.ca_file, tls.certificate_file, tls.key_file) if file
        )
        self._made: ssl.SSLContext | None = None
        self._state: FileState = ()
        self._reloading: asyncio.Task[bool] | None = None

    @property
    def current(self) -> ssl.SSLContext:
        """The context, made now if it never was. Raises `OSError` as `tls_context` does."""
        if self._made is None:
            self._state = state_of(self.files)
            self._made = tls_context(self._tls)
        return self._made

    async def ready(self) -> ssl.SSLContext:
        """Return the context, made on a thread if it never was.

        Raises `ProxyError` `credential_unreadable`.
        """
        if self._made is None:
            await self.reload()
        return self.current

    async def reload(self) -> bool:
        """Make the context anew if its files have changed; return whether it is another one now.

        Raises `ProxyError` `credential_unreadable` if they cannot be used. Concurrent calls share
        one reading.
        """
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload(), name="tls-files")
        return await asyncio.shield(self._reloading)

    async def _reload(self) -> bool:
        for _ in range(TRIES_MAX):
            state = state_of(self.files)
            if self._made is not None and state == self._state:
                return False
            try:
                made = await asyncio.to_thread(tls_context, self._tls)
            except OSError as error:
                raise unusable(error) from None
            if state == state_of(self.files):
                break
        self._made, self._state = made, state
        return True


class TlsContexts:
    """Shared contexts, one for each distinct `Tls` but for its `server_name`."""

    def __init__(self) -> None:
        self._shared: dict[Tls, SharedContext] = {}

    def of(self, tls: Tls) -> SharedContext:
        """Return the context that all share who want the same."""
        key = tls.model_copy(update={"server_name": None})
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = SharedContext(key)
        return shared

    def keep(self, wanted: Iterable[Tls]) -> None:
        """Forget all others: nobody will ask for them any more."""
        kept = {self.of(tls) for tls in wanted}
        self._shared = {key: shared for key, shared in self._shared.items() if shared in kept}


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a verifying client context: the system's trust, or `ca_file` alone.

    Raises `OSError` (`ssl.SSLError` among them) when a file cannot be read or used, an encrypted
    key too.
    """
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file, password=no_password)
    return context


def unusable(error: OSError) -> ProxyError:
    """Return the error that `tls_context` failed with, in our words."""
    if isinstance(error, EncryptedKeyError):
        reason = "the private key is encrypted"
    elif isinstance(error, ssl.SSLError):
        reason = "no PEM, certificate and key are no pair, or the key is too short"
    else:
        reason = error.strerror or error.__class__.__name__
    return ProxyError(
        Fault.CREDENTIAL_UNREADABLE, f"a file of the `tls` keys cannot be used: {reason}"
    )
