"""Addresses to listen on: `host:port`, `[::1]:port`, `unix:/path`.

Standard library only: `healthcheck` reads addresses too, and is to start fast.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_ADMIN = "127.0.0.1:9090"

_TCP = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^\[\]:]*)):(?P<port>[0-9]{1,5})", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})", re.ASCII)
UNIX_PATH_BYTES_MAX = 107
"""`sun_path` of Linux less its NUL."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (name or IP address, without brackets) and a port; port 0: the kernel chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether nobody on another machine can reach it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system, by its absolute path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def is_local(self) -> bool:
        """Always: a file system's socket is no network's."""
        return True


Address = TcpAddress | UnixAddress


def is_loopback(host: str) -> bool:
    """Say whether `host` (no brackets, no port) is `localhost` or a loopback IP address.

    Only the plain forms count: `localhost.evil.example` and `127.1` do not.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def parse_address(text: str) -> Address:
    """Read an address. Raises ValueError, whose text says what is wanted and holds no value."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path or path.endswith("/"):
            raise ValueError("should be unix: and the absolute path of the socket file")
        if len(path.encode()) > UNIX_PATH_BYTES_MAX:
            raise ValueError(
                f"is too long: a socket's path has at most {UNIX_PATH_BYTES_MAX} bytes"
            )
        return UnixAddress(path)
    match = _TCP.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError("should be host:port, [::1]:port or unix:/path")
    if match["six"] is not None:
        try:
            return TcpAddress(str(ipaddress.IPv6Address(match["six"])), int(match["port"]))
        except ValueError:
            raise ValueError("should have an IPv6 address between the brackets") from None
    if not match["host"]:
        raise ValueError("has no host: 127.0.0.1 is this machine only, 0.0.0.0 every interface")
    if not _HOST.fullmatch(match["host"]):
        raise ValueError("should have a host name or an IP address before the port")
    return TcpAddress(match["host"], int(match["port"]))
