"""Whether a peer that sends no more is gone, or has only said its last word.

A caller that closes its connection and one that shuts down its sending side and waits for the
answer look the same on TCP: a FIN came. The first must end its request, the second must be
answered. Where the caller is on this machine the kernel knows more: a socket that nobody holds any
more has no inode, and Linux tells that for a single connection (sock_diag(7)). A Unix socket tells
by itself.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_HANG_UP = select.POLLHUP | select.POLLERR
_HALF_CLOSED = getattr(select, "POLLRDHUP", 0)
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_ANY_COOKIE = b"\xff" * 8
# linux/inet_diag.h: struct inet_diag_req_v2 behind a netlink header; in the answer, the inode is
# the last word of struct inet_diag_msg.
_ID = struct.Struct("!HH16s16s")
_INODE_AT = 16 + 68
_ALL_STATES = 0xFFFFFFFF


def is_gone(transport: asyncio.Transport) -> bool:
    """Say whether the peer of a connection is gone, as far as this machine can tell.

    True, too, for a peer that sends no more and of whom nothing else is known (another machine,
    another system than Linux): that is what all but a few mean by it.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        return True
    events = _events(sock.fileno())
    if events & _HANG_UP:
        return True
    if not events & _HALF_CLOSED and _HALF_CLOSED:
        return False
    if sock.family == getattr(socket, "AF_UNIX", None):
        return not _HALF_CLOSED
    try:
        local, remote = sock.getpeername(), sock.getsockname()
    except OSError:
        # Reset a moment ago.
        return True
    return not _is_held(local, remote, sock.family)


def _events(descriptor: int) -> int:
    poll = select.poll()
    poll.register(descriptor, _HALF_CLOSED)
    return next((events for _, events in poll.poll(0)), 0)


def _is_held(local: tuple[object, ...], remote: tuple[object, ...], family: int) -> bool:
    """Say whether a process on this machine holds the TCP socket `local` connected to `remote`."""
    if not hasattr(socket, "AF_NETLINK"):
        return False
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(0.1)
            netlink.send(_question(local, remote, family))
            answer = netlink.recv(4096)
    except OSError as error:
        # A kernel, or a container, that does not answer such questions.
        return error.errno in {errno.EMFILE, errno.ENFILE}
    _, kind = struct.unpack_from("=IH", answer)
    if kind == _NLMSG_ERROR or len(answer) < _INODE_AT + 4:
        return False
    (inode,) = struct.unpack_from("=I", answer, _INODE_AT)
    return bool(inode)


def _question(local: tuple[object, ...], remote: tuple[object, ...], family: int) -> bytes:
    """Ask for one TCP socket by its two addresses."""
    names = [
        socket.inet_pton(family, str(address[0]).partition("%")[0]).ljust(16, b"\0")
        for address in (local, remote)
    ]
    identity = _ID.pack(int(str(local[1])), int(str(remote[1])), *names)
    body = (
        struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, _ALL_STATES)
        + identity
        + struct.pack("=I", 0)
        + _ANY_COOKIE
    )
    header = struct.pack("=IHHII", 16 + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    return header + body
