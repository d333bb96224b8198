"""Where a configuration may come from: a file, or flags, or variables of the environment.

This file only declares; it is imported for every command and loads the standard library only.
`configuration_source` reads what is declared here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.config.addresses import DEFAULT_ADMIN, DEFAULT_LISTEN

if TYPE_CHECKING:
    import argparse

CONFIG_VARIABLE = "TOKEN_PROXY_CONFIG"
SECRET_VARIABLE = "TOKEN_PROXY_CLIENT_SECRET"
NAME = "default"
"""What the one client, audience and upstream are called that flags can make."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One flag, its variable, and the key it stands for."""

    flag: str
    metavar: str
    path: tuple[str, ...]
    help: str

    @property
    def attribute(self) -> str:
        """The flag's name in argparse's namespace."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that says the same."""
        return f"TOKEN_PROXY_{self.attribute.upper()}"


SETTINGS = (
    Setting("--upstream", "URL", ("upstreams", NAME, "url"), "where requests go"),
    Setting(
        "--token-endpoint", "URL", ("clients", NAME, "token_endpoint"), "where tokens come from"
    ),
    Setting("--client-id", "ID", ("clients", NAME, "client_id"), "our name there"),
    Setting(
        "--client-secret-file",
        "FILE",
        ("clients", NAME, "client_secret_file"),
        f"a file with our secret there; {SECRET_VARIABLE} holds the secret itself",
    ),
    Setting("--audience", "TEXT", ("audiences", NAME, "audience"), "sent as audience"),
    Setting("--scope", "TEXT", ("audiences", NAME, "scope"), "sent as scope"),
    Setting("--listen", "ADDR", ("listen",), f"where callers connect; else {DEFAULT_LISTEN}"),
    Setting("--admin", "ADDR", ("admin", "listen"), f"metrics and health; else {DEFAULT_ADMIN}"),
)

DEFINING = SETTINGS[:3]
"""Those without which there is nothing to run; the others may be set for other commands' sake."""


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `-c` and the flags that stand in for a file."""
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=Path,
        help=f"the configuration file, or {CONFIG_VARIABLE}",
    )
    group = parser.add_argument_group(
        "without a file",
        "One upstream, from flags or from TOKEN_PROXY_… variables of the same names "
        "(TOKEN_PROXY_UPSTREAM); a flag wins over its variable.",
    )
    for setting in SETTINGS:
        group.add_argument(setting.flag, metavar=setting.metavar, help=setting.help)
