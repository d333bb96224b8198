"""TLS to an upstream, read and written by OpenSSL on the socket itself.

The loops' own TLS carries every byte through two memory buffers, which large bodies pay for.

Rules:

- `eof_received` means close_notify. A bare FIN, which anybody can forge, is a connection lost.
- OpenSSL may have to write in order to read, and read in order to write (key updates,
  renegotiation). What could not be done is tried again when the socket is ready for what it lacked.
- A write that OpenSSL has refused must be offered again as it was. So what waits is offered in
  slices that never change: a record each, for what OpenSSL holds back of one cannot be counted.
- What OpenSSL has decrypted and not given out never wakes the loop. Whole records are read (RFC
  8446 §5.1 bounds them), so that nothing stays.
- uvloop stops watching a socket that has an error, a reset for example, after it told so once.
  Before reading stops short of what there is, the socket is asked for one.
- When the peer takes no more, what it said before is read yet: an upload may be answered early.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from typing import cast

RECORD_BYTES_MAX = 16384
TURN_BYTES_MAX = 262144
"""How much is read, or written, before other connections get their turn."""
WAITING_BYTES_HIGH = 65536
WAITING_BYTES_LOW = 16384
CLOSE_SECONDS = 10.0
"""How long a peer may take nothing of what is still to be sent when the connection is closed."""


class TlsTransport(asyncio.Transport):
    """See the module's docstring. Made by `open_tls`, on a socket that has shaken hands."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLSocket, protocol: asyncio.Protocol
    ) -> None:
        extra = {"socket": tls, "ssl_object": tls, "cipher": tls.cipher()}
        super().__init__(extra | {"peername": tls.getpeername()})
        self._loop = loop
        self._tls = tls
        self._fd = tls.fileno()
        self._protocol = protocol
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = self._reads_since_write = 0
        self._watches_reads = self._watches_writes = False
        self._read_wants_write = self._write_wants_read = False
        self._paused = self._protocol_paused = False
        self._broken = self._ended = self._closing = self._lost = False
        self._error: OSError | None = None
        self._close_by: asyncio.TimerHandle | None = None
        protocol.connection_made(self)
        self._watch()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell `protocol` from now on."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def is_closing(self) -> bool:
        """Say whether it takes nothing more: it is closed, closing, or broken."""
        return self._closing or self._broken

    def is_reading(self) -> bool:
        """Say whether what comes is read."""
        return not (self._paused or self._closing)

    def pause_reading(self) -> None:
        """Tell nothing more until `resume_reading`."""
        self._paused = True  # The watch stays for now: many a pause is over before it finds more.

    def resume_reading(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._watch()
            # Watching is not enough: the end may have been seen already.
            self._loop.call_soon(self._on_readable)

    def get_write_buffer_size(self) -> int:
        """Return the bytes that neither OpenSSL nor the kernel has taken."""
        return self._waiting_bytes

    def can_write_eof(self) -> bool:
        """Say no: before TLS 1.3 the end of one direction is the end of both."""
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`; what the kernel does not take at once waits here."""
        if not data or self._closing or self._broken:
            return
        self._reads_since_write = 0
        if not self._waiting and len(data) <= RECORD_BYTES_MAX:
            try:  # So it is with nearly every request, and needs no queue.
                self._tls.write(data)
                return
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except OSError as error:
                self._break(error)
                return
        self._waiting.append(memoryview(bytes(data)))
        self._waiting_bytes += len(data)
        if len(self._waiting) == 1:
            self._flush()
        if self._waiting_bytes > WAITING_BYTES_HIGH and not self._protocol_paused:
            self._protocol_paused = True
            self._protocol.pause_writing()

    def close(self) -> None:
        """Send what waits, then close_notify; the peer's is not waited for."""
        if not self._closing:
            self._closing = True
            self._give_time()
            self._flush()

    def abort(self) -> None:
        """End it at once; what waits is lost."""
        self._lose(None)

    def _give_time(self, left_bytes: int | None = None) -> None:
        left = self._waiting_bytes
        self._close_by = self._loop.call_later(CLOSE_SECONDS, self._give_time, left)
        if left_bytes is not None and left >= left_bytes:
            self.abort()

    def _watch(self) -> None:
        alive = not self._lost
        reads = alive and (self._write_wants_read or self.is_reading())
        if reads is not self._watches_reads:
            self._watches_reads = reads
            if reads:
                self._loop.add_reader(self._fd, self._on_readable)
            else:
                self._loop.remove_reader(self._fd)
        unsent = bool(self._waiting) or self._closing
        writes = alive and (
            (unsent and not self._write_wants_read) or (self._read_wants_write and not self._paused)
        )
        if writes is not self._watches_writes:
            self._watches_writes = writes
            if writes:
                self._loop.add_writer(self._fd, self._on_writable)
            else:
                self._loop.remove_writer(self._fd)

    def _on_readable(self) -> None:
        if self._lost:
            return
        if self._write_wants_read:
            self._write_wants_read = False
            self._flush()
        if self._paused or self._closing:
            if not self._lost:
                self._watch()
            return
        self._reads_since_write += 1
        self._read_wants_write = False
        try:
            data = b"" if self._ended else self._tls.read(RECORD_BYTES_MAX)
            if data and len(data) < RECORD_BYTES_MAX and self._reads_since_write == 1:
                # The first news after a request is mostly all of the answer. To learn that from
                # OpenSSL costs an exception, to learn it from the kernel a tenth of that.
                self._look_for_error()
            elif not self._ended:
                data = self._read_on(data)
        except OSError as error:
            data = b""
            self._stop_at(error)
        try:
            if data:
                self._protocol.data_received(data)
            if self._ended and self.is_reading():
                self._tell_end()
            elif self._read_wants_write:
                self._watch()
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection is of no use
            self._loop.call_exception_handler({"message": "protocol failed", "exception": error})
            self._lose(error)

    def _on_writable(self) -> None:
        if self._read_wants_write and not self._paused:
            self._on_readable()
        if not self._lost:
            self._flush()

    def _read_on(self, data: bytes) -> bytes:
        """Read what else is there, for a turn at most; return it all, from `data` on."""
        pieces = []
        room = TURN_BYTES_MAX
        try:
            while data:
                pieces.append(data)
                room -= len(data)
                if room <= 0:
                    self._look_for_error()
                    break
                data = self._tls.read(RECORD_BYTES_MAX)
            else:
                self._stop_at(None)
        except OSError as error:
            self._stop_at(error)
        return b"".join(pieces)

    def _look_for_error(self) -> None:
        """Before reading stops early: see that the rest will be told of."""
        if failed := self._tls.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._break(OSError(failed, os.strerror(failed)))
        elif self._broken:
            self._loop.call_soon(self._on_readable)

    def _stop_at(self, error: OSError | None) -> None:
        """Take note of why OpenSSL gives no more; None and `SSLZeroReturnError`: close_notify."""
        match error:
            case ssl.SSLWantWriteError():
                self._read_wants_write = True
                return
            case ssl.SSLWantReadError():
                return
            case ssl.SSLZeroReturnError():
                self._error = None
            case ssl.SSLEOFError():
                self._error = ConnectionResetError("the peer ended without close_notify")
            case _:
                self._error = error
        self._ended = True

    def _tell_end(self) -> None:
        if self._error is None:
            self._protocol.eof_received()
            self.close()
        else:
            self._lose(self._error)

    def _flush(self) -> None:
        """Send what waits for a turn at most; when closing, close_notify behind it."""
        waiting = self._waiting
        room = TURN_BYTES_MAX
        try:
            while waiting and room > 0:
                view = waiting[0]
                sent = self._tls.write(view[:RECORD_BYTES_MAX])
                room -= sent
                self._waiting_bytes -= sent
                if sent == len(view):
                    waiting.popleft()
                else:
                    waiting[0] = view[sent:]
            if self._closing and not waiting:
                self._say_goodbye()
        except ssl.SSLWantReadError:
            self._write_wants_read = True
        except ssl.SSLWantWriteError:
            pass
        except OSError as error:
            self._break(error)
        if self._protocol_paused and self._waiting_bytes <= WAITING_BYTES_LOW:
            self._protocol_paused = False
            self._protocol.resume_writing()
        if not self._lost:
            self._watch()

    def _say_goodbye(self) -> None:
        try:
            self._tls.unwrap()
        except ssl.SSLWantWriteError:
            return
        except OSError:
            pass  # It is sent, and the peer's has not come; or there is nobody to send it to.
        self._lose(None)

    def _break(self, error: OSError) -> None:
        """Write no more; what the peer said before is read yet."""
        self._broken = True
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._closing:
            # An end that was proper stays so, whatever we still had to say.
            self._lose(None if self._ended else error)
            return
        if not self._ended:
            self._error = error
        self._flush()
        self._loop.call_soon(self._on_readable)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._close_by is not None:
            self._close_by.cancel()
        self._watch()
        self._loop.call_soon(self._protocol.connection_lost, error)
        self._loop.call_soon(self._tls.close)
