"""A line in the names of the Elastic Common Schema (ECS): the table, and how it is applied. Pure.

Rules. What ECS has a name for goes by it, in the unit and type of ECS; all else goes as it is named
here, under `tokenproxy.`. A key has one type in every line, or an index that saw the other one
first refuses the whole document: so seconds are always written with a point, and a number that is
none (`nan`) is left out. Keys are dotted, as ECS logging wants it for `log.level` and allows it for
the others. Field reference: https://www.elastic.co/docs/reference/ecs/ecs-field-reference
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from proxy.telemetry.log import Value

VERSION = "8.17.0"
SERVICE = "token-proxy"
OURS = "tokenproxy."

DURATION = "duration_seconds"
NAMES = {
    "bytes_in": "http.request.body.bytes",
    "bytes_out": "http.response.body.bytes",
    "code": "error.code",
    "detail": "error.message",
    DURATION: "event.duration",
    "error": "error.type",
    "library": "log.logger",
    "method": "http.request.method",
    "path": "url.path",
    "places": "error.stack_trace",
    "problem": "error.message",
    "status": "http.response.status_code",
    "trace_id": "trace.id",
    "version": "service.version",
}
"""Our fields that ECS has a name for. No line has two that go by one name."""


def line(at: datetime, level: str, event: str, message: str, fields: Mapping[str, Value]) -> str:
    """Return a JSON line; `fields` are cleaned already."""
    written: dict[str, Value] = {
        # Time, level and message first, for whoever reads it as it is.
        "@timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "log.level": level,
        "message": message,
        "ecs.version": VERSION,
        "service.name": SERVICE,
        "event.action": event,
    }
    for name, value in fields.items():
        if not name.endswith("_seconds"):
            written[NAMES.get(name, OURS + name)] = value
        elif isinstance(value, int | float):
            nanoseconds = name == DURATION
            written[NAMES.get(name, OURS + name)] = (
                round(value * 1_000_000_000) if nanoseconds else float(value)
            )
    return json.dumps(written) + "\n"
