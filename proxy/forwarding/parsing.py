"""An upstream's answer, gathered from what llhttp reports. No I/O.

One parser serves all exchanges of a connection; `begin` says that another answer is awaited.
Whatever comes beyond the answer that was asked for sets `surplus`, and is never part of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.forwarding.head import Field


_VERSIONS = frozenset({"1.1", "1.0"})
_FIRST_BYTES = frozenset({b"HTTP/1.1", b"HTTP/1.0"})


class AnswerParser:
    """See the module's docstring. `on_interim` is told 1xx answers, but for 101."""

    def __init__(self, *, head_bytes_max: int, fields_max: int) -> None:
        self._head_bytes_max = head_bytes_max
        self._fields_max = fields_max
        self._llhttp: httptools.HttpResponseParser | None = None
        self._to_head = False
        self._version_seen = False
        self._bodiless_bytes = 0
        self._chunks: list[bytes] = []
        self.on_interim: Callable[[int, bytes, list[Field]], None] | None = None
        self.head_done = False
        self.complete = True
        self.surplus = False
        self.keep_alive = False
        self.received_bytes = 0
        self.buffered_bytes = 0
        self.status = 0
        self.reason = b""
        self.fields: list[Field] = []
        self.trailers: list[Field] = []

    def begin(self, *, to_head: bool) -> None:
        """Await another answer; to HEAD it has no body, whatever its fields say."""
        self._to_head = to_head
        self.head_done = self.complete = False
        self.fields = []
        self.trailers = []
        self._chunks.clear()
        self.received_bytes = self.buffered_bytes = self._bodiless_bytes = 0
        if self._llhttp is None:
            self._llhttp = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes in. Raises `ProxyError` (`upstream_misspoke`)."""
        if self.complete or self._llhttp is None:
            self.surplus = True
            return
        if not self.received_bytes:
            # Nearly always the whole status line comes at once; asking llhttp is dearer.
            self._version_seen = data[:8] in _FIRST_BYTES
        self.received_bytes += len(data)
        buffered_before = self.buffered_bytes
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise _misspoke("the upstream switched protocols, which nobody asked for") from None
        except httptools.HttpParserError:
            self.surplus = self._is_over()
            if not self.surplus:
                raise _misspoke("the upstream's answer is not HTTP/1.1") from None
        if self.head_done and not self.complete:
            # Trailers and chunk extensions are gathered by llhttp without a bound of its own.
            grown = self.buffered_bytes > buffered_before
            self._bodiless_bytes = 0 if grown else self._bodiless_bytes + len(data)
            if self._bodiless_bytes > self._head_bytes_max:
                raise _misspoke("the trailers of the answer exceed limits.head_bytes_max")
        if not self.head_done and self.received_bytes > self._head_bytes_max:
            raise _misspoke("the head of the upstream's answer exceeds limits.head_bytes_max")
        if self._to_head and self._is_over():
            # llhttp knows nothing of HEAD and would wait for the body; the next answer is new.
            self._llhttp = None

    def ends_at_eof(self) -> bool:
        """Say whether the end of the connection is the end of the answer; if so, it is over."""
        framing = {b"content-length", b"transfer-encoding"}
        if self.head_done and not any(name.lower() in framing for name, _ in self.fields):
            self.complete = True
        return self.complete

    def has_body(self) -> bool:
        """Say whether there is something to `take`."""
        return bool(self._chunks)

    def take(self) -> bytes:
        """Return what has come of the body since the last time."""
        if not self._chunks:
            return b""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self.buffered_bytes = 0
        return data

    def forget(self) -> None:
        """Let go of llhttp: it holds our methods, a cycle that reference counting cannot see."""
        self._llhttp = None
        self.on_interim = None

    def _is_over(self) -> bool:
        return self.complete

    def _says_close(self) -> bool:
        assert self._llhttp is not None
        return self._llhttp.get_http_version() != "1.1" or any(
            name.lower() == b"connection" and b"close" in value.lower()
            for name, value in self.fields
        )

    def _head_bytes(self) -> int:
        return len(self.reason) + sum(len(name) + len(value) for name, value in self.fields)

    # What llhttp reports.

    def on_message_begin(self) -> None:
        """Begin an answer, interim or final."""
        if self.complete:
            self.surplus = True
            raise ValueError("an answer nobody asked for")
        self.reason = b""
        self.fields = []

    def on_status(self, reason: bytes) -> None:
        """Take the reason phrase, which may come in pieces."""
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head, or of the trailer section."""
        fields = self.trailers if self.head_done else self.fields
        fields.append((name, value))
        if len(fields) > self._fields_max:
            raise ValueError("too many fields")

    def on_headers_complete(self) -> None:
        """See whether this is the final head."""
        assert self._llhttp is not None
        if not self._version_seen and self._llhttp.get_http_version() not in _VERSIONS:
            raise ValueError("not a version that is spoken here")
        # Only then may a head that is complete be too large.
        if self.received_bytes > self._head_bytes_max and self._head_bytes() > self._head_bytes_max:
            raise ValueError("too large a head")
        self.status = self._llhttp.get_status_code()
        if self.status >= 200:
            self.head_done = True
            self.keep_alive = self._llhttp.should_keep_alive()
            if self._to_head:
                self.complete = True
                # llhttp would wait for an end that an answer to HEAD does not need.
                self.keep_alive = self.keep_alive or not self._says_close()

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self.complete:
            self.surplus = True
            raise ValueError("a body where none may be")
        self._chunks.append(data)
        self.buffered_bytes += len(data)

    def on_message_complete(self) -> None:
        """End the exchange, or pass an interim answer on."""
        if self.head_done:
            self.complete = True
        elif self.status != 101 and self.on_interim is not None:
            self.on_interim(self.status, self.reason, self.fields)
        # What follows an interim answer begins with a version of its own.
        self._version_seen = False


def _misspoke(detail: str) -> ProxyError:
    return ProxyError(Fault.UPSTREAM_MISSPOKE, detail)
