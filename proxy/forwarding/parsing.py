"""An upstream's answer, put together from the bytes that come. No I/O.

One parser serves all exchanges of a connection; `begin` says that another answer is awaited.
Whatever comes beyond the answer that was asked for sets `surplus`, and is never part of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.forwarding.answer_reader import AnswerReader, misspoke
from proxy.forwarding.chunked import ChunkedReader
from proxy.forwarding.head_reader import misplaced_control
from proxy.forwarding.upgrade import is_websocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.forwarding.answer_reader import AnswerHead
    from proxy.forwarding.head import Field


class AnswerParser:
    """See the module's docstring. `on_interim` is told 1xx answers, but for 101."""

    __slots__ = (
        "_chunked",
        "_fields_max",
        "_head_bytes_max",
        "_left",
        "_pending",
        "_pieces",
        "_reader",
        "_scanned",
        "_to_head",
        "_websocket",
        "buffered_bytes",
        "complete",
        "head",
        "on_interim",
        "received_bytes",
        "status",
        "surplus",
        "switched",
    )

    def __init__(self, *, head_bytes_max: int, fields_max: int) -> None:
        self._head_bytes_max = head_bytes_max
        self._fields_max = fields_max
        self._reader = AnswerReader(fields_max=fields_max)
        self._to_head = False
        self._websocket = False
        self._pending = b""
        self._scanned = 0
        self._left = 0
        self._chunked: ChunkedReader | None = None
        self._pieces: list[bytes] = []
        self.on_interim: Callable[[AnswerHead], None] | None = None
        self.head: AnswerHead | None = None
        """The final answer's head, once it is here."""
        self.status = 0
        self.complete = True
        self.surplus = False
        self.switched = False
        """The protocol was switched: what comes now is to be taken as it is."""
        self.received_bytes = 0
        self.buffered_bytes = 0

    @property
    def trailers(self) -> list[Field]:
        """The trailer section, once the answer is complete."""
        return [] if self._chunked is None else self._chunked.trailers

    def begin(self, *, to_head: bool, websocket: bool = False) -> None:
        """Await another answer; to HEAD it has no body, whatever its fields say.

        `websocket`: the switch to it was asked for.
        """
        self._to_head = to_head
        self._websocket = websocket
        self.complete = self.switched = False
        self.head = self._chunked = None
        self._pending = b""
        self._pieces = []
        self._left = self._scanned = self.received_bytes = self.buffered_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take bytes in. Raises `ProxyError` (`upstream_misspoke`)."""
        if self.complete:
            self.surplus = True
            return
        self.received_bytes += len(data)
        if self.head is None:
            data = self._take_heads(data)
            if not data:
                return
        if self._chunked is not None:
            self._take_chunks(data)
        elif self.switched or self._left < 0:
            self._take_piece(data)
        elif not self._left:
            self.surplus = True
        else:
            if len(data) > self._left:
                data = data[: self._left]
                self.surplus = True
            self._left -= len(data)
            self.complete = not self._left
            self._take_piece(data)

    def _take_heads(self, data: bytes) -> bytes:
        """Take interim heads and the final one; return what comes behind it."""
        if self._pending:
            data = self._pending + data
        while True:
            found = data.find(b"\r\n\r\n", self._scanned)
            # All together are bounded, so that no storm of interim answers goes on for ever.
            read = self.received_bytes - (len(data) - found if found >= 0 else 0)
            if read > self._head_bytes_max:
                raise misspoke("its head exceeds limits.head_bytes_max", limit="head_bytes_max")
            if found < 0:
                # What can be seen to be wrong already is not waited for.
                if misplaced_control(data, self._scanned):
                    raise misspoke("it is not HTTP/1.1")
                self._pending = data
                self._scanned = max(len(data) - 3, 0)
                return b""
            head = self._reader.read(data[:found], to_head=self._to_head)
            data = data[found + 4 :]
            self._scanned = 0
            self._pending = b""
            if head.status >= 200:
                self._take_final(head)
                return data
            if head.status == 101:
                self._switch(head)
                return data
            if self.on_interim is not None:
                self.on_interim(head)
            if not data:
                return data

    def _take_final(self, head: AnswerHead) -> None:
        """Read how the body is framed (RFC 9112 §6.3)."""
        self.head = head
        self.status = head.status
        if head.bodiless or head.content_length == 0:
            self.complete = True
        elif head.chunked:
            self._chunked = ChunkedReader(
                trailer_bytes_max=self._head_bytes_max,
                fields_max=self._fields_max,
                broken=_broken_body,
            )
        else:
            self._left = -1 if head.content_length is None else head.content_length

    def _switch(self, head: AnswerHead) -> None:
        if (
            not self._websocket
            or head.minor == 0
            or b"upgrade" not in head.named
            or not is_websocket(head.fields)
        ):
            raise misspoke("it switched protocols, which nobody asked for")
        self.head = head
        self.status = head.status
        self.switched = True

    def _take_chunks(self, data: bytes) -> None:
        chunked = self._chunked
        assert chunked is not None
        self.surplus = bool(chunked.feed(data))
        self.buffered_bytes += chunked.found_bytes
        self._pieces = chunked.pieces
        self.complete = chunked.complete

    def _take_piece(self, data: bytes) -> None:
        self._pieces.append(data)
        self.buffered_bytes += len(data)

    def ends_at_eof(self) -> bool:
        """Say whether the end of the connection is the end of the answer; if so, it is over."""
        if self.head is not None and self.head.until_close and not self.switched:
            self.complete = True
        return self.complete

    def has_body(self) -> bool:
        """Say whether there is something to `take`."""
        return bool(self._pieces)

    def take_pieces(self) -> list[bytes]:
        """Return what has come of the body since the last time, as it came."""
        pieces = self._pieces.copy()
        self._pieces.clear()
        self.buffered_bytes = 0
        return pieces

    def take(self) -> bytes:
        """Return the same in one."""
        pieces = self.take_pieces()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _broken_body(what: str) -> ProxyError:
    return ProxyError(Fault.UPSTREAM_MISSPOKE, f"the upstream's answer has a body that {what}")
