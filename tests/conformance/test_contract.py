"""What the documentation promises of a request on its way, beyond what RFCs ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from conformance.bench import OK, eventually, request

if TYPE_CHECKING:
    from conformance.bench import Bench, StartBench


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"/orders", b"/v1"),
        (b"/orders/", b"/v1/"),
        (b"/orders/1?a", b"/v1/1?a"),
        (b"/orders/a%2Fb", b"/v1/a%2Fb"),
        (b"/orders//x", b"/v1//x"),
        (b"/orders/a+b;c=d,e:f@g!$&'()*", b"/v1/a+b;c=d,e:f@g!$&'()*"),
        (b"/orders/?", b"/v1/?"),
        (b"/orders?", b"/v1?"),
        (b"/orders/%zz%", b"/v1/%zz%"),
        (b"/orders/%7Eu/%61", b"/v1/%7Eu/%61"),
        (b'/orders/"<>\\^`{|}[]', b'/v1/"<>\\^`{|}[]'),
        (b'/orders/x?q=[1]&r="|\\&s=/../', b'/v1/x?q=[1]&r="|\\&s=/../'),
        (b"/orders/a%0d%0aX:y", b"/v1/a%0d%0aX:y"),
        (b"/orders/a%00b", b"/v1/a%00b"),
        (b"/orders/...", b"/v1/..."),
    ],
)
async def test_the_target_arrives_byte_for_byte_behind_its_prefix(
    start_bench: StartBench, target: bytes, sent: bytes
) -> None:
    the = await start_bench(path="/v1", match={"path": "/orders"})
    head, _ = await the.pass_through(request(line=b"GET " + target + b" HTTP/1.1"))
    assert head.start == b"GET " + sent + b" HTTP/1.1"


async def test_a_target_beyond_ascii_arrives_as_it_came(the: Bench) -> None:
    head, _ = await the.pass_through(request(line=b"GET /caf\xe9?\xc3\xa9 HTTP/1.1"))
    assert head.start == b"GET /caf\xe9?\xc3\xa9 HTTP/1.1"


@pytest.mark.parametrize(
    "target", [b"/a/..", b"/a/%2e%2e/b", b"/./a", b"/a/..%2fb", b"/a/..%5Cb", b"/a/..\\b", b"/..;/"]
)
async def test_dot_segments_go_nowhere(the: Bench, target: bytes) -> None:
    answer = await the.refusal(request(line=b"GET " + target + b" HTTP/1.1"))
    assert answer.status == 400
    await the.nothing_went_up()


async def test_the_callers_host_is_preserved_where_wanted(start_bench: StartBench) -> None:
    the = await start_bench(host_header="preserve")
    head, _ = await the.pass_through(request(b"X-A: 1", host=b"LocalHost:123"))
    assert head.lines[:2] == (b"Host: LocalHost:123", b"X-A: 1")


async def test_host_keeps_its_place_among_the_fields(the: Bench) -> None:
    head, _ = await the.pass_through(
        b"GET /a HTTP/1.1\r\nX-Before: 1\r\nhOST: localhost\r\nX-After: 2\r\n\r\n"
    )
    assert [name.lower() for name in head.names] == [b"x-before", b"host", b"x-after", b"via"]


@pytest.mark.parametrize(
    ("hosts", "host", "status"),
    [
        (None, b"localhost:9999", 200),
        (None, b"127.0.0.1", 200),
        (None, b"[::1]:1", 200),
        (None, b"evil.example", 421),
        (["*"], b"evil.example", 200),
        (["mine.test"], b"localhost", 421),
        (["mine.test"], b"mine.test:8080", 200),
    ],
)
async def test_only_allowed_hosts_are_served(
    start_bench: StartBench, hosts: list[str] | None, host: bytes, status: int
) -> None:
    the = await start_bench(top={} if hosts is None else {"allowed_hosts": hosts})
    if status == 200:
        _, answer = await the.pass_through(request(host=host))
    else:
        answer = await (await the.caller()).asks(request(host=host))
    assert answer.status == status


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ((b"Origin: http://evil.example",), True),
        ((b"Origin: null",), True),
        ((b"Origin: https://localhost",), True),
        ((b"Origin: http://localhost:81",), True),
        ((b"Origin: http://[",), True),
        ((b"Origin: http://localhost",), False),
        ((b"Origin: http://LOCALHOST",), False),
        ((b"Sec-Fetch-Site: cross-site",), True),
        ((b"Sec-Fetch-Site: same-site",), True),
        ((b"Sec-Fetch-Site: same-origin",), False),
        ((b"Sec-Fetch-Site: none",), False),
        ((b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Site: none"), True),
        ((b"sec-fetch-site: none", b"origin: http://evil.example"), True),
    ],
)
async def test_requests_of_foreign_pages_are_refused(
    the: Bench, fields: tuple[bytes, ...], *, refused: bool
) -> None:
    if refused:
        answer = await (await the.caller()).asks(request(*fields))
        assert answer.status == 403
        assert b"browser_refused" in answer.body
        await the.nothing_went_up()
    else:
        head, _ = await the.pass_through(request(*fields))
        assert head.lines[1:-1] == fields


async def test_foreign_pages_may_be_allowed(start_bench: StartBench) -> None:
    the = await start_bench(top={"browser_requests": "allow"})
    fields = (b"Origin: http://evil.example", b"Sec-Fetch-Site: cross-site")
    head, _ = await the.pass_through(request(*fields))
    assert head.lines[1:-1] == fields


CREDENTIALS: list[tuple[dict[str, Any], dict[str, Any], tuple[bytes, ...], tuple[bytes, ...]]] = [
    ({}, {}, (), (b"Authorization: Bearer token-1",)),
    ({}, {}, (b"authorization: mine", b"X-A: 1"), (b"X-A: 1", b"Authorization: Bearer token-1")),
    ({}, {"existing_authorization": "keep"}, (b"AUTHORIZATION: mine",), (b"AUTHORIZATION: mine",)),
    ({}, {"existing_authorization": "keep"}, (), (b"Authorization: Bearer token-1",)),
    (
        {"header": "X-Api-Key"},
        {},
        (b"X_Api_Key: mine", b"x-api-key: mine", b"X-Api-Key2: mine"),
        (b"X-Api-Key2: mine", b"X-Api-Key: Bearer token-1"),
    ),
    ({"scheme": "Token"}, {}, (), (b"Authorization: Token token-1",)),
    (
        {},
        {"set_headers": {"X-Set": "ours", "User-Agent": "us"}, "remove_headers": ["Cookie"]},
        (b"x-set: theirs", b"Cookie: a", b"COOKIE: b", b"X-A: 1", b"user-agent: them"),
        (b"X-A: 1", b"X-Set: ours", b"User-Agent: us", b"Authorization: Bearer token-1"),
    ),
]


@pytest.mark.parametrize(("audience", "keys", "sent", "came"), CREDENTIALS)
async def test_the_credential_goes_on_last_and_alone(
    start_bench: StartBench,
    audience: dict[str, Any],
    keys: dict[str, Any],
    sent: tuple[bytes, ...],
    came: tuple[bytes, ...],
) -> None:
    the = await start_bench(audience=audience, **keys)
    head, _ = await the.pass_through(request(*sent))
    assert tuple(line for line in head.lines[1:] if not line.startswith(b"Via: ")) == came


async def test_without_an_audience_the_callers_authorization_passes(the: Bench) -> None:
    head, _ = await the.pass_through(request(b"Authorization: Basic bWluZQ=="))
    assert head.values("Authorization") == [b"Basic bWluZQ=="]


async def test_without_a_token_nothing_is_sent(start_bench: StartBench) -> None:
    the = await start_bench(audience={})
    await the.tokens.stop()
    answer = await (await the.caller()).asks(request())
    assert answer.status == 503
    assert int(answer.head.values("Retry-After")[0]) >= 1
    assert the.upstream.connections == 0


CAME = (
    b"X-Forwarded-For: 10.0.0.1",
    b"x-forwarded-for: 10.0.0.2",
    b"X-Forwarded-Proto: https",
    b"Forwarded: for=10.0.0.1",
    b"X-Forwarded-Port: 1",
)


@pytest.mark.parametrize(
    ("mode", "sent", "came"),
    [
        ("pass", CAME, CAME),
        ("pass", (), ()),
        ("drop", CAME, ()),
        (
            "replace",
            CAME,
            (
                b"X-Forwarded-For: 127.0.0.1",
                b"X-Forwarded-Proto: http",
                b"X-Forwarded-Host: localhost:7",
            ),
        ),
        (
            "append",
            CAME,
            (
                b"X-Forwarded-Proto: https",
                b"Forwarded: for=10.0.0.1",
                b"X-Forwarded-Port: 1",
                b"X-Forwarded-For: 10.0.0.1, 10.0.0.2, 127.0.0.1",
                b"X-Forwarded-Host: localhost:7",
            ),
        ),
        (
            "append",
            (),
            (
                b"X-Forwarded-For: 127.0.0.1",
                b"X-Forwarded-Proto: http",
                b"X-Forwarded-Host: localhost:7",
            ),
        ),
    ],
)
async def test_forwarded_fields_are_treated_as_configured(
    start_bench: StartBench, mode: str, sent: tuple[bytes, ...], came: tuple[bytes, ...]
) -> None:
    the = await start_bench(forwarded_headers=mode)
    head, _ = await the.pass_through(request(*sent, b"X-A: 1", host=b"localhost:7"))
    assert [line for line in head.lines[1:-1] if line != b"X-A: 1"] == [*came]


async def test_one_connection_serves_request_after_request(the: Bench) -> None:
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(OK)
    await caller.answer()
    for number in range(3):
        head, _ = await the.pass_through_kept(upstream)
        assert head.target == b"/a", number
    assert the.upstream.connections == 1
    assert repr(the.pool) == "<Pool api: 0 active, 1 idle, 0 waiting>"
    assert (the.facts.connections_active, the.facts.connections_idle) == (0, 1)
    assert the.facts.connects["success"] == 1


async def test_the_access_log_never_tells_an_absolute_targets_authority(the: Bench) -> None:
    caller = await the.caller()
    caller.send(request(line=b"GET http://%b/a?q=1 HTTP/1.1" % the.host.encode()))
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(OK)
    assert (await caller.answer()).status == 200
    caller = await the.caller()
    secret = await caller.asks(request(line=b"GET http://me:secret@localhost/a HTTP/1.1"))
    assert secret.status == 400
    await eventually(lambda: len(the.events("request")) == 2, "both lines")
    assert [line["path"] for line in the.events("request") if line.get("path")] == ["/a"]
    assert "secret" not in the.log.getvalue()
