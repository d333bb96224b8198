"""`token-proxy schema`: the JSON Schema of the configuration file, for editors and Helm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from proxy.commands.exit_status import ExitStatus
from proxy.config.json_schema import file_schema

if TYPE_CHECKING:
    import argparse


def execute(_arguments: argparse.Namespace) -> int:
    """Print it."""
    print(json.dumps(file_schema(), indent=2, ensure_ascii=False))
    return ExitStatus.OK
