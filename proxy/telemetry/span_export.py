"""Spans on their way to the collector: OTLP over HTTP, in the SDK's own thread.

Imported only if tracing is on. Rules. A collector that is down, slow or hangs costs requests
nothing: what waits for it is bounded, and what does not fit is dropped. It is said once when
sending begins to fail, once a minute while it does, and when it works again; what the SDK and its
HTTP library log comes into our log likewise folded, without what it quotes (the SDK quotes
`tracestate` and header settings). Proxies of the environment are not asked: `HTTP_PROXY` is how
callers are led here, and our spans would make spans.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from proxy.telemetry.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from proxy.telemetry.log import Log, Value

ANSWER_BYTES_MAX = 65536
QUEUE_MAX = 2048
"""The SDK's own default for `OTEL_BSP_MAX_QUEUE_SIZE`."""
# `opentelemetry.exporter` tells of failures with the URL in the text; we tell of them ourselves.
_TOLD_BY_US = "opentelemetry.exporter."
_LIBRARIES = ("opentelemetry", "urllib3")


class _Session(requests.Session):
    """What the exporter posts with. `trouble` says how the last request failed, without its URL."""

    def __init__(self) -> None:
        super().__init__()
        # No proxies, no .netrc and no certificates of the environment.
        self.trust_env = False
        self.trouble: dict[str, Value] = {}

    def send(self, request: requests.PreparedRequest, **arguments: Any) -> requests.Response:
        """Send it, follow nothing, and read a bounded part of the answer."""
        arguments |= {"stream": True, "allow_redirects": False}
        try:
            response = super().send(request, **arguments)
            next(response.iter_content(ANSWER_BYTES_MAX), b"")
        except Exception as error:
            self.trouble = {"error": type(error).__name__, "detail": _of_the_system(error)}
            raise
        status = response.status_code
        self.trouble = {} if 200 <= status < 300 else {"status": status}
        # Gives the connection back if that was all of it, and ends it otherwise.
        response.close()
        return response


def _of_the_system(error: BaseException | None) -> str | None:
    """Return what the system said of a failed connection: no library's text, which has the URL."""
    for _ in range(8):
        if error is None:
            break
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return None


class Export(SpanExporter):
    """The SDK's exporter, with a count of what is under way and a word in the log.

    `coming` and `has_room` are the event loop's, `export` is the sending thread's.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._session = _Session()
        self._exporter = OTLPSpanExporter(session=self._session)
        self._queue_max = _queue_max()
        # Each is changed by one thread only.
        self._came = self._taken = self._lost = 0
        self._failing = Repeats()
        self._given_up = False

    @property
    def outstanding(self) -> int:
        """How many spans wait to be sent."""
        return self._came - self._taken

    def coming(self, count: int) -> None:
        """Count spans that are put into the queue."""
        self._came += count

    def has_room(self) -> bool:
        """Say whether the queue takes another span."""
        return self._came - self._taken < self._queue_max

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them; takes as long as `OTEL_EXPORTER_OTLP_TIMEOUT` allows."""
        if self._given_up:
            return SpanExportResult.FAILURE
        self._taken += len(spans)
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - some versions let the HTTP library's through
            self._session.trouble = self._session.trouble or {"error": type(error).__name__}
            result = SpanExportResult.FAILURE
        # To the SDK a redirect is a success.
        if result is SpanExportResult.SUCCESS and not self._session.trouble:
            failures = self._failing.ended(time.monotonic())
            if failures:
                self._log.info(
                    "tracing_export_recovered",
                    "spans reach the collector again",
                    failures=failures,
                    spans_lost=self._lost,
                )
            return result
        self._lost += len(spans)
        if not self._given_up and self._failing.happened(time.monotonic()):
            fields: dict[str, Value] = {
                **self._session.trouble,
                "failures": self._failing.count,
                "spans_lost": self._lost,
            }
            self._log.write(
                "warning",
                "tracing_export_failed",
                "spans do not reach the collector; requests are not affected",
                fields,
            )
        return result

    def give_up(self) -> None:
        """Send nothing that is not under way, and say nothing of that."""
        self._given_up = True

    def shutdown(self) -> None:
        """Send no more."""
        end: Callable[[], None] = self._exporter.shutdown
        end()


def _queue_max() -> int:
    text = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip()
    return int(text) if text.isdecimal() else QUEUE_MAX


class LibraryLogs(logging.Handler):
    """Brings what the libraries log into our log, which folds it, and nowhere else."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._muted = False
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            logger.addHandler(self)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write its template without what goes into it, which may be a caller's."""
        if self._muted or record.name.startswith(_TOLD_BY_US):
            return
        level = "error" if record.levelno >= logging.ERROR else "warning"
        fields: dict[str, Value] = {"library": record.name.partition(".")[0]}
        self._log.write(level, "library", str(record.msg), fields)

    def mute(self) -> None:
        """Say nothing any more, and keep others from it."""
        self._muted = True

    def close(self) -> None:
        """Leave the loggers as they were."""
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            logger.removeHandler(self)
            logger.propagate = True
        super().close()


async def in_time(work: Callable[[], None], seconds: float) -> bool:
    """Do `work`, which raises nothing, in a thread; say whether it was over within `seconds`.

    No thread of a pool: those are waited for when the process ends.
    """
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def run() -> None:
        work()
        # A loop that has ended has nobody who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=run, name="tracing-end", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        return False
    return True
