"""What stays behind at this hop and what goes on, both ways, against a plain reckoning of it.

RFC 9110 §7.6.1 (B-01, B-02, B-03): a fixed list stays behind, and whatever `Connection` names; but
what the proxy adds or relies on cannot be taken away by naming it. The rest goes on as it came.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from unit.forwarding.conftest import config_of, read_answer

from proxy.errors import Fault, ProxyError
from proxy.forwarding import message
from proxy.forwarding.head_reader import HeadReader
from proxy.forwarding.routing import Routes
from proxy.model import Token

Field = tuple[bytes, bytes]

STAYS_BEHIND = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
    b"proxy-authorization",
    b"proxy-authenticate",
}
RELIED_ON = {b"host", b"via", b"content-length", b"transfer-encoding"}
FRAMING_OR_CREDENTIAL = STAYS_BEHIND | {b"content-length", b"host", b"authorization", b"expect"}
VIA = b"Via: 1.1 token-proxy-00112233"
HOST = b"Host: api.example.com"
TOKEN = Token(b"Authorization", b"Bearer ours")
OURS = [
    b"X-Forwarded-For: 10.0.0.9",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Host: localhost",
    b"X-Set: ours",
    VIA,
    b"Authorization: Bearer ours",
]
ROUTE = Routes(
    config_of(
        {
            "api": {
                "url": "https://api.example.com",
                "audience": "orders",
                "set_headers": {"X-Set": "ours"},
                "forwarded_headers": "replace",
            }
        }
    )
).routes[0]


def mixed_case(name: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([name, name.upper(), name.title(), name.swapcase()])


WORD = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=6).map(str.encode)
KNOWN = st.sampled_from(
    [
        *sorted(STAYS_BEHIND - {b"transfer-encoding", b"connection"}),
        *(b"authorization", b"via", b"x-set", b"x-forwarded-for", b"forwarded", b"cookie"),
        *(b"x-a", b"x_a", b"content_length", b"transfer_encoding", b"te_", b"keep_alive"),
    ]
).flatmap(mixed_case)
NAMES = WORD | KNOWN
TEXT = [bytes([each]) for each in range(256) if each == 9 or (each >= 32 and each != 127)]
VALUES = st.lists(st.sampled_from(TEXT), max_size=8).map(b"".join)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=10).map(
    lambda fields: [
        (name, value)
        for name, value in fields
        if name.lower() not in {b"host", b"connection", b"content-length", b"transfer-encoding"}
        and name.lower() not in {b"expect", b"max-forwards"}
    ]
)
OPTIONS = st.lists(
    NAMES | st.sampled_from([b"", b"close", b"Keep-Alive", b"Host", b"Content-Length", b"VIA"]),
    max_size=4,
)
SPACED = st.sampled_from([b",", b", ", b" ,\t", b",,"])
CONNECTIONS = st.lists(st.tuples(OPTIONS, SPACED, mixed_case(b"connection")), max_size=3)


def options_of(connections: list[tuple[list[bytes], bytes, bytes]]) -> set[bytes]:
    return {option.lower() for options, _, _ in connections for option in options}


def connection_lines(connections: list[tuple[list[bytes], bytes, bytes]]) -> list[Field]:
    return [(name, comma.join(options)) for options, comma, name in connections]


def spread(fields: list[Field], among: list[Field], places: list[int]) -> list[Field]:
    """Return the fields with the others put in between, at these places."""
    mixed = list(fields)
    for field, place in zip(among, places, strict=False):
        mixed.insert(place % (len(mixed) + 1), field)
    return mixed


PLACES = st.lists(st.integers(0, 20), min_size=8, max_size=8)


@given(FIELDS, CONNECTIONS, PLACES, st.sampled_from([b"", b" ", b"\t "]), st.booleans())
@example(
    [(b"Authorization", b"mine")],
    [([b"authorization", b"via"], b",", b"Connection")],
    [0] * 8,
    b" ",
    True,
)
@example([(b"X-A", b"1")], [([b"close", b"X-A"], b" ,\t", b"Connection")], [0] * 8, b" ", False)
@example(
    [(b"X-A", b"1")],
    [([], b",", b"Connection"), ([b"x-a"], b",", b"CONNECTION")],
    [0] * 8,
    b" ",
    False,
)
def test_a_request_goes_on_as_it_came_but_for_what_is_of_this_hop(
    fields: list[Field],
    connections: list[tuple[list[bytes], bytes, bytes]],
    places: list[int],
    space: bytes,
    has_body: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    framing = [(b"Content-LENGTH", b"5")] if has_body else []
    came = spread(
        fields, [*connection_lines(connections), (b"hOST", b"localhost"), *framing], places
    )
    block = b"\r\n".join([b"POST /a HTTP/1.1", *(name + b":" + space + v for name, v in came)])
    head = HeadReader(fields_max=128).read(block)
    sent = message.outbound(head, ROUTE, b"/a", TOKEN, peer="10.0.0.9", via=VIA)
    named = options_of(connections) - RELIED_ON
    replaced = {b"authorization", b"x-set", b"forwarded"}
    expected = []
    for name, value in came:
        lower = name.lower()
        dashed = lower.replace(b"_", b"-")
        if lower == b"host":
            expected.append(HOST)
        elif lower == b"content-length":
            expected.append(name + b": " + value)
        elif not (
            lower in STAYS_BEHIND
            or lower in named
            or (b"_" in lower and dashed in FRAMING_OR_CREDENTIAL)
            or dashed in replaced
            or dashed.startswith(b"x-forwarded-")
        ):
            expected.append(name + b":" + space + value)
    lines = sent.split(b"\r\n")
    assert lines == [b"POST /a HTTP/1.1", *expected, *OURS, b"", b""]


CHUNKED_OPTIONS = st.lists(st.sampled_from([b"Transfer-Encoding", b"x-a", b"te"]), max_size=3)


@given(FIELDS, CHUNKED_OPTIONS, PLACES)
def test_a_chunked_request_stays_chunked_whatever_connection_names(
    fields: list[Field], options: list[bytes], places: list[int]
) -> None:
    came = spread(
        [(b"Host", b"localhost"), *fields],
        [(b"transfer-ENCODING", b" chunked"), (b"Connection", b",".join(options))],
        places,
    )
    block = b"\r\n".join([b"POST /a HTTP/1.1", *(name + b": " + value for name, value in came)])
    head = HeadReader(fields_max=128).read(block)
    sent = message.outbound(head, ROUTE, b"/a", TOKEN, peer="10.0.0.9", via=VIA)
    framing = [
        line
        for line in sent.split(b"\r\n")
        if line.lower().startswith((b"transfer-encoding", b"content-length", b"te:"))
    ]
    assert [line.lower() for line in framing] == [b"transfer-encoding: chunked"]
    assert (head.chunked, head.content_length) == (True, None)


ANSWER_FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=10).map(
    lambda fields: [
        (name, value)
        for name, value in fields
        if name.lower() not in {b"connection", b"content-length", b"transfer-encoding"}
    ]
)


@given(
    ANSWER_FIELDS,
    CONNECTIONS,
    PLACES,
    st.sampled_from([200, 204, 304, 401, 299, 600]),
    st.sampled_from(["length", "chunked", "none"]),
    st.booleans(),
)
def test_an_answer_goes_on_as_it_came_but_for_what_is_of_this_hop(
    fields: list[Field],
    connections: list[tuple[list[bytes], bytes, bytes]],
    places: list[int],
    status: int,
    framing: str,
    close: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    framed: dict[str, list[Field]] = {
        "length": [(b"content-LENGTH", b"5")],
        "chunked": [(b"transfer-ENCODING", b"chunked")],
        "none": [],
    }
    came = spread(fields, [*connection_lines(connections), *framed[framing]], places)
    answer = read_answer(status, b"Why", came, to_head=False)
    head, in_chunks = message.inbound(answer, minor=1, close=close)
    gone = ((STAYS_BEHIND - {b"trailer"}) | options_of(connections)) - {b"content-length"}
    if status == 204:
        gone.add(b"content-length")
    expected = [
        name + b": " + value
        for name, value in came
        if name.lower() not in gone and not merges_into_framing(name.lower())
    ]
    if framing == "chunked" and status not in {204, 304}:
        expected.append(b"Transfer-Encoding: chunked")
    if close:
        expected.append(b"Connection: close")
    assert head == b"\r\n".join([b"HTTP/1.1 %d Why" % status, *expected, b"", b""])
    assert in_chunks is (framing == "chunked" and status not in {204, 304})


@given(ANSWER_FIELDS, CONNECTIONS, PLACES, st.sampled_from([100, 102, 103, 110]))
def test_an_interim_answer_is_cleaned_as_a_final_one(
    fields: list[Field],
    connections: list[tuple[list[bytes], bytes, bytes]],
    places: list[int],
    status: int,
) -> None:
    """B-02, B-13: in 1xx too."""
    came = spread(
        fields, [*connection_lines(connections), (b"Transfer-Encoding", b"chunked")], places
    )
    gone = (STAYS_BEHIND - {b"trailer"}) | options_of(connections)
    expected = [
        name + b": " + value
        for name, value in came
        if name.lower() not in gone and not merges_into_framing(name.lower())
    ]
    start = b"HTTP/1.1 %d Why" % status
    assert message.interim(read_answer(status, b"Why", came)) == b"\r\n".join(
        [start, *expected, b"", b""]
    )


def merges_into_framing(lower: bytes) -> bool:
    """Say whether `Content_Length` and the like become framing where `_` and `-` are merged."""
    return b"_" in lower and lower.replace(b"_", b"-") in STAYS_BEHIND | {b"content-length"}


NO_TRAILERS = STAYS_BEHIND | {
    *(b"content-length", b"host", b"authorization", b"cookie", b"set-cookie"),
    *(b"via", b"expect", b"max-forwards", b"forwarded", b"x-forwarded-for"),
    *(b"content-encoding", b"content-type", b"content-range"),
}
TRAILERS = st.lists(
    st.tuples(NAMES | st.sampled_from(sorted(NO_TRAILERS)).flatmap(mixed_case), VALUES), max_size=8
)


@given(TRAILERS, st.frozensets(NAMES.map(bytes.lower), max_size=3))
@example([(b"X_A", b"1"), (b"x-b", b"2")], frozenset({b"x_a", b"x-b"}))
def test_trailers_go_on_but_for_what_is_of_this_hop_or_means_nothing_there(
    trailers: list[Field], kept_back: frozenset[bytes]
) -> None:
    """B-17: no framing, routing or credential is smuggled in behind the body."""
    expected = []
    for name, value in trailers:
        lower = name.lower()
        # X_Api_Key becomes X-Api-Key behind servers that merge the two.
        dashed = lower.replace(b"_", b"-")
        forwarded = dashed.startswith((b"forwarded", b"x-forwarded-"))
        kept = lower in kept_back or dashed in kept_back
        if dashed not in NO_TRAILERS and not kept and not forwarded:
            expected.append(name + b": " + value)
    end = message.last_chunk(trailers, kept_back)
    assert end == b"\r\n".join([b"0", *expected, b"", b""])


def test_a_request_that_is_to_be_refused_is_not_cleaned_into_one_that_is_not() -> None:
    """B-30: `Connection: Content-Length` does not settle which of two framings holds."""
    block = (
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\n"
        b"Content-Length: 5\r\nTransfer-Encoding: chunked"
    )
    refused = None
    try:
        HeadReader(fields_max=128).read(block)
    except ProxyError as error:
        refused = error.fault
    assert refused is Fault.BAD_REQUEST
