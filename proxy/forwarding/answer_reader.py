"""Reading the head of an upstream's answer: what it says, and what of it goes on. Pure.

As strict as `head_reader.py`, and for the same reasons in one pass of our own: what two readers
might read differently (several lengths, a length beside a coding, a folded line) is nobody's answer
and raises `ProxyError` (`upstream_misspoke`). Hop-by-hop fields and what `Connection` names stay
here.
"""

from __future__ import annotations

import re

from proxy.errors import Fault, ProxyError
from proxy.forwarding.head import HARMLESS_OPTIONS, HOP_BY_HOP, KEEP_ALIVE, Field, persists
from proxy.forwarding.head_reader import TEXT, TOKEN

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (.*))?\Z", re.DOTALL)
# `Trailer` is no hop-by-hop field, and the trailers of answers do go on.
_NOTED = (HOP_BY_HOP - {b"trailer"}) | {b"content-length"}
_MERGED = HOP_BY_HOP | {b"content-length"}
_REMEMBERED_MAX = 256
_REMEMBERED_BYTES_MAX = 64
_LENGTH_DIGITS_MAX = 18


class AnswerHead:
    """An answer's head, ready to go on: `lines` begin with the status line and have no line ends.

    Hop-by-hop fields are gone from them. Exactly one of three holds where a body may follow:
    `content_length` is not None, `chunked`, or the body ends with the connection (`until_close`).
    """

    __slots__ = (
        "block",
        "bodiless",
        "chunked",
        "content_length",
        "keep_alive",
        "lines",
        "minor",
        "named",
        "reason",
        "rechunked",
        "status",
    )

    def __init__(self, block: bytes, minor: int, status: int, reason: bytes) -> None:
        self.block = block
        self.minor = minor
        self.status = status
        self.reason = reason
        self.lines: list[bytes] = []
        self.bodiless = status == 204 or status == 304 or status < 200  # noqa: PLR1714 - made often
        self.named: frozenset[bytes] = frozenset()
        """What `Connection` names, to be kept out of the trailers too."""
        self.content_length: int | None = None
        self.chunked = False
        self.rechunked = False
        """It goes on in chunks, though it came until the end of its connection."""
        self.keep_alive = minor == 1

    @property
    def until_close(self) -> bool:
        """Whether the body ends with the connection."""
        return not self.bodiless and not self.chunked and self.content_length is None

    @property
    def fields(self) -> list[Field]:
        """All fields as they came."""
        pairs = (line.partition(b":") for line in self.block.split(b"\r\n")[1:])
        return [(name, value.strip(b" \t")) for name, _, value in pairs]


class AnswerReader:
    """Reads heads of answers, and remembers names and status lines, as they recur."""

    def __init__(self, *, fields_max: int) -> None:
        self._fields_max = fields_max
        self._names: dict[bytes, bytes] = {}
        self._status_lines: dict[bytes, tuple[int, int, bytes, bytes]] = {}

    def read(self, block: bytes, *, to_head: bool) -> AnswerHead:
        """Return the head that is `block`, the bytes before the empty line that ends it.

        `to_head`: it answers HEAD, so that no body follows. Raises `ProxyError`.
        """
        came = block.split(b"\r\n")
        if block.translate(None, TEXT) != b"\r\n" * (len(came) - 1):
            raise misspoke("its head holds control characters or line ends that are not CR LF")
        if len(came) > self._fields_max + 1:
            raise misspoke(
                "its head has more fields than limits.header_fields_max", limit="header_fields_max"
            )
        first = came[0]
        known_line = self._status_lines.get(first)
        if known_line is None:
            known_line = self._status_line(first)
        minor, status, reason, line = known_line
        answer = AnswerHead(block, minor, status, reason)
        if to_head:
            answer.bodiless = True
        lines = answer.lines
        lines.append(line)
        known = self._names
        options: set[bytes] | None = None
        del came[0]
        for line in came:
            name, colon, value = line.partition(b":")
            lower = known.get(name)
            if lower is None or not colon:
                lower = self._name(name, colon)
            if lower in _NOTED:
                if lower == b"connection":
                    value = value.strip(b" \t")
                    if value not in KEEP_ALIVE or answer.minor == 0:
                        options = options or set()
                        options.update(each.strip(b" \t").lower() for each in value.split(b","))
                elif lower == b"content-length":
                    _take_length(answer, name, value.strip(b" \t"))
                elif lower == b"transfer-encoding":
                    _take_coding(answer, value.strip(b" \t"))
            else:
                lines.append(line)
        if answer.chunked and answer.content_length is not None:
            raise misspoke("it has both Content-Length and Transfer-Encoding")
        if options is not None:
            _take_options(answer, options)
        return answer

    def _status_line(self, line: bytes) -> tuple[int, int, bytes, bytes]:
        match = _STATUS_LINE.match(line)
        if match is None:
            raise misspoke("it does not begin with a status line of HTTP/1.1")
        if len(self._status_lines) >= _REMEMBERED_MAX:
            self._status_lines.clear()
        minor, status, reason = int(match[1]), int(match[2]), match[3] or b""
        written = b"HTTP/1.1 %d %b" % (status, reason)
        read = (minor, status, reason, written)
        if len(line) <= _REMEMBERED_BYTES_MAX:
            self._status_lines[line] = read
        return read

    def _name(self, name: bytes, colon: bytes) -> bytes:
        if not colon or not TOKEN.match(name):
            raise misspoke("a field's name is malformed")
        lower = name.lower()
        if lower.replace(b"_", b"-") in _MERGED and lower not in _MERGED:
            # Content_Length is framing where `_` and `-` are merged: it goes the way of its like.
            lower = b"keep-alive"
        if len(name) <= _REMEMBERED_BYTES_MAX:
            if len(self._names) >= _REMEMBERED_MAX:
                self._names.clear()
            self._names[name] = lower
        return lower


def _take_length(answer: AnswerHead, name: bytes, value: bytes) -> None:
    if not value.isdigit() or len(value) > _LENGTH_DIGITS_MAX or answer.content_length is not None:
        raise misspoke("its Content-Length is not one number")
    answer.content_length = int(value)
    if answer.status >= 200 and answer.status != 204:
        # RFC 9110 §8.6: else not there.
        answer.lines.append(b"%b: %d" % (name, answer.content_length))


def _take_coding(answer: AnswerHead, value: bytes) -> None:
    if answer.chunked or answer.minor == 0 or value.lower() != b"chunked":
        raise ProxyError(
            Fault.UPSTREAM_MISSPOKE,
            "the answer's transfer coding is not one `chunked`",
            proxy_status="http_response_transfer_coding",
        )
    answer.chunked = True


def _take_options(answer: AnswerHead, options: set[bytes]) -> None:
    """Read what `Connection` says, and take away what it names (RFC 9110 §7.6.1)."""
    answer.keep_alive = persists(options, answer.minor)
    if not options <= HARMLESS_OPTIONS:
        answer.named = frozenset(options)
        options.discard(b"content-length")
        answer.lines[1:] = [
            line for line in answer.lines[1:] if line.partition(b":")[0].lower() not in options
        ]


def misspoke(what: str, *, limit: str | None = None) -> ProxyError:
    """Return the error for an answer that is none, or one beyond a `limit`."""
    return ProxyError(
        Fault.UPSTREAM_MISSPOKE, f"the upstream's answer is broken: {what}", limit=limit
    )
