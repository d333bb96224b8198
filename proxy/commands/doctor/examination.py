"""`token-proxy doctor`: what a user runs first when it does not work.

All clients and upstreams are examined at once; an upstream's request waits for its token. They are
told in the configuration's order, each as soon as it and those before it are known.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from proxy.commands.configuration_source import load_source
from proxy.commands.doctor import running
from proxy.commands.doctor.clients import ClientExamination
from proxy.commands.doctor.places import places_of
from proxy.commands.doctor.report import Style, is_well, lines, summary, to_json
from proxy.commands.doctor.surroundings import Surroundings
from proxy.commands.doctor.upstreams import UpstreamExamination
from proxy.commands.exit_status import ExitStatus
from proxy.commands.run import allow_descriptors, log_to_standard_error, loop_factory
from proxy.config.problem import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from typing import TextIO

    from proxy.commands.doctor.report import Group
    from proxy.config.schema import Config


def execute(arguments: argparse.Namespace) -> int:
    """Examine everything and report; exit status 69 if anything failed."""
    as_json = arguments.format == "json"
    try:
        config, source = load_source(arguments, os.environ)
    except ConfigurationError as error:
        if not as_json:
            raise
        problems = [asdict(problem) for problem in error.problems]
        report = {"ok": False, "checks": [], "valid": False, "problems": problems}
        print(json.dumps(report, indent=2))
        return ExitStatus.CONFIGURATION
    places = places_of(arguments, os.environ)
    style = style_of(sys.stdout, os.environ)

    def tell(group: Group) -> None:
        if not as_json:
            print("\n".join(lines(group, style, places)), flush=True)

    if not as_json:
        print(style.shown(f"{source}: asking every server that it names"), flush=True)
    allow_descriptors()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        groups = runner.run(examine(config, tell))
    if as_json:
        print(json.dumps(to_json(groups, places), indent=2))
    else:
        # Whether a proxy runs is news, no finding.
        print(f"\n{summary(groups[1:])}")
    return ExitStatus.OK if is_well(groups) else ExitStatus.UNAVAILABLE


async def examine(config: Config, tell: Callable[[Group], None]) -> list[Group]:
    """Examine all at once; `tell` each group when its turn has come, and return them all."""
    around = Surroundings(config, log_to_standard_error(config))
    clients = [ClientExamination(name, around) for name in config.clients]
    tokens = {name: token for client in clients for name, token in client.tokens.items()}
    upstreams = [
        UpstreamExamination(name, around, tokens.get(upstream.audience))
        for name, upstream in config.upstreams.items()
    ]
    # No task group: what ends `tell`, a reader that left, is to come out as it is.
    examined = [
        asyncio.create_task(running.look(config)),
        *(asyncio.create_task(client.run()) for client in clients),
        *(asyncio.create_task(upstream.run()) for upstream in upstreams),
    ]
    groups = []
    try:
        for task in examined:
            groups.append(await task)
            tell(groups[-1])
        return groups
    finally:
        for task in examined:
            task.cancel()
        await asyncio.gather(*examined, return_exceptions=True)
        await around.close()


def style_of(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """Return what fits a stream: colours only for somebody who looks, and did not decline."""
    wanted = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return Style(encoding=stream.encoding, colour=wanted and stream.isatty())
