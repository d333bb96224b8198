from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from unit.forwarding.conftest import read_answer

from proxy.errors import Fault, ProxyError
from proxy.forwarding import message
from proxy.model import Token

if TYPE_CHECKING:
    from unit.forwarding.conftest import MakeRoute, ReadHead

    from proxy.forwarding.head import Field

VIA = b"Via: 1.1 token-proxy-00112233"
TOKEN = Token(b"Authorization", b"Bearer ours")
KEY = Token(b"X-Api-Key", b"ours")


def sent(
    make_route: MakeRoute,
    read_head: ReadHead,
    fields: list[Field],
    *,
    token: Token | None = None,
    head: dict[str, Any] | None = None,
    **keys: Any,
) -> list[bytes]:
    """Return the lines of the head that goes up, without the two empty ones at its end."""
    data = message.outbound(
        read_head(*fields, **(head or {})),
        make_route(**keys),
        b"/target",
        token,
        peer="10.0.0.9",
        via=VIA,
    )
    assert data.endswith(b"\r\n\r\n")
    return data[:-4].split(b"\r\n")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://API.example.com/v1", b"api.example.com"),
        ("https://api.example.com:443", b"api.example.com"),
        ("https://api.example.com:80", b"api.example.com:80"),
        ("http://127.0.0.1", b"127.0.0.1"),
        ("http://127.0.0.1:443", b"127.0.0.1:443"),
        ("http://[::1]:8080", b"[::1]:8080"),
        ("https://[2001:DB8:0::1]", b"[2001:db8::1]"),
    ],
)
def test_host_is_the_upstreams(
    make_route: MakeRoute, read_head: ReadHead, url: str, host: bytes
) -> None:
    lines = sent(make_route, read_head, [], url=url)
    assert lines == [b"GET /target HTTP/1.1", b"Host: " + host, VIA]


def test_host_is_the_callers_where_preserved(make_route: MakeRoute, read_head: ReadHead) -> None:
    lines = sent(make_route, read_head, [], host_header="preserve")
    assert lines[1] == b"Host: localhost"
    lines = sent(
        make_route,
        read_head,
        [],
        host_header="preserve",
        head={"host": None, "version": (1, 0)},
    )
    assert lines[1] == b"Host: api.example.com"
    lines = sent(
        make_route, read_head, [], host_header="preserve", head={"target": b"http://[::1]:9/a"}
    )
    assert lines[1] == b"Host: [::1]:9"


MINE = [
    (b"authorization", b"mine"),
    (b"X-Api-Key", b"mine"),
    (b"x_api_key", b"mine"),
    (b"X-A", b"1"),
]


@pytest.mark.parametrize(
    ("keys", "token", "came"),
    [
        ({}, None, [b"authorization: mine", b"X-Api-Key: mine", b"x_api_key: mine", b"X-A: 1"]),
        ({"audience": "orders"}, TOKEN, [b"X-Api-Key: mine", b"x_api_key: mine", b"X-A: 1"]),
        ({"audience": "keyed"}, KEY, [b"X-A: 1"]),
    ],
)
def test_the_credential_replaces_the_callers_and_stands_last(
    make_route: MakeRoute,
    read_head: ReadHead,
    keys: dict[str, Any],
    token: Token | None,
    came: list[bytes],
) -> None:
    lines = sent(make_route, read_head, MINE, token=token, **keys)
    ours = [] if token is None else [token.header + b": " + token.credential]
    assert lines[2:] == [*came, VIA, *ours]


def test_set_fields_replace_and_removed_ones_go(make_route: MakeRoute, read_head: ReadHead) -> None:
    fields = [(b"X-SET", b"1"), (b"x-gone", b"1"), (b"X-Stays", b"1"), (b"x-set", b"2")]
    lines = sent(
        make_route,
        read_head,
        fields,
        set_headers={"X-Set": "ours", "X-New": "a b"},
        remove_headers=["X-Gone"],
    )
    assert lines[2:] == [b"X-Stays: 1", b"X-Set: ours", b"X-New: a b", VIA]


def test_what_connection_names_cannot_take_away_what_is_set(
    make_route: MakeRoute, read_head: ReadHead
) -> None:
    fields = [(b"Connection", b"x-set, authorization, via, host"), (b"X-Set", b"theirs")]
    lines = sent(
        make_route,
        read_head,
        fields,
        token=TOKEN,
        audience="orders",
        set_headers={"X-Set": "ours"},
    )
    assert lines[1:] == [
        b"Host: api.example.com",
        b"X-Set: ours",
        VIA,
        b"Authorization: Bearer ours",
    ]


FORWARDED = [
    (b"X-Forwarded-For", b"10.0.0.1"),
    (b"x-forwarded-host", b"a.test"),
    (b"FORWARDED", b"for=10.0.0.1"),
    (b"X-Forwarded-Anything", b"1"),
    (b"X-Forwardedish", b"1"),
    (b"X_Forwarded_For", b"10.0.0.2"),
]


