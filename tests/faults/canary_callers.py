"""Callers that put what they must not lose into every place but the path, which the log may have.

What comes is whole requests and torn ones, for a proxy of `canary_servers.configuration`, and for
its admin listener.
"""

from __future__ import annotations

import asyncio
from urllib.parse import quote

CALLER = "clarinet/Parsnip+caller=~;1"
"""What a caller sends of its own: in its query, its fields, its body."""
ANSWER_SECONDS_MAX = 30

_QUERY = f"access_token={quote(CALLER, safe='')}&client_secret={quote(CALLER)}"
_FIELDS = (
    f"Authorization: Bearer {CALLER}",
    f"Proxy-Authorization: Basic {CALLER}",
    f"Cookie: session={CALLER}",
    f"X-Api-Key: {CALLER}",
    f"Referer: http://u:{CALLER}@localhost/?{_QUERY}",
)


def request(
    target: str, *fields: str, method: str = "GET", host: str = "localhost", body: str = ""
) -> bytes:
    """Return a request that carries the caller's secrets and asks for no second one."""
    lines = (f"{method} {target} HTTP/1.1", f"Host: {host}", *_FIELDS, *fields)
    length = (f"Content-Length: {len(body)}",) if body else ()
    text = "\r\n".join((*lines, *length, "Connection: close", "", body))
    return text.encode("latin-1")


PASSED = [
    request(f"/{path}?{_QUERY}", method=method)
    for path in ("good/failed", "good/refused", "good/broken", "good/torn", "good/folded")
    for method in ("GET", "POST", "DELETE")
]
"""What an upstream answers, whatever that is."""

OURS = [
    *(request(f"/{path}?{_QUERY}") for path in ("bad/x", "strict/x", "nowhere/x", "nothing")),
    request(f"/strict/x?{_QUERY}", method="POST", body=CALLER),
    request("/good", host=f"{quote(CALLER)}.example"),
    request("/good", host=CALLER),
    request(f"http://user:{quote(CALLER, safe='')}@localhost/nothing?{_QUERY}"),
    request(f"http://user:{CALLER}@localhost/good"),
    request(f"http://localhost/nothing?{_QUERY}#{CALLER}"),
    request(f"/good?{_QUERY}#access_token={CALLER}"),
    request(f"{quote(CALLER)}.example:443", method="CONNECT"),
    request(f"/good?{_QUERY}", method="TRACE"),
    request(f"/good?{_QUERY}", f"Origin: https://{quote(CALLER)}.example"),
    request(f"/good?{_QUERY}", f"Expect: {CALLER}"),
    request(f"/good?{_QUERY}", f"Transfer-Encoding: {CALLER}"),
    request(f"/good?{_QUERY}", f"Content-Length: {CALLER}"),
    request(f"/good?{_QUERY}", f"Authorization Bearer {CALLER}"),
    request(f"/good?{_QUERY}", f"Authorization : Bearer {CALLER}"),
    request(f"/good?{_QUERY}", f"X-Odd: \xff\0{CALLER}\x01"),
    request(f"/good?{_QUERY}", f" {CALLER}"),
    request(f"/good?{_QUERY}", f"X-Long: {CALLER * 4000}"),
    request(f"/good?{_QUERY} {CALLER}"),
    request(f"/good?{_QUERY}", "Transfer-Encoding: chunked") + f"{CALLER}\r\n".encode(),
    f"{CALLER} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    f"GET / {CALLER}\r\nHost: localhost\r\n\r\n".encode(),
    f"{CALLER}\r\n\r\n".encode(),
    b"\x16\x03\x01" + CALLER.encode() + b"\r\n\r\n",
]
"""What we answer ourselves, or break off."""

OF_ADMIN = [
    *(request(f"{path}?{_QUERY}") for path in ("/metrics", "/status.json", "/", "/livez")),
    request("/readyz?verbose"),
    request(f"/{CALLER}?{_QUERY}"),
    request(f"/metrics?{_QUERY}", method="POST", body=CALLER),
    request("/metrics", f"Accept: {CALLER}", f"If-None-Match: {CALLER}"),
    request("/metrics", f"Content-Length: {CALLER}"),
    request("/metrics", f"Authorization Bearer {CALLER}"),
    request("/metrics", f"X-Odd: \xff\0{CALLER}\x01"),
    f"{CALLER}\r\n\r\n".encode(),
]


async def asked(port: int, wanted: bytes) -> bytes:
    """Return all that is said to a caller on a connection of its own, until that is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            writer.write(wanted)
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


async def all_asked(port: int, wanted: list[bytes]) -> list[bytes]:
    """Return what is said to each of them, all of which come at once."""
    return list(await asyncio.gather(*(asked(port, each) for each in wanted)))
