"""`token-proxy validate`: everything that is wrong with a configuration, in one run."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from proxy.commands.configuration_source import load_source
from proxy.commands.exit_status import ExitStatus
from proxy.config.problem import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from proxy.config.problem import Problem
    from proxy.config.schema import Config


def execute(arguments: argparse.Namespace) -> int:
    """Report as text (problems on standard error) or JSON (on standard output)."""
    problems: list[Problem] = []
    summary = ""
    try:
        config, source = load_source(arguments, os.environ)
        summary = f"{source} is valid: {_counted(config)}"
    except ConfigurationError as error:
        problems = error.problems
    if arguments.format == "json":
        report = {"valid": not problems, "problems": [asdict(problem) for problem in problems]}
        print(json.dumps(report, indent=2))
    elif problems:
        for problem in problems:
            print(problem, file=sys.stderr)
    else:
        print(summary)
    return ExitStatus.CONFIGURATION if problems else ExitStatus.OK


def _counted(config: Config) -> str:
    parts = []
    for noun in ("upstream", "audience", "client"):
        count = len(getattr(config, f"{noun}s"))
        parts.append(f"{count} {noun}{'' if count == 1 else 's'}")
    return ", ".join(parts)