@pytest.mark.parametrize(
    ("mode", "came"),
    [
        ("pass", [b": ".join(field) for field in FORWARDED]),
        ("drop", [b"X-Forwardedish: 1"]),
        (
            "replace",
            [
                b"X-Forwardedish: 1",
                b"X-Forwarded-For: 10.0.0.9",
                b"X-Forwarded-Proto: http",
                b"X-Forwarded-Host: localhost",
            ],
        ),
        (
            "append",
            [
                b"x-forwarded-host: a.test",
                b"FORWARDED: for=10.0.0.1",
                b"X-Forwarded-Anything: 1",
                b"X-Forwardedish: 1",
                b"X-Forwarded-For: 10.0.0.1, 10.0.0.2, 10.0.0.9",
                b"X-Forwarded-Proto: http",
            ],
        ),
    ],
)
def test_forwarded_fields(
    make_route: MakeRoute, read_head: ReadHead, mode: str, came: list[bytes]
) -> None:
    lines = sent(make_route, read_head, FORWARDED, forwarded_headers=mode)
    assert lines[2:-1] == came


@pytest.mark.parametrize(
    ("status", "fields", "to_head", "until_close"),
    [
        (200, [], False, True),
        (200, [(b"Content-Length", b"0")], False, False),
        (200, [(b"Transfer-Encoding", b"Chunked")], False, False),
        (200, [], True, False),
        (204, [], False, False),
        (304, [], False, False),
        (600, [], False, True),
    ],
)
def test_an_answers_end_is_known(
    status: int, fields: list[Field], *, to_head: bool, until_close: bool
) -> None:
    assert read_answer(status, b"", fields, to_head=to_head).until_close is until_close


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Transfer-Encoding", b"gzip")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"")],
    ],
)
def test_an_answer_in_another_coding_is_refused(fields: list[Field]) -> None:
    with pytest.raises(ProxyError) as caught:
        read_answer(200, b"OK", fields, to_head=False)
    assert caught.value.fault is Fault.UPSTREAM_MISSPOKE
    assert caught.value.proxy_status == "http_response_transfer_coding"


@pytest.mark.parametrize(
    ("status", "fields", "to_head", "minor", "close", "head", "chunked"),
    [
        (200, [(b"content-length", b"007")], False, 1, False, [b"content-length: 7"], False),
        (200, [(b"X-A", b"1")], False, 1, True, [b"X-A: 1", b"Connection: close"], False),
        (
            200,
            [(b"Transfer-Encoding", b"chunked"), (b"X-A", b"1")],
            False,
            1,
            False,
            [b"X-A: 1", b"Transfer-Encoding: chunked"],
            True,
        ),
        (200, [(b"Transfer-Encoding", b"chunked")], False, 0, True, [b"Connection: close"], False),
        (
            200,
            [(b"Content-Length", b"0")],
            False,
            0,
            False,
            [b"Content-Length: 0", b"Connection: keep-alive"],
            False,
        ),
        (304, [(b"Transfer-Encoding", b"chunked")], False, 1, False, [], False),
        (204, [(b"Connection", b"X-A, close"), (b"x-a", b"1")], False, 1, False, [], False),
        (200, [(b"Content-Length", b"9")], True, 1, False, [b"Content-Length: 9"], False),
    ],
)
def test_an_answers_head_says_how_it_is_framed_here(
    status: int,
    fields: list[Field],
    minor: int,
    head: list[bytes],
    *,
    to_head: bool,
    close: bool,
    chunked: bool,
) -> None:
    answer = read_answer(status, b"Why", fields, to_head=to_head)
    data, in_chunks = message.inbound(answer, minor=minor, close=close)
    assert data == b"\r\n".join([b"HTTP/1.1 %d Why" % status, *head, b"", b""])
    assert in_chunks is chunked


def test_an_interim_answer_is_cleaned_too() -> None:
    fields = [(b"Link", b"</a>"), (b"Connection", b"x-a"), (b"X-A", b"1"), (b"Keep-Alive", b"1")]
    assert (
        message.interim(read_answer(103, b"Early", fields))
        == b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"
    )


def test_the_last_chunk_carries_the_trailers_that_may_go_on() -> None:
    answer = read_answer(200, b"OK", [(b"Connection", b"X-Private")], to_head=False)
    trailers = [
        (b"X-Sum", b"1"),
        (b"x-private", b"1"),
        (b"Content-Length", b"1"),
        (b"HOST", b"a"),
        (b"Connection", b"close"),
        (b"x-sum", b"caf\xe9"),
    ]
    end = b"0\r\nX-Sum: 1\r\nx-sum: caf\xe9\r\n\r\n"
    assert message.last_chunk(trailers, answer.named) == end
    assert message.last_chunk([], answer.named) == b"0\r\n\r\n"
