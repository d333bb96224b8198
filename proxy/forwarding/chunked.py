"""Reading a body in chunks (RFC 9112 §7.1), strictly. Pure.

What is strict: a size is one to sixteen hexadecimal digits with nothing around them, every line
ends with CR LF, and data ends where its size says. Extensions are read over and dropped, as a
recipient must with those it does not know; sizes and trailers are bounded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.forwarding.refusal import broken_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.errors import ProxyError

_SIMPLE_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?\Z")
_TRAILER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\Z")
SIZE_LINE_BYTES_MAX = 1024
EXTENSION_BYTES_MAX = 16384
"""Of all extensions of a body together: they carry nothing, and cost time to read."""
PIECE_BYTES = 64
"""What a piece takes besides its bytes: a million chunks of a byte are more than a megabyte."""


class ChunkedReader:
    """Takes a body's bytes as they come; `pieces` are the data found so far, for others to take.

    `found_bytes` is what the pieces found by the last `feed` take.
    `complete` is True once the body and its trailer section are over. `broken` makes the error for
    what is wrong with a body that "has" it.
    """

    __slots__ = (
        "_broken",
        "_extension_bytes",
        "_fields_max",
        "_in_trailers",
        "_left",
        "_line",
        "_trailer_bytes",
        "_trailer_bytes_max",
        "complete",
        "found_bytes",
        "pieces",
        "trailers",
    )

    def __init__(
        self,
        *,
        trailer_bytes_max: int,
        fields_max: int,
        broken: Callable[[str], ProxyError] = broken_body,
    ) -> None:
        self._broken = broken
        self._trailer_bytes_max = trailer_bytes_max
        self._fields_max = fields_max
        self._line = b""
        # Of the chunk: its data and the two bytes of the line end behind them.
        self._left = 0
        self._in_trailers = False
        self._trailer_bytes = 0
        self._extension_bytes = 0
        self.complete = False
        self.found_bytes = 0
        self.pieces: list[bytes] = []
        self.trailers: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> bytes:
        """Take bytes in; return what comes behind the body. Raises what `broken` makes."""
        at = 0
        end = len(data)
        before = len(self.pieces)
        while at < end:
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                self.pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
            elif self._left:
                if data[at] != (13 if self._left == 2 else 10):
                    raise self._broken("has a chunk that does not end where its size says")
                at += 1
                self._left -= 1
            else:
                at = self._take_whole_chunks(data, at)
                if at < end and not self._left:
                    at = self._take_line(data, at)
                if self.complete:
                    break
        found = self.pieces[before:]
        self.found_bytes = sum(map(len, found)) + PIECE_BYTES * len(found)
        return data[at:]

    def _take_whole_chunks(self, data: bytes, at: int) -> int:
        """Take the chunks that are wholly here and have no extensions; return where to go on.

        That is how nearly all come, and small ones by the thousand.
        """
        if self._line or self._in_trailers:
            return at
        while size := _SIMPLE_SIZE.match(data, at):
            begin = size.end()
            stop = begin + int(size[1], 16)
            if stop == begin or data[stop : stop + 2] != b"\r\n":
                break
            self.pieces.append(data[begin:stop])
            at = stop + 2
        return at

    def _take_line(self, data: bytes, at: int) -> int:
        """Take a line, or the beginning of one; return where to go on."""
        found = data.find(b"\n", at)
        stop = len(data) if found < 0 else found + 1
        line = self._line + data[at:stop]
        if len(line) > (self._trailer_bytes_max if self._in_trailers else SIZE_LINE_BYTES_MAX):
            raise self._broken("has a line in its framing that is too long")
        if found < 0:
            # What can be seen to be wrong already is not waited for.
            if line[:-1].find(b"\r") >= 0:
                raise self._broken("has a line in its framing that does not end with CR LF")
            self._line = line
            return stop
        self._line = b""
        if line[-2:] != b"\r\n" or line.find(b"\r") != len(line) - 2:
            raise self._broken("has a line in its framing that does not end with CR LF")
        if self._in_trailers:
            self._take_trailer(line[:-2])
        else:
            self._take_size(line[:-2])
        return stop

    def _take_size(self, line: bytes) -> None:
        size = _SIZE.match(line)
        if size is None:
            raise self._broken("has a chunk whose size is malformed")
        digits = size[1]
        self._extension_bytes += len(line) - len(digits)
        if self._extension_bytes > EXTENSION_BYTES_MAX:
            raise self._broken("has too many chunk extensions")
        length = int(digits, 16)
        if length:
            self._left = length + 2
        else:
            self._in_trailers = True

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self.complete = True
            return
        self._trailer_bytes += len(line)
        field = _TRAILER.match(line)
        if field is None:
            raise self._broken("has a malformed trailer")
        self.trailers.append((field[1], field[2].strip(b" \t")))
        if self._trailer_bytes > self._trailer_bytes_max or len(self.trailers) > self._fields_max:
            error = self._broken("has more trailers than `limits` allow")
            error.limit = "header_fields_max"
            raise error
