"""Where a proof of who we are comes from: a value known at start, or a file read when wanted.

Mounted secrets are swapped by renaming a symlink of their directory, and a path that is opened
anew always finds the present one. What a file held at start is kept beside it, for whoever finds
it gone later. Reading blocks: the file is to be on a local file system.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.model import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.config.proof import Proof

FILE_BYTES_MAX = 65536
"""A longer secret file is a mistake (a device, a log), not a secret."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret comes from. Exactly one of `value` and `file` is set."""

    value: Secret | None = None
    file: Path | None = None
    first: Secret | None = field(default=None, compare=False)
    """What the file held at start. A pipe can be read only then."""
    proof: Proof | None = field(default=None, compare=False, repr=False)
    """What value or first reading mean, where they are this client's proof."""
    what: str = field(default="secret", compare=False)
    """What it is, for messages."""

    def read(self) -> Secret:
        """Return the secret as it is now; of a file, one trailing newline is not part of it.

        Raises `ProxyError` `credential_unreadable` when the file cannot be read, is empty, longer
        than `FILE_BYTES_MAX`, no UTF-8, or a pipe that was read at start.
        """
        if self.value is not None:
            return self.value
        assert self.file is not None
        try:
            with open(self.file, "rb", opener=self._opened) as file:
                content = file.read(FILE_BYTES_MAX + 1)
            text = content.decode()
        except OSError as error:
            raise self.unusable(f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self.unusable("is not UTF-8") from None
        if len(content) > FILE_BYTES_MAX:
            raise self.unusable(f"is longer than {FILE_BYTES_MAX} bytes")
        if text.endswith("\n"):
            text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise self.unusable("is empty")
        return Secret(text)

    def unusable(self, reason: str) -> ProxyError:
        """Return the error that the file, or what it holds, cannot be used for this reason."""
        return ProxyError(Fault.CREDENTIAL_UNREADABLE, f"the {self.what} file {reason}")

    def _opened(self, path: str, flags: int) -> int:
        if self.first is None:
            return os.open(path, flags)
        # Opening a pipe without a writer would wait for one, and everything with it.
        descriptor = os.open(path, flags | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self.unusable("is no regular file, and was read at start")
        return descriptor
