"""`Config` → plain values as they would stand in a file, with no secret in them.

What is shown can be read again, but for the secrets: `***` stands for a value, while a secret's
file is shown by its path. Header fields, token parameters and the queries of URLs may carry
credentials under any name, so their values are struck out, all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from proxy.config.secrets import SecretSource

if TYPE_CHECKING:
    from proxy.config.schema import Config

MASK = "***"
_OPAQUE = ("set_headers", "parameters")
_URLS = ("token_endpoint", "discovery", "resource", "assertion_audience")
"""Keys whose URLs may hold a query; all others refuse one."""
_USER = re.compile(r"(?<=//)[^/?#]*@")
_QUERY = re.compile(r"\?.+", re.DOTALL)
_DOLLAR = re.compile(r"\$(?=[${])")


def to_display(config: Config) -> dict[str, Any]:
    """Return the effective configuration, defaults included, in the order of the reference."""
    return _section(config)


def _section(section: BaseModel) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, SecretSource):
            if value.file is not None:
                shown[f"{name.removesuffix('_file')}_file"] = _plain(str(value.file))
            else:
                shown[name] = MASK
        elif name in _OPAQUE:
            shown[name] = dict.fromkeys(value, MASK)
        elif name in _URLS:
            shown[name] = _plain(_without_query(value))
        else:
            shown[name] = _plain(value)
    return shown


def _without_query(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_query(item) for item in value]
    return without_query(value) if value else value


def without_query(url: str) -> str:
    """Return a URL as it may be shown."""
    # A resource is any URI, so it may have a user before its host, too.
    return _QUERY.sub(f"?{MASK}", _USER.sub(f"{MASK}@", url))


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return _section(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case str():
            return _DOLLAR.sub("$$", value)
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
