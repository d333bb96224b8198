"""What h11, another's reading of RFC 9112, makes of the same bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import h11

EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")
KEPT = frozenset({h11.DONE, h11.MIGHT_SWITCH_PROTOCOL})
"""A request behind one that asked for another protocol is a request, unless that was granted."""
EVENT_BYTES_MAX = 1 << 21

Field = tuple[bytes, bytes]


@dataclass(slots=True)
class Reading:
    """One message. `verdict` is `complete`, `incomplete`, or `refused`, with `why` in words."""

    verdict: str = "incomplete"
    why: str = ""
    start: tuple[bytes, ...] = ()
    fields: list[Field] = field(default_factory=list)
    body: bytes = b""
    trailers: list[Field] = field(default_factory=list)
    interim: list[tuple[int, list[Field]]] = field(default_factory=list)
    rest: bytes = b""
    kept: bool = False
    """Whether another message may follow on the connection."""


def read_answer(data: bytes, *, to_head: bool, ended: bool) -> Reading:
    """Read an answer to GET or HEAD; `ended` says that the connection ends in order behind it."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=EVENT_BYTES_MAX)
    client.send(
        h11.Request(method="HEAD" if to_head else "GET", target="/", headers=[("Host", "a")])
    )
    client.send(h11.EndOfMessage())
    return _read(client, data, ended=ended)


def read_requests(data: bytes) -> list[Reading]:
    """Read requests until one is not complete, or asks for an end.

    Empty lines before a request are left out (RFC 9112 §2.2), as h11 does not know them.
    """
    readings = []
    while True:
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=EVENT_BYTES_MAX)
        reading = _read(server, EMPTY_LINES.sub(b"", data), ended=False)
        readings.append(reading)
        data = reading.rest
        if reading.verdict != "complete" or not reading.kept or not data:
            return readings


def _read(connection: h11.Connection, data: bytes, *, ended: bool) -> Reading:
    reading = Reading()
    parts: list[bytes] = []
    try:
        if data:
            connection.receive_data(data)
        if ended:
            connection.receive_data(b"")
        while reading.verdict == "incomplete":
            event = connection.next_event()
            if isinstance(event, h11.InformationalResponse):
                reading.interim.append((event.status_code, _fields(event)))
            elif isinstance(event, h11.Response):
                reading.start = (b"%d" % event.status_code, bytes(event.reason))
                reading.fields = _fields(event)
            elif isinstance(event, h11.Request):
                reading.start = (
                    bytes(event.method),
                    bytes(event.target),
                    bytes(event.http_version),
                )
                reading.fields = _fields(event)
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                reading.trailers = _fields(event)
                reading.verdict = "complete"
            elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                break
            else:
                reading.verdict, reading.why = "refused", repr(event)
    except h11.RemoteProtocolError as error:
        reading.verdict, reading.why = "refused", str(error)
    reading.body = b"".join(parts)
    reading.rest = connection.trailing_data[0]
    reading.kept = connection.their_state in KEPT
    return reading


def _fields(event: h11.Response | h11.Request | h11.EndOfMessage) -> list[Field]:
    return [(bytes(name), bytes(value)) for name, value in event.headers.raw_items()]
