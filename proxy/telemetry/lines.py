"""An event as a line: JSON for machines, text for a terminal. Pure.

Each takes what is cleaned already, and returns a line with its line break. The names of the
Elastic Common Schema are in `ecs`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from proxy.telemetry.log import Value


def json_line(
    at: datetime, level: str, event: str, message: str, fields: Mapping[str, Value]
) -> str:
    """Return a JSON object on one line: `time`, `level`, `event` and `message` come first."""
    time = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
    line = {"time": time, "level": level, "event": event, "message": message, **fields}
    return json.dumps(line) + "\n"


def text_line(
    at: datetime, level: str, event: str, message: str, fields: Mapping[str, Value]
) -> str:
    """Return a line for a reader."""
    time = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"
    shown = "".join(f" {name}={_quoted(value)}" for name, value in fields.items())
    return f"{time} {level:<7} {event}: {message}{shown}\n"


def _quoted(value: Value) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, list):
        text = ",".join(value)
    if text and not any(c in ' "=' for c in text):
        return text
    return json.dumps(text, ensure_ascii=False)
