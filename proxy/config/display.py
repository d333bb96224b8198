"""`Config` → plain values as they would stand in a file, with no secret in them.

What is shown can be read again, but for the secrets: `***` stands for a value, while a secret's
file is shown by its path. Header fields and token parameters may carry credentials too; those
whose names say so are struck out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from proxy.config.secrets import SecretSource

if TYPE_CHECKING:
    from proxy.config.schema import Config

MASK = "***"
_SENSITIVE = re.compile(
    r"auth|cookie|credential|key|pass|pin$|private|pwd|secret|session|sign|token|assertion",
    re.IGNORECASE,
)
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
                shown[f"{name}_file"] = _plain(str(value.file))
            else:
                shown[name] = MASK
        elif name in {"set_headers", "parameters"}:
            shown[name] = {
                key: MASK if _SENSITIVE.search(key) else _plain(item) for key, item in value.items()
            }
        else:
            shown[name] = _plain(value)
    return shown


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
