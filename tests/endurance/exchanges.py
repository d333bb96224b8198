"""What an exchange of the endurance tests consists of, known to both ends by its number alone.

Callers and upstream work out bodies from the number, so that either end can tell a mangled body, a
part of one, and one that belongs to another exchange.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from endurance.sizes import SEED

if TYPE_CHECKING:
    from conformance.wire import Head

NUMBER = "X-Number"
"""The field that carries an exchange's number, on requests and on answers."""
METHODS = (b"GET", b"POST", b"PUT")
_SIZES = (0, 1, 100, 2000, 20_000, 200_000)
_SIZE_WEIGHTS = (1, 2, 4, 4, 2, 1)


def chance(*about: object) -> random.Random:
    """Return what draws the same for the same seed and things, in whatever order they come."""
    return random.Random("/".join(map(str, (SEED, *about))))


def method(number: int) -> bytes:
    """Return the request's method."""
    return chance("method", number).choice(METHODS)


def request_body(number: int) -> bytes:
    """Return the body of the request."""
    return _body(b"asked", number) if method(number) != b"GET" else b""


def answer_body(number: int) -> bytes:
    """Return the body of the answer."""
    return _body(b"said", number)


def request(number: int, *, minor: int = 1, under: bytes = b"") -> bytes:
    """Return the request's bytes; some bodies are chunked. `under`: what its path begins with."""
    body = request_body(number)
    fields = b"Host: localhost\r\n%b: %d\r\n" % (NUMBER.encode(), number)
    if method(number) == b"GET":
        framed = b"\r\n"
    elif minor and chance("framing", number).random() < 0.3:
        framed = b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, 7000)
    else:
        framed = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    line = b"%b %b/%d HTTP/1.%d\r\n" % (method(number), under, number, minor)
    return line + fields + framed


def chunked(body: bytes, size: int, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return the body in chunks of at most `size` bytes, `end` behind them."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def number_of(head: Head) -> int | None:
    """Return the number that a head names, None if it names none."""
    values = head.values(NUMBER)
    return int(values[0]) if len(values) == 1 else None


def _body(word: bytes, number: int) -> bytes:
    drawn = chance(word, number)
    (size,) = drawn.choices(_SIZES, _SIZE_WEIGHTS)
    line = b"%b %d %08x\n" % (word, number, drawn.getrandbits(32))
    return (line * (size // len(line) + 1))[:size]
