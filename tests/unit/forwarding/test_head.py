from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.forwarding.conftest import block

from proxy.errors import Fault, ProxyError
from proxy.forwarding.head_reader import HeadReader

if TYPE_CHECKING:
    from unit.forwarding.conftest import ReadHead

    from proxy.forwarding.head import Field, RequestHead

FIXED = [
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Connection",
    b"TE",
    b"Trailer",
    b"Upgrade",
    b"HTTP2-Settings",
    b"Proxy-Authorization",
    b"Proxy-Authenticate",
]
TOKEN = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=8).map(str.encode)
NAMES = st.one_of(TOKEN, st.sampled_from([*FIXED, b"X-A", b"Cookie", b"Authorization", b"Via"]))
CONTROLS = bytes(each for each in range(33) if each not in b" \t") + b"\x7f"
VALUES = st.binary(max_size=8).map(lambda raw: raw.translate(None, CONTROLS).strip(b" \t"))


def names_of(head: RequestHead) -> list[bytes]:
    return head.names


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12), st.lists(TOKEN, max_size=4))
@example([(b"Authorization", b"x")], [b"Authorization"])
@example([(b"X-A", b"1")], [b"", b"x-a"])
def test_whatever_connection_names_and_only_that_is_gone(
    fields: list[Field], options: list[bytes]
) -> None:
    fields = [
        (name, value)
        for name, value in fields
        if name.lower() not in {b"host", b"expect", b"content-length", b"connection"}
    ]
    fields.append((b"Connection", b", ".join(options)))
    head = HeadReader(fields_max=128).read(block((b"Host", b"localhost"), *fields))
    gone = {name.lower() for name in FIXED} | {option.lower() for option in options} - {
        *(b"host", b"content-length", b"transfer-encoding", b"via")
    }
    merged = {b"content-length", b"host", b"authorization", b"expect", b"transfer-encoding"} | {
        name.lower() for name in FIXED
    }
    stays = [
        (name, value)
        for name, value in fields
        if name.lower() not in gone
        and not (b"_" in name and name.lower().replace(b"_", b"-") in merged)
    ]
    assert head.lines[1:] == [name + b": " + value for name, value in stays]


@pytest.mark.parametrize(
    "name",
    [
        b"Content_Length",
        b"content_length",
        b"Transfer_Encoding",
        b"Proxy_Authorization",
        b"Keep_Alive",
        b"Proxy_Connection",
    ],
)
def test_a_name_that_would_turn_into_framing_elsewhere_is_dropped(
    read_head: ReadHead, name: bytes
) -> None:
    head = read_head((name, b"1"), (b"X_Mine", b"2"))
    assert head.lines[1:] == [b"X_Mine: 2"]


@pytest.mark.parametrize(
    ("fields", "length", "chunked"),
    [
        ([], None, False),
        ([(b"Content-Length", b"0")], 0, False),
        ([(b"Content-Length", b"007")], 7, False),
        ([(b"Content-Length", b"999999999999999999")], 999999999999999999, False),
        ([(b"Transfer-Encoding", b"chunked")], None, True),
        ([(b"Transfer-Encoding", b" CHUNKED\t")], None, True),
    ],
)
def test_framing_is_read_once(
    read_head: ReadHead, fields: list[Field], length: int | None, *, chunked: bool
) -> None:
    head = read_head(*fields)
    assert (head.content_length, head.chunked) == (length, chunked)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"5"), (b"Content-Length", b"5")],
        [(b"Content-Length", b"5, 5")],
        [(b"Content-Length", b"")],
        [(b"Content-Length", b"+5")],
        [(b"Content-Length", b"-0")],
        [(b"Content-Length", b"5 5")],
        [(b"Content-Length", b"\xb2")],
        [(b"Content-Length", b"0x5")],
        [(b"Content-Length", b"9" * 19)],
        [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
        [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"")],
        [(b"Transfer-Encoding", b"")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked, chunked")],
        [(b"Transfer-Encoding", b"chunked;q=1")],
        [(b"Transfer-Encoding", b"identity")],
        [(b"Transfer-Encoding", b"\x0bchunked")],
    ],
)
def test_ambiguous_framing_is_refused(read_head: ReadHead, fields: list[Field]) -> None:
    with pytest.raises(ProxyError) as caught:
        read_head(*fields, method="POST")
    assert (caught.value.fault, caught.value.status) == (Fault.BAD_REQUEST, 400)


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ({"version": (0, 9)}, 505),
        ({"version": (1, 2)}, 505),
        ({"version": (2, 0)}, 505),
        ({"method": "TRACE"}, 405),
        ({"method": "CONNECT", "target": b"localhost:80"}, 405),
        ({"host": None}, 400),
        ({"host": b""}, 400),
        ({"host": b"a b"}, 400),
        ({"host": b"a,b"}, 400),
        ({"host": b"a/b"}, 400),
        ({"host": b"me@a"}, 400),
        ({"host": b"a\n"}, 400),
        ({"host": b"a:b"}, 400),
        ({"host": b"a:123456"}, 400),
        ({"host": b"[::1"}, 400),
        ({"host": b"::1"}, 400),
        ({"target": b""}, 400),
        ({"target": b"a"}, 400),
        ({"target": b"localhost:80"}, 400),
        ({"target": b"ftp://localhost/"}, 400),
        ({"target": b"http://"}, 400),
        ({"target": b"http:///a"}, 400),
        ({"target": b"http://me@localhost/a"}, 400),
        ({"target": b"http://localhost#a"}, 400),
        ({"target": b"http://localhost/../a"}, 400),
        ({"target": b"/a#b"}, 400),
        ({"target": b"/#"}, 400),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_true_status(
    read_head: ReadHead, keys: dict[str, object], status: int
) -> None:
    with pytest.raises(ProxyError) as caught:
        read_head(**keys)
    assert (caught.value.fault, caught.value.status) == (Fault.BAD_REQUEST, status)


