"""`token-proxy run`: load the configuration, then hand over to `run`."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from proxy.commands.configuration_source import read_source

if TYPE_CHECKING:
    import argparse


def execute(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it; return the exit status."""
    load = partial(read_source, arguments, os.environ)
    loaded = load()
    # Late, so that a wrong configuration is reported before a web server is imported.
    from proxy.commands.run import run  # noqa: PLC0415

    return run(loaded, load)
