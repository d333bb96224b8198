"""An upstream for large bodies: sends one of any size, takes one and counts it, at little cost.

It prints its port on standard output and serves until it is ended:

- `GET /download/N` is answered by N bytes;
- `PUT /upload` by the number of bytes that came, once they are all there;
- `GET /handshake` by the TLS version and cipher suite;
- one path that is given by one body that is given.

Whoever comes without the credential gets 401 and is cut off. Bodies are framed by `Content-Length`
alone. There is a thread for each connection, with blocking sockets and one buffer, so that with TLS
too nearly all of the time goes to the kernel and to OpenSSL, for which the interpreter's lock is
released.
"""

from __future__ import annotations

import argparse
import re
import socket
import ssl
import threading
from dataclasses import dataclass

from surroundings import HANDSHAKE_PATH

BLOCK_BYTES = 262144
BLOCK = memoryview(bytes(BLOCK_BYTES))


@dataclass(frozen=True)
class Content:
    """What is asked for, and what is given."""

    token: bytes
    path: bytes
    body: bytes


def serve(content: Content, tls: ssl.SSLContext | None) -> None:
    """Serve on a loopback port that the kernel chooses, for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            sock, _ = listening.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_converse, args=(sock, tls, content), daemon=True).start()


def _converse(sock: socket.socket, tls: ssl.SSLContext | None, content: Content) -> None:
    """Answer one request after another until the other side has had enough."""
    try:
        with tls.wrap_socket(sock, server_side=True) if tls else sock as connection:
            while _answer(connection, content):
                pass
    except OSError:
        # A peer that leaves in the middle: the client sees what is missing, and says so.
        return


def _answer(connection: socket.socket, content: Content) -> bool:
    head, rest = _head(connection)
    if not head:
        return False
    credential = re.search(rb"(?i)\r\nauthorization: bearer ([^\r]*)\r\n", head)
    if credential is None or credential[1] != content.token:
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        return False
    target = head.split(b" ", 2)[1]
    if target.startswith(b"/download/"):
        _send(connection, int(target.removeprefix(b"/download/")))
        return True
    body = b""
    if target == b"/upload":
        body = b"%d" % _received(connection, head, len(rest))
    elif target == content.path:
        body = content.body
    elif target == HANDSHAKE_PATH.encode() and isinstance(connection, ssl.SSLSocket):
        cipher = connection.cipher()
        body = f"{connection.version()} {cipher and cipher[0]}".encode()
    status = b"200 OK" if body else b"404 Not Found"
    connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
    return True


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read a request's head and what came behind it; both are empty at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, end, rest = data.partition(b"\r\n\r\n")
    return head + end[:2], rest


def _received(connection: socket.socket, head: bytes, count: int) -> int:
    """Take the body, of which `count` bytes are here; return its length."""
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", head)
    if length is None:
        raise ConnectionAbortedError("no Content-Length")
    buffer = bytearray(BLOCK_BYTES)
    while count < int(length[1]):
        more = connection.recv_into(buffer)
        if not more:
            raise ConnectionAbortedError("the body broke off")
        count += more
    return count


def _send(connection: socket.socket, left: int) -> None:
    """Answer with so many bytes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
    while left:
        block = BLOCK[:left]
        connection.sendall(block)
        left -= len(block)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--token", required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", required=True)
    parser.add_argument("--certificate", help="PEM, with its key; without it there is no TLS")
    return parser.parse_args()


if __name__ == "__main__":
    settings = _arguments()
    context = None
    if settings.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate)
    serve(Content(settings.token.encode(), settings.path.encode(), settings.body.encode()), context)
