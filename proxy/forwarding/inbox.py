"""What came from a caller and is not looked at yet; heads are cut out of it one at a time. Pure."""

from __future__ import annotations

import re

from proxy.errors import Fault, ProxyError
from proxy.forwarding.head_reader import misplaced_control
from proxy.forwarding.refusal import head_too_large

_LINE_ENDS = re.compile(rb"(?:\r\n)+")


class Inbox:
    """See the module's docstring. `data` is what is here."""

    __slots__ = ("_head_bytes_max", "_scanned", "data")

    def __init__(self, head_bytes_max: int) -> None:
        self._head_bytes_max = head_bytes_max
        # How much of `data` holds no end of a head.
        self._scanned = 0
        self.data = b""

    def add(self, data: bytes) -> None:
        """Take more in."""
        self.data = self.data + data if self.data else data

    def next_head(self) -> bytes | None:
        """Return the next head without the empty line that ends it; None if it is not complete.

        Raises `ProxyError` for what cannot become one: `head_too_large`, `bad_request`.
        """
        data = self.data
        if not data:
            return None
        if data[:2] == b"\r\n":
            # Line ends before a request are no head (RFC 9112 §2.2).
            ends = _LINE_ENDS.match(data)
            data = self.data = data[ends.end() :] if ends else data
            self._scanned = 0
        found = data.find(b"\r\n\r\n", max(self._scanned - 3, 0))
        if (len(data) if found < 0 else found) > self._head_bytes_max:
            raise head_too_large()
        if found < 0:
            # What can be seen to be wrong already is not waited for.
            if misplaced_control(data, self._scanned):
                raise ProxyError(Fault.BAD_REQUEST, "what came is not HTTP/1.1")
            self._scanned = len(data)
            return None
        self.data = data[found + 4 :]
        self._scanned = 0
        return data[:found]
