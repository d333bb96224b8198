"""Odd messages out of good ones: a few changes by chance, of the kinds that confuse parsers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\x00",
        b"\x0b",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"\xff",
    ),
    *(
        b"0\r\n\r\n",
        b"0",
        b"00",
        b"+",
        b"-",
        b"0x",
        b"ffffffffffffffff",
        b"99999999999999999999",
    ),
    *(
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"chunked",
        b"Chunked",
        b"gzip",
        b"close",
        b"_",
    ),
    *(b"Content-Length: 5\r\n", b"content-length: 0\r\n", b"Content-Length: 7\r\n"),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding:\r\n",
    ),
    *(
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Upgrade: websocket\r\n",
    ),
)
_NUMBER = re.compile(rb"[0-9A-Fa-f]+")
_CHANGES_MAX = 4
_PIECE_BYTES_MAX = 24
SEGMENT_BYTES = (1500, 65536)


class Mutator:
    """Makes messages from `corpus`, which it does not change."""

    def __init__(self, corpus: Sequence[bytes]) -> None:
        self._corpus = corpus
        self._changes: tuple[Callable[[Random, bytes], bytes], ...] = (
            _delete,
            _double,
            _flip,
            _insert,
            _edit_number,
            _drop_line,
            _double_line,
            _swap_lines,
            _change_case,
            _cut_off,
            self._splice,
        )

    def make(self, chance: Random) -> bytes:
        """Return a message of the corpus, changed in none to four places."""
        data = chance.choice(self._corpus)
        for _ in range(chance.randrange(_CHANGES_MAX + 1)):
            data = chance.choice(self._changes)(chance, data)
        return data

    def _splice(self, chance: Random, data: bytes) -> bytes:
        """Go on as another message does."""
        other = chance.choice(self._corpus)
        return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def cuts(chance: Random, length: int) -> tuple[int, ...]:
    """Return where to cut a message: nowhere, in a few places, or at every byte."""
    kind = chance.randrange(10)
    if kind < 4 or length < 2:
        return ()
    if kind == 4 and length < 500:
        return tuple(range(1, length))
    return tuple(sorted({chance.randrange(1, length) for _ in range(chance.randint(1, 6))}))


def stream(
    chance: Random, mutator: Mutator, large: Sequence[bytes], *, large_one_in: int
) -> tuple[bytes, tuple[int, ...]]:
    """Return a message and where it is cut: a mutation, or now and then a large one as it is."""
    if chance.randrange(large_one_in):
        data = mutator.make(chance)
        return data, cuts(chance, len(data))
    data = chance.choice(large)
    size = chance.choice(SEGMENT_BYTES)
    return data, tuple(range(size, len(data), size))


def segments(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Return the data cut at these places; there is no empty segment."""
    ends = [*(cut for cut in cuts if cut < len(data)), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if start < end]


def _piece(chance: Random, data: bytes) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    return start, min(start + chance.randint(1, _PIECE_BYTES_MAX), len(data))


def _delete(chance: Random, data: bytes) -> bytes:
    start, end = _piece(chance, data)
    return data[:start] + data[end:]


def _double(chance: Random, data: bytes) -> bytes:
    start, end = _piece(chance, data)
    return data[:end] + data[start:]


def _flip(chance: Random, data: bytes) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def _insert(chance: Random, data: bytes) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.choice(TOKENS) + data[at:]


def _edit_number(chance: Random, data: bytes) -> bytes:
    """Make a length or a size a little more, a little less, or something else."""
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return data
    number = chance.choice(numbers)
    value = int(number[0][:8], 16) + chance.choice((-1, 1, 2, 16))
    written = chance.choice(
        (b"%d" % max(value, 0), b"%x" % max(value, 0), b"0" + number[0], b"", b"5, 5")
    )
    return data[: number.start()] + written + data[number.end() :]


def _lines(data: bytes) -> list[bytes]:
    return data.split(b"\r\n")


def _drop_line(chance: Random, data: bytes) -> bytes:
    lines = _lines(data)
    del lines[chance.randrange(len(lines))]
    return b"\r\n".join(lines)


def _double_line(chance: Random, data: bytes) -> bytes:
    lines = _lines(data)
    lines.insert(chance.randint(0, len(lines)), chance.choice(lines))
    return b"\r\n".join(lines)


def _swap_lines(chance: Random, data: bytes) -> bytes:
    lines = _lines(data)
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def _change_case(chance: Random, data: bytes) -> bytes:
    start, end = _piece(chance, data)
    return data[:start] + data[start:end].swapcase() + data[end:]


def _cut_off(chance: Random, data: bytes) -> bytes:
    return data[: chance.randint(0, len(data))]
