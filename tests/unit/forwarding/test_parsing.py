from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Fault, ProxyError
from proxy.forwarding.parsing import AnswerParser

LENGTH = b"HTTP/1.1 200 All Right\r\nX-A: caf\xe9\r\nContent-Length: 5\r\nx-a: 2\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n"
)
EARLY = b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + LENGTH


def parser(
    *, to_head: bool = False, head_bytes_max: int = 4096, fields_max: int = 8
) -> AnswerParser:
    one = AnswerParser(head_bytes_max=head_bytes_max, fields_max=fields_max)
    one.begin(to_head=to_head)
    return one


def fed(data: bytes, cuts: list[int], one: AnswerParser) -> bytes:
    """Feed the data cut at these places; return the body."""
    body = b""
    at = 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        if data[at:cut]:
            one.feed(data[at:cut])
            body += one.take()
        at = cut
    return body


CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@given(CUTS)
def test_where_an_answer_is_cut_is_no_matter(cuts: list[int]) -> None:
    one = parser()
    assert fed(LENGTH, cuts, one) == b"hello"
    assert (one.status, one.head.reason) == (200, b"All Right")
    assert one.head.fields == [(b"X-A", b"caf\xe9"), (b"Content-Length", b"5"), (b"x-a", b"2")]
    assert (one.complete, one.head.keep_alive, one.surplus) == (True, True, False)


@given(CUTS)
def test_where_a_chunked_answer_is_cut_is_no_matter(cuts: list[int]) -> None:
    one = parser()
    assert fed(CHUNKED, cuts, one) == b"hello"
    assert one.head.fields == [(b"Transfer-Encoding", b"chunked")]
    assert one.trailers == [(b"X-Sum", b"1")]
    assert (one.complete, one.surplus) == (True, False)


@given(CUTS)
def test_an_interim_answer_is_told_and_forgotten(cuts: list[int]) -> None:
    one = parser()
    told = []
    one.on_interim = lambda head: told.append((head.status, head.reason, head.fields))
    assert fed(EARLY, cuts, one) == b"hello"
    assert told == [(103, b"Early", [(b"Link", b"</a>")])]
    assert one.status == 200
    assert len(one.head.fields) == 3


@given(st.sampled_from([LENGTH, CHUNKED]), st.binary(min_size=1, max_size=20), CUTS)
def test_what_comes_behind_an_answer_is_never_part_of_one(
    data: bytes, surplus: bytes, cuts: list[int]
) -> None:
    one = parser()
    assert fed(data + surplus, cuts, one) == b"hello"
    assert one.complete
    # Empty lines before a message mean nothing (RFC 9112 §2.2).
    assert one.surplus or not surplus.strip(b"\r\n")
    assert one.status == 200


@given(st.binary(max_size=200), CUTS)
def test_any_bytes_make_an_answer_or_an_upstream_that_misspoke(
    data: bytes, cuts: list[int]
) -> None:
    one = parser()
    outcome: object = None
    try:
        fed(data, cuts, one)
    except ProxyError as error:
        outcome = error.fault
    assert outcome in {None, Fault.UPSTREAM_MISSPOKE}


def test_one_parser_serves_answer_after_answer() -> None:
    one = parser()
    for data in (LENGTH, CHUNKED, EARLY, LENGTH):
        assert fed(data, [], one) == b"hello"
        assert one.complete
        assert not one.surplus
        one.begin(to_head=False)
        assert (one.complete, one.head, one.trailers) == (False, None, [])


def test_an_answer_to_head_is_over_with_its_head() -> None:
    one = parser(to_head=True)
    one.feed(LENGTH[:-5])
    assert (one.complete, one.surplus) == (True, False)
    one.begin(to_head=False)
    assert fed(LENGTH, [], one) == b"hello"


def test_a_body_in_answer_to_head_is_surplus() -> None:
    one = parser(to_head=True)
    one.feed(LENGTH)
    assert (one.complete, one.surplus, one.take()) == (True, True, b"")


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhello", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (LENGTH[:-1], False),
        (CHUNKED[:-2], False),
        (b"HTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"", False),
    ],
)
def test_the_end_of_a_connection_ends_only_what_nothing_else_frames(
    data: bytes, *, whole: bool
) -> None:
    one = parser()
    if data:
        one.feed(data)
    assert one.ends_at_eof() is whole


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(9)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 5000,
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 200,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_what_goes_beyond_bounds_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyError) as caught:
        parser().feed(data)
    assert caught.value.fault is Fault.UPSTREAM_MISSPOKE


def test_a_long_body_is_no_long_head() -> None:
    one = parser(head_bytes_max=100)
    one.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"a" * 5000)
    assert len(one.take()) == 5000
    assert one.complete


@pytest.mark.parametrize("begun", [b"0\r\nX-T: ", b"1;x="])
def test_an_endless_trailer_or_extension_is_refused(begun: bytes) -> None:
    one = parser()
    one.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n" + begun)
    fed_bytes = 0
    with pytest.raises(ProxyError) as caught:  # noqa: PT012 - which of them it is, is open
        while fed_bytes < 100_000:
            one.feed(b"y" * 1000)
            fed_bytes += 1000
    assert fed_bytes <= 4096
    assert caught.value.fault is Fault.UPSTREAM_MISSPOKE


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
    ],
)
def test_an_answer_to_head_needs_no_framing_to_keep_its_connection(
    head: bytes, *, kept: bool
) -> None:
    one = parser(to_head=True)
    one.feed(head)
    assert one.complete
    assert one.head.keep_alive is kept
