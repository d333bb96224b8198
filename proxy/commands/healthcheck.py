"""`token-proxy healthcheck`: is the process alive? Exit status 0 or 1.

It is run every few seconds, so it loads little: see `admin_request`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from proxy.commands.admin_request import NoAnswerError, NobodyToAskError, admin_address, ask
from proxy.commands.exit_status import ExitStatus
from proxy.config.problem import ConfigurationError

if TYPE_CHECKING:
    import argparse

BODY_BYTES_MAX = 65536


def execute(arguments: argparse.Namespace) -> int:
    """Ask `/livez`; print one line on standard error if the answer is not a 200.

    A file that does not tell whom to ask is unhealthy too: a probe knows no other status.
    """
    try:
        address = admin_address(arguments, os.environ)
    except NobodyToAskError as error:
        return _unhealthy(str(error))
    except ConfigurationError as error:
        return _unhealthy("; ".join(map(str, error.problems)))
    try:
        status, _ = ask(address, "/livez", body_bytes_max=BODY_BYTES_MAX)
    except NoAnswerError as error:
        return _unhealthy(f"{address} {error}")
    return ExitStatus.OK if status == 200 else _unhealthy(f"{address} answered {status}")


def _unhealthy(reason: str) -> int:
    print(f"unhealthy: {reason}", file=sys.stderr)
    return ExitStatus.UNHEALTHY
