"""TLS contexts for connections that we open: trust, and our certificate where there is one.

To make one blocks for a twentieth of a second, so those who want the same share one. A file that
changes makes a new one, on a thread; one that cannot be used leaves the old one in use. Where there
is no old one there is no connection: nothing ever goes out without the certificate it should show.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from proxy.config.credentials import EncryptedKeyError, no_password
from proxy.errors import Fault, ProxyError
from proxy.files import FileState, state_of

if TYPE_CHECKING:
    from proxy.config.client import Tls


def files_of(tls: Tls) -> tuple[str, ...]:
    """Return the files that a context is made from."""
    return tuple(file for file in (tls.ca_file, tls.certificate_file, tls.key_file) if file)


class TlsContexts:
    """Client contexts, one for each distinct `Tls` but for its `server_name`."""

    def __init__(self) -> None:
        self._made: dict[Tls, tuple[FileState, ssl.SSLContext]] = {}

    def of(self, tls: Tls) -> ssl.SSLContext:
        """Return the context for `tls`, as it was made last.

        Raises `OSError` as `tls_context` does; what failed is tried anew the next time.
        """
        key = _key(tls)
        made = self._made.get(key)
        if made is None:
            state = state_of(files_of(tls))
            made = self._made[key] = state, tls_context(tls)
        return made[1]

    async def reload(self, tls: Tls) -> bool:
        """Make the context anew if its files have changed; return whether it is another one now.

        Raises `ProxyError` `credential_unreadable` if they cannot be used.
        """
        key = _key(tls)
        state = state_of(files_of(tls))
        made = self._made.get(key)
        if made is not None and made[0] == state:
            return False
        try:
            context = await asyncio.to_thread(tls_context, tls)
        except OSError as error:
            raise unusable(error) from None
        self._made[key] = state, context
        return True


def _key(tls: Tls) -> Tls:
    return tls.model_copy(update={"server_name": None})


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
        reason = "no PEM, or certificate and key are no pair"
    else:
        reason = error.strerror or error.__class__.__name__
    return ProxyError(
        Fault.CREDENTIAL_UNREADABLE, f"a file of the `tls` keys cannot be used: {reason}"
    )
