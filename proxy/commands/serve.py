"""`token-proxy run`: load the configuration, then hand over to `run`."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from proxy.commands.configuration_source import COMMAND_LINE, read_source

if TYPE_CHECKING:
    import argparse


def execute(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it; return the exit status."""
    load = partial(read_source, arguments, os.environ)
    loaded = load()
    # Late, so that a wrong configuration is reported before a web server is imported.
    from proxy.commands.run import run  # noqa: PLC0415

    # A pipe is empty when it was read once, and opening it anew would wait for ever.
    again = load if loaded.file is not None or loaded.source == COMMAND_LINE else None
    return run(loaded, again)
