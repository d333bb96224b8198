"""`token-proxy healthcheck`: is the process alive? Exit status 0 or 1.

Standard library only, unless `-c` makes it read a file: it is run every few seconds. Of the file
it looks at `admin.listen` alone, so that a running proxy stays healthy beside a file that it
refused to reload. No proxy of the environment is used.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.commands.exit_status import ExitStatus, UsageError
from proxy.config.addresses import DEFAULT_ADMIN, TcpAddress, UnixAddress, parse_address
from proxy.config.problem import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from proxy.config.addresses import Address

TIMEOUT_SECONDS = 5
_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to look, not to bind


def execute(arguments: argparse.Namespace) -> int:
    """Ask `/livez`; print one line on standard error if the answer is not a 200."""
    try:
        address = _address(arguments, os.environ)
    except _NobodyToAskError as error:
        return _unhealthy(str(error))
    except ConfigurationError as error:
        return _unhealthy("; ".join(map(str, error.problems)))
    connection = _connection(address)
    try:
        connection.request("GET", "/livez", headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return _unhealthy(f"{address} does not answer: {type(error).__name__}")
    finally:
        connection.close()
    return ExitStatus.OK if status == 200 else _unhealthy(f"{address} answered {status}")


class _NobodyToAskError(Exception):
    """The configuration names no address at which `/livez` could be asked."""


def _address(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Address:
    """Return whom to ask; what was typed wins over the environment.

    Raises `UsageError` for a flag or variable that makes no sense; `ConfigurationError` or
    `_NobodyToAskError` for a file, which a probe cannot help and reports as unhealthy.
    """
    typed = arguments.admin
    if typed is None and arguments.config is None:
        typed = environ.get("TOKEN_PROXY_ADMIN") or None
    if typed is not None:
        return _parsed(typed, UsageError)
    file = arguments.config or environ.get("TOKEN_PROXY_CONFIG")
    if not file:
        return _parsed(DEFAULT_ADMIN, UsageError)
    # Late: reading YAML takes longer than all the rest.
    from proxy.config.loader import admin_address  # noqa: PLC0415

    text = admin_address(Path(file), environ)
    if text is None:
        raise _NobodyToAskError("the admin listener is switched off in the configuration")
    return _parsed(text, _NobodyToAskError)


def _parsed(text: str, refusal: type[Exception]) -> Address:
    try:
        address = parse_address(text)
    except ValueError as error:
        raise refusal(f"the admin address {error}") from None
    if isinstance(address, TcpAddress) and address.port == 0:
        raise refusal("port 0 is chosen at each start: say the real one with --admin")
    return address


def _unhealthy(reason: str) -> int:
    print(f"unhealthy: {reason}", file=sys.stderr)
    return ExitStatus.UNHEALTHY


def _connection(address: Address) -> http.client.HTTPConnection:
    if isinstance(address, UnixAddress):
        return _UnixConnection(address.path)
    host = _EVERY_INTERFACE.get(address.host, address.host)
    return http.client.HTTPConnection(host, address.port, timeout=TIMEOUT_SECONDS)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)
