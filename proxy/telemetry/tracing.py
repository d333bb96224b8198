"""Whether spans are sent to a collector, and what one is told of: decided once, at start.

It is switched on by OpenTelemetry's own environment variables, as in every other program, and by
no key of ours. Rules. Nothing of OpenTelemetry is imported unless an endpoint is set. Whatever is
wrong with tracing is said in one warning, and the proxy runs without it: spans are a convenience.
The SDK reads its variables itself (`OTEL_*`: headers, timeout, sampler, resource, limits); only
what decides on or off is looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.telemetry.facts import Telemetry

TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@dataclass(slots=True)
class ExchangeOver:
    """One request that is over, in the words of the access log.

    `upstream` is "" where none was known; `path` comes without its query. `traceparent` and
    `tracestate` are the caller's fields of that name, each as it came.
    """

    upstream: str
    method: str
    path: str | None
    status: int
    origin: str
    seconds: float
    code: str | None = None
    detail: str | None = None
    audience: str | None = None
    upstream_address: str | None = None
    upstream_seconds: float | None = None
    traceparent: Sequence[str] = ()
    tracestate: Sequence[str] = ()


def start_tracing(telemetry: Telemetry, environ: Mapping[str, str]) -> Callable[[], None]:
    """Put what makes spans into `telemetry.tracing`, if they are wanted and can be had.

    Comes before the first request, and takes half a second then, unless off. Returns what writes
    into the log how it went: the first line is not ours. Whoever called this awaits the `close` of
    `telemetry.tracing` at the end.
    """
    variable = _wanted(environ)
    if variable is None:
        return _nothing
    log = telemetry.log
    problem = _problem(variable, environ)
    if problem is not None:
        return partial(log.warning, "tracing_off", problem)
    try:
        from proxy.telemetry.spans import Spans  # noqa: PLC0415 - costs nothing when off

        telemetry.tracing = Spans(telemetry)
    except ImportError as error:
        return partial(
            log.warning,
            "tracing_off",
            f"{variable} is set, but what sends spans is not installed: "
            'pip install "token-proxy[otel]"',
            missing=error.name,
        )
    except ValueError as error:
        # Of a limit or a size; what the SDK says names it.
        return partial(log.warning, "tracing_off", f"an OTEL_ variable cannot be used: {error}")
    except Exception as error:  # noqa: BLE001 - foreign code, and tracing may not stop a start
        return partial(log.exception, "tracing_off", "tracing could not be started", error)
    collector = urlsplit(environ[variable])
    # Not the whole URL: some services have a key in its path.
    place = f"{collector.scheme}://{collector.netloc.rpartition('@')[2]}"
    return partial(log.info, "tracing", "spans are sent to a collector", collector=place)


def _nothing() -> None:
    """Say nothing: nobody asked for spans."""


def _wanted(environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable that sets the endpoint; None if spans are not wanted."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if "otlp" not in [name.strip() for name in exporters.split(",")]:
        return None
    return next((name for name in (TRACES_ENDPOINT, ENDPOINT) if environ.get(name)), None)


def _problem(variable: str, environ: Mapping[str, str]) -> str | None:
    """Say what makes every export fail, if it can be seen from here."""
    try:
        url = urlsplit(environ[variable])
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        return f"{variable} should be a URL that begins with http:// or https://: no spans are sent"
    for name in _PROTOCOLS:
        protocol = environ.get(name, "").strip()
        if protocol:
            if protocol == "http/protobuf":
                return None
            return (
                f"{name} asks for another protocol than http/protobuf, the only one spoken here: "
                "no spans are sent (a collector takes it on port 4318)"
            )
    return None
