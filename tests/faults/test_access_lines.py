"""What the access log says of a request, where that takes a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faults.token_server import configuration, running, surroundings

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from integration.recording_upstream import RecordedRequest

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-later", TRACE),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-b7ad6b7169203331-01-later", None),
        (f"00-{TRACE}", None),
        ("s3cr3t-canary", None),
        (None, None),
    ],
)
async def test_a_line_names_the_trace_that_its_request_belongs_to(
    tmp_path: Path, traceparent: str | None, trace: str | None
) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(
            server, upstream.url, log={"format": "json", "level": "debug", "access": "all"}
        )
        async with running(document, tmp_path) as proxy:
            fields = {} if traceparent is None else {"TraceParent": traceparent}
            await proxy.reload(limits={"header_fields_max": 100})
            assert (await proxy.call(headers=fields))[0] == 200
            (line,) = proxy.events("request")
            assert line.get("trace_id") == trace


@pytest.mark.parametrize(("access", "lines"), [("errors", 1), ("off", 0)])
async def test_an_answer_that_breaks_off_is_an_error_though_its_status_was_none(
    tmp_path: Path, access: str, lines: int
) -> None:
    async with surroundings() as (server, upstream, _):

        async def torn(_: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all of it")
            await writer.drain()
            writer.transport.abort()

        document = configuration(
            server, upstream.url, log={"format": "json", "level": "debug", "access": access}
        )
        upstream.answer = torn
        async with running(document, tmp_path) as proxy:
            await proxy.reload(limits={"header_fields_max": 100})
            with pytest.raises(Exception, match=r"payload|closed|disconnected"):
                await proxy.call()
            found = proxy.events("request")
            assert [(each["status"], each["code"]) for each in found] == [
                (200, "upstream_misspoke")
            ] * lines
