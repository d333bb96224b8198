from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.forwarding.conftest import block, config_of

from proxy.errors import Fault, ProxyError
from proxy.forwarding.head_reader import HeadReader
from proxy.forwarding.routing import Routes

if TYPE_CHECKING:
    from unit.forwarding.conftest import MakeRoutes, ReadHead

V1 = "https://api.example.com/v1"


@pytest.mark.parametrize(
    ("match", "url", "target", "sent"),
    [
        ("/orders", V1, b"/orders", b"/v1"),
        ("/orders", V1, b"/orders/", b"/v1/"),
        ("/orders", V1, b"/orders/1?a", b"/v1/1?a"),
        ("/orders", V1, b"/orders?a", b"/v1?a"),
        ("/orders", V1, b"/orders?", b"/v1?"),
        ("/orders", V1, b"/orders//1", b"/v1//1"),
        ("/orders/", V1, b"/orders/1", b"/v1/1"),
        ("/", V1, b"/", b"/v1/"),
        ("/", V1, b"/?a", b"/v1/?a"),
        ("/", V1, b"/orders", b"/v1/orders"),
        ("/", V1, b"//orders", b"/v1//orders"),
        ("/", V1 + "/", b"/", b"/v1/"),
        ("/", V1 + "/", b"/orders", b"/v1/orders"),
        ("/orders", V1 + "/", b"/orders", b"/v1/"),
        ("/orders", V1 + "/", b"/orders/1", b"/v1/1"),
        ("/", "https://api.example.com", b"/", b"/"),
        ("/", "https://api.example.com", b"/a%2Fb", b"/a%2Fb"),
        ("/", "https://api.example.com/", b"/a?", b"/a?"),
        ("/orders", "https://api.example.com", b"/orders", b"/"),
        ("/orders", "https://api.example.com", b"/orders?a", b"/?a"),
        ("/orders", "https://api.example.com", b"/orders/", b"/"),
        ("/orders", "https://api.example.com/", b"/orders/1", b"/1"),
    ],
)
def test_the_matched_prefix_is_replaced_by_the_urls_path(
    make_routes: MakeRoutes,
    read_head: ReadHead,
    match: str,
    url: str,
    target: bytes,
    sent: bytes,
) -> None:
    routes = make_routes(api={"url": url, "match": {"path": match}})
    assert routes.match(read_head(target=target))[1] == sent


@pytest.mark.parametrize(
    ("match", "url", "target", "sent"),
    [
        ("/orders", V1, b"/orders", b"/v1/orders"),
        ("/orders", V1, b"/orders/", b"/v1/orders/"),
        ("/orders", V1 + "/", b"/orders/1?a", b"/v1/orders/1?a"),
        ("/orders", "https://api.example.com", b"/orders/1", b"/orders/1"),
        ("/orders", "https://api.example.com/", b"/orders", b"/orders"),
        ("/", V1, b"/", b"/v1/"),
    ],
)
def test_a_kept_prefix_is_joined_with_one_slash(
    make_routes: MakeRoutes,
    read_head: ReadHead,
    match: str,
    url: str,
    target: bytes,
    sent: bytes,
) -> None:
    routes = make_routes(api={"url": url, "match": {"path": match}, "keep_prefix": True})
    assert routes.match(read_head(target=target))[1] == sent


TAILS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=20
)
ROUTES = Routes(
    config_of(
        {
            "api": {"url": V1, "audience": "none", "match": {"path": "/orders"}},
            "rest": {"url": "https://rest.example.com/r", "audience": "none"},
        }
    )
)


@given(TAILS)
def test_every_byte_behind_the_prefix_arrives(tail: str) -> None:
    target = b"/orders/" + tail.encode()
    try:
        head = HeadReader(fields_max=128).read(block((b"Host", b"localhost"), target=target))
    except ProxyError:
        assert any(dots in tail.lower() for dots in (".", "%2e"))
        return
    route, sent = ROUTES.match(head)
    assert (route.name, sent) == ("api", b"/v1/" + tail.encode())


@given(TAILS)
def test_a_prefix_matches_on_segment_borders_only(tail: str) -> None:
    target = b"/ordersx" + tail.encode()
    try:
        head = HeadReader(fields_max=128).read(block((b"Host", b"localhost"), target=target))
    except ProxyError:
        return
    route, sent = ROUTES.match(head)
    assert (route.name, sent) == ("rest", b"/r" + target)


@pytest.mark.parametrize(
    ("host", "target", "name"),
    [
        (b"localhost", b"/", "all"),
        (b"localhost", b"/a", "a"),
        (b"localhost", b"/a/", "a"),
        (b"localhost", b"/a?x", "a"),
        (b"localhost", b"/a/b", "ab"),
        (b"localhost", b"/a/b/c/d/e", "ab"),
        (b"localhost", b"/a/bc", "a"),
        (b"localhost", b"/ab", "all"),
        (b"localhost", b"//a", "all"),
        (b"localhost", b"/A", "all"),
        (b"localhost", b"/%61", "all"),
        (b"localhost", b"/x;/a", "all"),
        (b"one.test", b"/", "host"),
        (b"ONE.test:8080", b"/a/b", "host"),
        (b"one.test.", b"/", "host"),
        (b"one.test", b"/deep/er", "host_deep"),
        (b"x.two.test", b"/", "suffix"),
        (b"x.y.two.test", b"/", "suffix"),
        (b"x.sub.two.test", b"/", "longer_suffix"),
        (b"exact.sub.two.test", b"/", "exact_in_suffix"),
        (b"[::1]:9", b"/", "six"),
    ],
)
def test_the_more_specific_host_wins_then_the_longer_path(
    make_routes: MakeRoutes, read_head: ReadHead, host: bytes, target: bytes, name: str
) -> None:
    routes = make_routes(
        all={},
        a={"match": {"path": "/a"}},
        ab={"match": {"path": "/a/b/"}},
        host={"match": {"host": "one.test"}},
        host_deep={"match": {"host": "one.test", "path": "/deep"}},
        suffix={"match": {"host": "*.two.test"}},
        longer_suffix={"match": {"host": "*.sub.two.test"}},
        exact_in_suffix={"match": {"host": "Exact.Sub.Two.Test"}},
        six={"match": {"host": "[::1]"}},
    )
    assert routes.match(read_head(target=target, host=host))[0].name == name


@pytest.mark.parametrize("host", [b"two.test", b"xtwo.test", b"two.test.evil", b"evil.example"])
def test_a_suffix_matches_names_below_it_only(
    make_routes: MakeRoutes, read_head: ReadHead, host: bytes
) -> None:
    routes = make_routes(api={"match": {"host": "*.two.test"}})
    with pytest.raises(ProxyError) as caught:
        routes.match(read_head(host=host))
    assert caught.value.fault is Fault.HOST_REFUSED


def test_without_a_fitting_path_there_is_no_route(
    make_routes: MakeRoutes, read_head: ReadHead
) -> None:
    routes = make_routes(api={"match": {"path": "/orders"}})
    with pytest.raises(ProxyError) as caught:
        routes.match(read_head(target=b"/order"))
    assert caught.value.fault is Fault.NO_ROUTE
