"""`token-proxy config`: what is in force, defaults included, secrets as `***`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import yaml

from proxy.commands.configuration_source import load_source
from proxy.commands.exit_status import ExitStatus
from proxy.config.display import to_display

if TYPE_CHECKING:
    import argparse


def execute(arguments: argparse.Namespace) -> int:
    """Print it as YAML."""
    config, source = load_source(arguments, os.environ)
    print(f"# in force from {source}")
    print(yaml.safe_dump(to_display(config), sort_keys=False, allow_unicode=True), end="")
    return ExitStatus.OK
