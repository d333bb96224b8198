"""Asking a running proxy's admin listener: where it is, and one bounded GET.

For the commands that look at a proxy from outside. Standard library only, unless `-c` makes it
read a file. Of the file it looks at `admin.listen` alone, so that a running proxy can be asked
beside a file that it refused to reload. No proxy of the environment is used.
"""

from __future__ import annotations

import http.client
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.commands.exit_status import UsageError
from proxy.commands.source_arguments import CONFIG_VARIABLE
from proxy.config.addresses import DEFAULT_ADMIN, TcpAddress, UnixAddress, parse_address
from proxy.config.problem import ConfigurationError, Problem

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from proxy.config.addresses import Address

ADMIN_VARIABLE = "TOKEN_PROXY_ADMIN"
ADMIN_SECONDS = 5.0
"""How long connecting and the whole answer may take together."""
_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to look, not to bind
_PIECE_BYTES = 65536


class NobodyToAskError(Exception):
    """The configuration names no address at which a proxy could be asked."""


class NoAnswerError(Exception):
    """Nothing came that is an HTTP answer, or too much; `str()` goes after the address."""


def admin_address(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Address:
    """Return whom to ask; what was typed wins over the environment.

    Raises `UsageError` for a flag or variable that makes no sense, `ConfigurationError` for a
    file that does, and `NobodyToAskError` where a file says that there is nobody.
    """
    typed = arguments.admin
    if typed is None and arguments.config is None:
        typed = environ.get(ADMIN_VARIABLE) or None
    if typed is not None:
        return _typed(typed)
    file = arguments.config or environ.get(CONFIG_VARIABLE)
    if not file:
        return _typed(DEFAULT_ADMIN)
    # Late: reading YAML takes longer than all the rest.
    from proxy.config.loader import admin_address as listen_of  # noqa: PLC0415

    text = listen_of(Path(file), environ)
    if text is None:
        raise NobodyToAskError("the admin listener is switched off in the configuration")
    try:
        address = parse_address(text)
    except ValueError as error:
        raise ConfigurationError([Problem(str(file), 1, 1, "admin.listen", str(error))]) from None
    if _has_no_port(address):
        raise NobodyToAskError("port 0 is chosen at each start: say the real one with --admin")
    return address


def _typed(text: str) -> Address:
    try:
        address = parse_address(text)
    except ValueError as error:
        raise UsageError(f"the admin address {error}") from None
    if _has_no_port(address):
        raise UsageError("port 0 is chosen at each start: say the real one with --admin")
    return address


def _has_no_port(address: Address) -> bool:
    return isinstance(address, TcpAddress) and address.port == 0


def ask(address: Address, path: str, *, body_bytes_max: int) -> tuple[int, bytes]:
    """Return status and body of a GET. Raises `NoAnswerError`."""
    connection = _Connection(address)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = b""
        while len(body) <= body_bytes_max and (piece := response.read1(_PIECE_BYTES)):
            body += piece
    except TimeoutError:
        raise NoAnswerError(f"did not answer within {ADMIN_SECONDS:.0f} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"does not answer: {type(error).__name__}") from None
    finally:
        connection.close()
    if len(body) > body_bytes_max:
        raise NoAnswerError(f"answers with more than {body_bytes_max} bytes")
    if response.length:
        raise NoAnswerError("broke off in the middle of its answer")
    return response.status, body


class _TimedSocket(socket.socket):
    """A socket that is read until one instant, however slowly its bytes drip."""

    ends_at = 0.0

    def recv_into(self, *arguments: object) -> int:
        left_seconds = self.ends_at - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError
        self.settimeout(left_seconds)
        return super().recv_into(*arguments)  # type: ignore[arg-type]


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Address) -> None:
        if isinstance(address, UnixAddress):
            super().__init__("localhost")
        else:
            super().__init__(_EVERY_INTERFACE.get(address.host, address.host), address.port)
        self._address = address

    def connect(self) -> None:
        ends_at = time.monotonic() + ADMIN_SECONDS
        opened = self._opened()
        # The same descriptor, in an object that keeps the time.
        timed = _TimedSocket(opened.family, opened.type, opened.proto, fileno=opened.detach())
        timed.ends_at = ends_at
        timed.settimeout(ADMIN_SECONDS)
        self.sock = timed

    def _opened(self) -> socket.socket:
        if not isinstance(self._address, UnixAddress):
            return socket.create_connection((self.host, self.port), ADMIN_SECONDS)
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(ADMIN_SECONDS)
            opened.connect(self._address.path)
        except OSError:
            opened.close()
            raise
        return opened