@pytest.mark.parametrize("dots", [b".", b"..", b"%2e", b"%2E", b".%2e", b"%2E.", b"%2e%2E"])
@pytest.mark.parametrize(
    "path",
    [
        b"/%b",
        b"/%b/",
        b"/a/%b",
        b"/a/%b/b",
        b"//%b/b",
        b"/a/%b?b",
        b"/a/%b;x=1/b",
        b"/a/%b%%2fb",
        b"/a/%b%%2F",
        b"/a/%b%%5cb",
        b"/a/%b\\b",
        b"/a\\%b\\b",
        b"/a%%2f%b/b",
        b"/a%%5C%b",
    ],
)
def test_dot_segments_are_refused_however_they_are_written(
    read_head: ReadHead, path: bytes, dots: bytes
) -> None:
    with pytest.raises(ProxyError) as caught:
        read_head(target=path % dots)
    assert caught.value.fault is Fault.BAD_REQUEST


@pytest.mark.parametrize(
    "target",
    [
        b"/.well-known/x",
        b"/a/..b",
        b"/a/b..",
        b"/a/...",
        b"/a/.%20",
        b"/a.b/c",
        b"/a%2eb",
        b"/a;..",
        b"/a%252e%252e/b",
        b"/a?x=/../b",
        b"/?..",
        b"/...?",
        b"//",
        b"/a//b",
        b"/a%2Fb",
        b"/%7Eu/%zz/%",
        b'/a|b[c]{d}^`"<>\\e',
        b"/a+b;c=d,e:f@g",
        b"/?",
        b"/a?",
        b"/a??b?c",
    ],
)
def test_other_targets_are_split_and_nothing_more(read_head: ReadHead, target: bytes) -> None:
    head = read_head(target=target)
    assert head.path + head.query == target
    assert head.query[:1] in {b"", b"?"}
    assert b"?" not in head.path


@pytest.mark.parametrize(
    ("target", "authority", "path", "query"),
    [
        (b"http://h/a?b", b"h", b"/a", b"?b"),
        (b"HTTP://H:80/a", b"H:80", b"/a", b""),
        (b"https://h", b"h", b"/", b""),
        (b"http://h?b/c", b"h", b"/", b"?b/c"),
        (b"http://h/", b"h", b"/", b""),
        (b"http://[::1]:8/a", b"[::1]:8", b"/a", b""),
        (b"http://h//a", b"h", b"//a", b""),
    ],
)
def test_an_absolute_target_names_its_authority(
    read_head: ReadHead, target: bytes, authority: bytes, path: bytes, query: bytes
) -> None:
    head = read_head(target=target)
    assert (head.authority, head.path, head.query) == (authority, path, query)


def test_a_caller_of_http_1_0_may_do_without_host(read_head: ReadHead) -> None:
    head = read_head((b"X-A", b"1"), host=None, version=(1, 0))
    assert head.authority is None
    assert names_of(head) == [b"host", b"x-a"]


@pytest.mark.parametrize("name", [b"Host", b"HOST", b"host"])
def test_a_second_host_is_refused(read_head: ReadHead, name: bytes) -> None:
    with pytest.raises(ProxyError, match="several Host"):
        read_head((name, b"localhost"))


def test_an_expectation_that_nobody_knows_is_refused(read_head: ReadHead) -> None:
    with pytest.raises(ProxyError) as caught:
        read_head((b"Expect", b"200-ok"))
    assert caught.value.status == 417


def test_a_known_expectation_stays(read_head: ReadHead) -> None:
    head = read_head((b"expect", b"100-Continue"))
    assert head.expects_continue
    assert head.lines[1] == b"expect: 100-Continue"
