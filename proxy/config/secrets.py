"""A secret's source: a value known at start, or a file that is read each time it is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proxy.errors import Fault, ProxyError
from proxy.model import Secret


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret comes from. Exactly one of `value` and `file` is set."""

    value: Secret | None = None
    file: Path | None = None

    def read(self) -> Secret:
        """Return the secret as it is now; of a file, one trailing newline is not part of it.

        Raises `ProxyError` `credential_unreadable` when the file cannot be read, is empty, or is
        no UTF-8.
        """
        if self.value is not None:
            return self.value
        assert self.file is not None  # noqa: S101 - the class's own invariant
        try:
            text = self.file.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ProxyError(
                Fault.CREDENTIAL_UNREADABLE, f"the secret file cannot be read: {reason}"
            ) from None
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise ProxyError(Fault.CREDENTIAL_UNREADABLE, "the secret file is empty")
        return Secret(text)
