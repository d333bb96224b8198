"""`token-proxy status`: how a running proxy stands, from its admin listener's `/status.json`.

Standard library only, like all that it imports, unless `-c` makes it read a file. With `--watch` it
is shown anew every two seconds, until an interrupt; a proxy that is away may come back.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from proxy.admin.wording import span
from proxy.commands.admin_request import NoAnswerError, NobodyToAskError, admin_address, ask
from proxy.commands.exit_status import ExitStatus
from proxy.commands.status_document import NotAStatusError, read_document, status_of
from proxy.commands.status_lines import paragraph
from proxy.commands.status_screen import Screen
from proxy.commands.status_view import lines

if TYPE_CHECKING:
    import argparse

    from proxy.config.addresses import Address

PATH = "/status.json"
BODY_BYTES_MAX = 8 * 1024 * 1024
REFRESH_SECONDS = 2.0


class _NoStatusError(Exception):
    """There is no status to show; `str()` says whose, and what to do."""


def execute(arguments: argparse.Namespace) -> int:
    """Show the status once, or until interrupted; 69 when there is none to be had."""
    try:
        address = admin_address(arguments, os.environ)
    except NobodyToAskError as error:
        return _unavailable(str(error))
    screen = Screen(os.environ)
    as_json = arguments.format == "json"
    if arguments.watch:
        return _watch(address, screen, as_json=as_json)
    try:
        document = _asked(address)
    except _NoStatusError as error:
        return _unavailable(str(error))
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        screen.write(lines(status_of(document), screen.columns))
    return ExitStatus.OK


def _unavailable(reason: str) -> int:
    print(f"token-proxy status: {reason}", file=sys.stderr)
    return ExitStatus.UNAVAILABLE


def _watch(address: Address, screen: Screen, *, as_json: bool) -> int:
    # SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    answered_at: float | None = None
    try:
        while True:
            try:
                document = _asked(address)
            except _NoStatusError as error:
                _tell(f"{error}. {_last_answer(answered_at)}", screen, as_json=as_json)
            else:
                answered_at = time.monotonic()
                if as_json:
                    # One line each: for programs that read line by line.
                    print(json.dumps(document), flush=True)
                else:
                    screen.refresh(lines(status_of(document), screen.columns))
            time.sleep(REFRESH_SECONDS)
    except KeyboardInterrupt:
        screen.leave()
        return ExitStatus.OK


def _tell(reason: str, screen: Screen, *, as_json: bool) -> None:
    if as_json:
        print(f"token-proxy status: {reason}", file=sys.stderr)
    else:
        screen.refresh(paragraph("", reason, screen.columns))


def _last_answer(answered_at: float | None) -> str:
    again = f"Asking again every {REFRESH_SECONDS:.0f} s"
    if answered_at is None:
        return again
    return f"The last answer came {span(time.monotonic() - answered_at)} ago. {again}"


def _asked(address: Address) -> dict[str, Any]:
    try:
        status, body = ask(address, PATH, body_bytes_max=BODY_BYTES_MAX)
    except NoAnswerError as error:
        raise _NoStatusError(
            f"{address} {error}. Is the proxy running, and is this its admin.listen (not null, "
            "not another port)? Say the right one with --admin or -c"
        ) from None
    if status != 200:
        raise _NoStatusError(
            f"{address} answered {status} to {PATH}. It may be another program, or a token-proxy "
            "of another version: say the address of admin.listen with --admin or -c"
        )
    try:
        return read_document(body)
    except NotAStatusError:
        raise _NoStatusError(
            f"{address} answered {PATH} with something else than a token-proxy's status. It may "
            "be another program: say the address of admin.listen with --admin or -c"
        ) from None
