"""What becomes of a request's target, against a plain reckoning of it (B-07, B-08).

Prefixes match on segment borders, the longest wins, and no byte behind the prefix changes.
"""

from __future__ import annotations

import re

from hypothesis import assume, example, given
from hypothesis import strategies as st
from unit.forwarding.conftest import config_of

from proxy.errors import Fault, ProxyError
from proxy.forwarding.head_reader import HeadReader
from proxy.forwarding.routing import Routes

DOTS = re.compile(rb"%2e|\.", re.IGNORECASE)
SLASHES = re.compile(rb"%2f|%5c|\\|/", re.IGNORECASE)
# Two-letter words over two letters, so that prefixes are often prefixes of one another.
SEGMENT = st.text("ab", min_size=1, max_size=2)
PREFIX = st.lists(SEGMENT, max_size=3).map(lambda segments: "/" + "/".join(segments))
TAIL = st.lists(
    st.sampled_from(
        [*(bytes([each]) for each in range(33, 256) if each not in b"#\x7f"), b"/", b"?", b"%2F"]
    ),
    max_size=12,
).map(b"".join)
DOTTY = st.lists(
    st.sampled_from([b".", b"%2e", b"%2E", b"/", b"%2f", b"%5C", b"\\", b";", b"?", b"a", b"%2"]),
    max_size=8,
).map(lambda parts: b"/" + b"".join(parts))


def block(target: bytes, host: bytes = b"localhost") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: " + host


def matched(routes: Routes, target: bytes) -> tuple[str, bytes] | None:
    """Return the upstream's name and the target; None if the request is refused."""
    try:
        head = HeadReader(fields_max=8).read(block(target))
        route, sent = routes.match(head)
    except ProxyError as error:
        if error.fault not in {Fault.BAD_REQUEST, Fault.NO_ROUTE}:
            raise
        return None
    return route.name, sent


def upstream(prefix: str, url_path: str = "", **keys: object) -> dict[str, object]:
    url = f"https://api.example.com{url_path}"
    return {"url": url, "audience": "none", "match": {"path": prefix}, **keys}


def has_dot_segments(path: bytes) -> bool:
    """Say what the most lenient server may find once it has decoded as much as any does."""
    segments = SLASHES.split(path)[1:]
    return any(DOTS.sub(b".", each.partition(b";")[0]) in {b".", b".."} for each in segments)


@given(PREFIX, PREFIX, TAIL, st.booleans(), st.booleans())
def test_the_bytes_behind_the_prefix_never_change(
    prefix: str,
    url_path: str,
    tail: bytes,
    keep_prefix: bool,  # noqa: FBT001 - hypothesis gives it
    absolute: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    routes = Routes(
        config_of(
            {"api": upstream(prefix, url_path, keep_prefix=keep_prefix)},
            allowed_hosts=["localhost"],
        )
    )
    path = prefix.rstrip("/").encode() + b"/" + tail
    found = matched(routes, b"http://localhost" + path if absolute else path)
    if found is None:
        assert has_dot_segments(path.partition(b"?")[0])
        return
    base = url_path.rstrip("/").encode() + (prefix.rstrip("/").encode() if keep_prefix else b"")
    assert found == ("api", base + b"/" + tail)


@given(
    st.lists(PREFIX, min_size=1, max_size=5, unique=True),
    PREFIX,
    st.sampled_from([b"", b"/", b"?/a", b"/?b"]),
)
@example(["/a"], "/ab", b"")
@example(["/a/b", "/a"], "/a/bb", b"")
def test_the_longest_prefix_that_ends_at_a_segments_border_wins(
    prefixes: list[str], path: str, rest: bytes
) -> None:
    routes = Routes(config_of({f"u{at}": upstream(prefix) for at, prefix in enumerate(prefixes)}))
    target = path.encode() + rest
    plain = target.partition(b"?")[0]
    fitting = [
        (len(prefix), f"u{at}")
        for at, prefix in enumerate(prefixes)
        if plain == prefix.encode() or (plain + b"/").startswith(prefix.rstrip("/").encode() + b"/")
    ]
    found = matched(routes, target)
    assert (found and found[0]) == (max(fitting)[1] if fitting else None)


ROOT = Routes(config_of({"api": upstream("/")}))


@given(DOTTY)
@example(b"/a;/..;x/b")
@example(b"/%2e%2E%5cb")
@example(b"/a/..")
@example(b"/...")
@example(b"/a?/../b")
def test_dot_segments_are_refused_however_they_are_written_and_nothing_else_is(
    target: bytes,
) -> None:
    refused = has_dot_segments(target.partition(b"?")[0])
    assert matched(ROOT, target) == (None if refused else ("api", target))


@given(PREFIX, PREFIX, TAIL)
@example("/a", "/ab", b"")
def test_the_path_of_an_upstreams_own_url_is_forwarded_as_it_is(
    url_path: str, start: str, tail: bytes
) -> None:
    """What `HTTP_PROXY` makes clients send: it lies below the path of `url`, or is refused."""
    routes = Routes(config_of({"api": upstream("/nowhere", url_path)}))
    path = start.encode() + tail
    assume(not has_dot_segments(path.partition(b"?")[0]))
    base = url_path.rstrip("/").encode()
    below = (path.partition(b"?")[0] + b"/").startswith(base + b"/")
    found = matched(routes, b"http://api.example.com" + path)
    assert found == (("api", path) if below else None)
