"""`token-proxy run`: load the configuration, then hand over to `run`."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING

from proxy.commands.configuration_source import COMMAND_LINE, read_source

if TYPE_CHECKING:
    import argparse


def execute(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it; return the exit status."""
    # It would end us until there is a handler; what is read now needs no second reading.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    loaded = read_source(arguments, os.environ)
    # Late, so that a wrong configuration is reported before a web server is imported.
    from proxy.commands.run import run  # noqa: PLC0415

    # A pipe is empty when it was read once, and opening it anew would wait for ever.
    readable = loaded.file is not None or loaded.source == COMMAND_LINE
    return run(
        loaded, partial(read_source, arguments, os.environ, again=True) if readable else None
    )
