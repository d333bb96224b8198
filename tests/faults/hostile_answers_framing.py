"""Answers that are broken below their meaning: their framing, their pace, their size.

Each breaks off, stalls or floods around an answer that would be a good one.
"""

from __future__ import annotations

import gzip
import json
import zlib

from faults.hostile_answers import WORDS, Row, granted, head, spoken
from faults.hostile_server import HANG, RESET, Flood, Pause, Step

BODY = json.dumps(granted()).encode()
WHOLE = spoken(granted())
HEAD = head(200, "Content-Type: application/json", f"Content-Length: {len(BODY)}")
CHUNKED = head(200, "Content-Type: application/json", "Transfer-Encoding: chunked")
GIBIBYTE = 1 << 30
STEP = 0.25


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def dribbled(content: bytes, seconds: float = 1) -> tuple[Step, ...]:
    """Return the steps that send `content` a byte at a time."""
    return tuple(step for byte in content for step in (bytes([byte]), Pause(seconds)))


FRAMING = [
    Row("no HTTP", f"{WORDS}: this is not HTTP\r\n\r\n".encode()),
    Row("SSH", b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    Row("SMTP", f"220 {WORDS} ESMTP\r\n\r\n".encode()),
    Row("HTTP/0.9", BODY),
    Row("TLS where none is wanted", b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"),
    Row("a version of letters", HEAD.replace(b"HTTP/1.1", b"HTTP/x.y", 1) + BODY),
    Row("a status of letters", HEAD.replace(b"200", b"OK?", 1) + BODY),
    Row("a status of two digits", HEAD.replace(b"200", b"20", 1) + BODY),
    Row("a status of four digits", HEAD.replace(b"200", b"2000", 1) + BODY),
    Row("a field without a colon", head(200, WORDS, f"Content-Length: {len(BODY)}") + BODY),
    Row("a field without a name", head(200, f": {WORDS}", f"Content-Length: {len(BODY)}") + BODY),
    Row("NUL in a field", head(200, f"X: {WORDS}\x00", f"Content-Length: {len(BODY)}") + BODY),
    Row("CR in a field", head(200, f"X: {WORDS}\rY: 1", f"Content-Length: {len(BODY)}") + BODY),
    Row("a length of letters", head(200, f"Content-Length: {WORDS}") + BODY),
    Row("a length below nothing", head(200, "Content-Length: -1") + BODY),
    Row("a length with a sign", head(200, f"Content-Length: +{len(BODY)}") + BODY),
    Row("a length of many digits", head(200, "Content-Length: " + "9" * 40) + BODY),
    Row("two lengths", head(200, f"Content-Length: {len(BODY)}", "Content-Length: 1") + BODY),
    Row(
        "length and chunks",
        head(200, f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked") + BODY,
    ),
    Row("chunks that are none", CHUNKED + BODY),
    Row("a chunk below nothing", CHUNKED + b"-1\r\n" + BODY),
    Row("a chunk longer than it says", CHUNKED + b"2\r\n" + BODY + b"\r\n0\r\n\r\n"),
    Row("a chunk of any size", CHUNKED + b"f" * 40 + b"\r\n" + BODY),
    Row("a length too long", head(200, f"Content-Length: {len(BODY) + 1}") + BODY),
    Row("a length too short", head(200, f"Content-Length: {len(BODY) - 1}") + BODY),
    Row("gzip that is none", spoken(BODY, "Content-Encoding: gzip")),
    Row("gzip broken off", spoken(gzip.compress(BODY)[:-12], "Content-Encoding: gzip")),
    Row(
        "gzip with a wrong sum",
        spoken(gzip.compress(BODY)[:-8] + b"\0" * 8, "Content-Encoding: gzip"),
    ),
    Row("deflate that is none", spoken(BODY, "Content-Encoding: deflate")),
    Row("an unknown coding", spoken(b"\x00" + BODY[::-1], f"Content-Encoding: {WORDS}")),
]

BROKEN_OFF = [
    Row("ends unsaid", b"", "unavailable"),
    Row("ends within the status line", HEAD[:10], "unavailable"),
    Row("ends within the head", HEAD[:-20], "unavailable"),
    Row("ends behind the head", HEAD),
    Row("ends within the body", HEAD + BODY[:-1]),
    Row("ends within a chunk", CHUNKED + b"ff\r\n" + BODY),
    Row("ends before the last chunk", CHUNKED + chunk(BODY)),
    Row("breaks its chunks later", (CHUNKED + chunk(b"{"), Pause(STEP), b"ZZ\r\n")),
    Row("breaks its chunks later and stays", (CHUNKED + chunk(b"{"), Pause(STEP), b"ZZ\r\n", HANG)),
    Row("ends its chunks later", (CHUNKED + chunk(b"{"), Pause(STEP), b"9\r\n")),
    Row("ends behind a 103", head(103, f"Link: </{WORDS}>"), "unavailable"),
    Row("reset unsaid", (RESET,), "unavailable"),
    Row("reset within the head", (HEAD[:-20], Pause(STEP), RESET), "unavailable"),
    Row("reset within the body", (HEAD + BODY[:-1], Pause(STEP), RESET)),
    Row("reset within a chunk", (CHUNKED + b"ff\r\n" + BODY, Pause(STEP), RESET)),
]

TIMING = [
    Row(name, (*steps, HANG), "timeout")
    for name, steps in (
        ("silent", ()),
        ("silent behind half a status line", (b"HTTP/1.1 2",)),
        ("silent behind half a head", (HEAD[:-20],)),
        ("silent behind a head", (HEAD,)),
        ("silent behind half a body", (HEAD + BODY[:20],)),
        ("silent behind half a chunk", (CHUNKED + b"ff\r\n" + BODY,)),
        ("silent before the last chunk", (CHUNKED + chunk(BODY),)),
        ("whole, but for its end", (head(200) + BODY,)),
        ("a 100 and no more", (b"HTTP/1.1 100 Continue\r\n\r\n",)),
        ("100 without end", (b"HTTP/1.1 100 Continue\r\n\r\n", Pause(1)) * 20),
        ("status line by the byte", dribbled(HEAD[:20])),
        ("head by the byte", (HEAD[:-20], *dribbled(HEAD[-20:]))),
        ("head without end", (HEAD[:-2], *(f"X-{WORDS}: 1\r\n".encode(), Pause(0.5)) * 40)),
        ("body by the byte", (HEAD, *dribbled(BODY[:20]))),
        ("body by the byte, just too slow", (HEAD, *dribbled(BODY, 12 / len(BODY)))),
        ("chunks by the byte", (CHUNKED, *dribbled(chunk(BODY[:9]) * 2))),
        ("chunk size by the byte", (CHUNKED, *dribbled(b"0" * 20))),
        ("white space without end", (head(200), *(b" " * 64, Pause(0.25)) * 80)),
    )
]

_DEFLATE = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
ZEROS = _DEFLATE.compress(bytes(1 << 20)) + _DEFLATE.flush(zlib.Z_FULL_FLUSH)
"""A mebibyte of zeros, deflated, that may be repeated."""
GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
EXTRA = "x" * (65537 - len(json.dumps(granted(x=""))))

SIZES = [
    Row("64 KiB and one", spoken(granted(x=EXTRA))),
    Row(
        "64 KiB and one, in chunks",
        CHUNKED + chunk(json.dumps(granted(x=EXTRA)).encode()) + chunk(b""),
    ),
    # Of an error nothing is wanted but its status.
    Row("64 KiB and one of an error", spoken(WORDS * 7300, status=400), "refused"),
    Row("64 KiB and one behind a 500", spoken(WORDS * 7300, status=500), "unavailable"),
    Row(
        "a GiB", (head(200, f"Content-Length: {GIBIBYTE}"), Flood(b"x" * 65536, 16384)), flood=True
    ),
    Row("a GiB that was not announced", (head(200), Flood(b"x" * 65536, 16384)), flood=True),
    Row(
        "a GiB of white space before an answer",
        (head(200), Flood(b" " * 65536, 16384), BODY),
        flood=True,
    ),
    Row("a GiB of an error", (head(400), Flood(b"x" * 65536, 16384)), "refused", flood=True),
    Row("a GiB behind a 500", (head(500), Flood(b"x" * 65536, 16384)), "unavailable", flood=True),
    Row("a GiB in one chunk", (CHUNKED + b"40000000\r\n", Flood(b"x" * 65536, 16384)), flood=True),
    Row("a GiB in chunks", (CHUNKED, Flood(chunk(b"x" * 65500), 16384)), flood=True),
    Row("a GiB in chunks of a byte", (CHUNKED, Flood(chunk(b"x") * 8192, 16384)), flood=True),
    Row(
        "trailers", (CHUNKED + chunk(BODY) + b"0\r\n", Flood(b"X: 1\r\n" * 8192, 16384)), flood=True
    ),
    Row(
        "one trailer", (CHUNKED + chunk(BODY) + b"0\r\nX: ", Flood(b"x" * 65536, 16384)), flood=True
    ),
    Row(
        "a gzip bomb",
        (head(200, "Content-Encoding: gzip"), GZIP, Flood(ZEROS, 1024)),
        flood=True,
    ),
    Row(
        "a gzip bomb of known length",
        spoken(GZIP + ZEROS * 1024, "Content-Encoding: gzip"),
        flood=True,
    ),
    Row("a deflate bomb", (head(200, "Content-Encoding: deflate"), Flood(ZEROS, 1024)), flood=True),
    Row(
        "a gzip bomb behind a 400",
        (head(400, "Content-Encoding: gzip"), GZIP, Flood(ZEROS, 1024)),
        "refused",
        flood=True,
    ),
    Row("a status line", (b"HTTP/1.1 200 ", Flood(b"x" * 65536, 16384)), flood=True),
    Row("one field", (HEAD[:-2] + b"X: ", Flood(b"x" * 65536, 16384)), flood=True),
    Row("a field's name", (HEAD[:-2], Flood(b"x" * 65536, 16384)), flood=True),
    Row("fields", (HEAD[:-2], Flood(f"X-{WORDS}: 1\r\n".encode() * 4096, 16384)), flood=True),
    Row(
        "a field of 100 KB", head(200, "X: " + "x" * 100_000, f"Content-Length: {len(BODY)}") + BODY
    ),
    Row("ten thousand fields", head(200, *["X: 1"] * 10000, f"Content-Length: {len(BODY)}") + BODY),
]
SIZES += [
    Row(name, (*steps, HANG), flood=True)
    for name, steps in (
        ("32 MiB of a chunk's extension", (CHUNKED + b"1;", Flood(b"x" * 65536, 512))),
        ("32 MiB of line ends", (Flood(b"\r\n" * 32768, 512),)),
        ("1 MiB of 1xx", (Flood(b"HTTP/1.1 103 Hints\r\n\r\n" * 2000, 24),)),
    )
]
"""The last are thrown away as they come: their bytes are counted all the same."""
