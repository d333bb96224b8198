"""A secret's source: a value known at start, or a file that is read each time it is wanted.

Nothing is cached here: mounted secrets are swapped by renaming a symlink of their directory, and
a path that is opened anew always finds the present one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.model import Secret

if TYPE_CHECKING:
    from pathlib import Path

FILE_BYTES_MAX = 65536
"""A longer secret file is a mistake (a device, a log), not a secret."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret comes from. Exactly one of `value` and `file` is set."""

    value: Secret | None = None
    file: Path | None = None

    def read(self) -> Secret:
        """Return the secret as it is now; of a file, one trailing newline is not part of it.

        Raises `ProxyError` `credential_unreadable` when the file cannot be read, is empty, longer
        than `FILE_BYTES_MAX`, or no UTF-8.
        """
        if self.value is not None:
            return self.value
        assert self.file is not None
        try:
            with self.file.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
            text = content.decode()
        except OSError as error:
            raise _unreadable(f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise _unreadable("is not UTF-8") from None
        if len(content) > FILE_BYTES_MAX:
            raise _unreadable(f"is longer than {FILE_BYTES_MAX} bytes")
        if text.endswith("\n"):
            text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise _unreadable("is empty")
        return Secret(text)


def _unreadable(reason: str) -> ProxyError:
    return ProxyError(Fault.CREDENTIAL_UNREADABLE, f"the secret file {reason}")
