"""`token-proxy demo`: hand over to `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def execute(arguments: argparse.Namespace) -> int:
    """Run the demonstration; return the exit status."""
    from proxy.commands.demo import run_demo  # noqa: PLC0415 - it loads half the program

    return run_demo(once=arguments.once, outage=arguments.outage)
