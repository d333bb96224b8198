"""From parsed arguments and the environment to a `Config` and the name of where it came from.

Rules: what was typed wins over what the environment holds; a file and flags exclude one another,
because a flag that silently loses to a file, or the reverse, is found out in production. Flags are
taken as they are: no `${NAME}` is replaced in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.commands.exit_status import UsageError
from proxy.commands.source_arguments import (
    CONFIG_VARIABLE,
    DEFINING,
    NAME,
    SECRET_VARIABLE,
    SETTINGS,
)
from proxy.config.document import Document
from proxy.config.loader import Loaded, load, load_document
from proxy.config.substitution import Substituted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from proxy.config.schema import Config

COMMAND_LINE = "(command line)"


def source_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read; None: flags or variables say it all. Raises `UsageError`."""
    typed = [one.flag for one in SETTINGS if getattr(arguments, one.attribute) is not None]
    held = [one.variable for one in DEFINING if environ.get(one.variable)]
    file = environ.get(CONFIG_VARIABLE)
    if typed and (arguments.config is not None or file):
        named = "-c" if arguments.config is not None else CONFIG_VARIABLE
        raise UsageError(
            f"{', '.join(typed)} and {named} exclude one another: "
            "flags stand in for a file, they do not change one"
        )
    if arguments.config is not None:
        return Path(arguments.config)
    if typed:
        return None
    if file and held:
        raise UsageError(
            f"{CONFIG_VARIABLE} and {', '.join(held)} exclude one another: unset one, or type -c"
        )
    if file:
        return Path(file)
    if held:
        return None
    raise UsageError(_what_next(arguments.command))


def load_source(arguments: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Config, str]:
    """Return the configuration and its source's name, for people; as `read_source`."""
    loaded = read_source(arguments, environ)
    return loaded.config, loaded.source


def read_source(
    arguments: argparse.Namespace, environ: Mapping[str, str], *, again: bool = False
) -> Loaded:
    """Return the configuration, and where it came from; `again`: see `proxy.config.loader.load`.

    Raises `UsageError` when there is no source or are two, `ConfigurationError` when it is wrong.
    """
    file = source_of(arguments, environ)
    if file is not None:
        return load(file, environ, again=again)
    return Loaded(load_document(_document(arguments, environ), Path.cwd()), COMMAND_LINE)


def _document(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Document:
    client: dict[str, Any] = {}
    tree: dict[str, Any] = {
        "clients": {NAME: client},
        "audiences": {NAME: {"client": NAME}},
        "upstreams": {NAME: {"audience": NAME}},
    }
    names: dict[tuple[str | int, ...], str] = {
        ("clients", NAME): "--token-endpoint",
        ("clients", NAME, "client_secret"): f"--client-secret-file or {SECRET_VARIABLE}",
    }
    for setting in SETTINGS:
        typed = getattr(arguments, setting.attribute)
        value = typed if typed is not None else environ.get(setting.variable) or None
        by_flag = typed is not None or value is None
        names[setting.path] = setting.flag if by_flag else setting.variable
        if value is not None:
            _put(tree, setting.path, value)
    secret = environ.get(SECRET_VARIABLE)
    if secret and arguments.client_secret_file is not None:
        # What was typed wins, as everywhere.
        secret = None
    if secret:
        client["client_secret"] = Substituted.of(secret, literal=False)
    return Document(COMMAND_LINE, values=tree, names=names)


def _put(tree: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value


def _what_next(command: str) -> str:
    if Path("config.yaml").is_file():
        advice = f"there is a config.yaml here: token-proxy {command} -c config.yaml"
    else:
        advice = (
            f"type token-proxy {command} -c FILE, or token-proxy {command} --upstream URL "
            "--token-endpoint URL --client-id ID --client-secret-file FILE; "
            "token-proxy demo shows it all without any"
        )
    return f"no configuration was given; {advice}"
