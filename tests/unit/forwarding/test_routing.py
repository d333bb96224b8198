from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Fault, ProxyError
from proxy.forwarding import head as request_head
from proxy.forwarding.routing import Routes, host_of
from unit.forwarding.conftest import config_of

if TYPE_CHECKING:
    from unit.forwarding.conftest import MakeRoute, MakeRoutes, ReadHead

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
        head = request_head.read("GET", target, (1, 1), [(b"Host", b"localhost")])
    except ProxyError:
        assert any(dots in tail.lower() for dots in (".", "%2e"))
        return
    route, sent = ROUTES.match(head)
    assert (route.name, sent) == ("api", b"/v1/" + tail.encode())


@given(TAILS)
def test_a_prefix_matches_on_segment_borders_only(tail: str) -> None:
    target = b"/ordersx" + tail.encode()
    try:
        head = request_head.read("GET", target, (1, 1), [(b"Host", b"localhost")])
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


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"localhost", True),
        (b"LOCALHOST:8080", True),
        (b"localhost.", True),
        (b"127.0.0.1:1", True),
        (b"127.9.9.9", True),
        (b"[::1]:8080", True),
        (b"api.example.com", True),
        (b"api.example.com:9", True),
        (b"one.test", True),
        (b"x.two.test", True),
        (b"two.test", False),
        (b"evil.example", False),
        (b"localhost.evil.example", False),
        (b"127.0.0.1.evil.example", False),
        (b"127.1", False),
        (b"0.0.0.0", False),
        (b"10.0.0.1", False),
        (b"xapi.example.com", False),
        (b"[::2]", False),
        (b"[::ffff:127.0.0.1]", True),
    ],
)
def test_by_default_loopback_and_configured_names_are_hosts(
    make_routes: MakeRoutes, read_head: ReadHead, host: bytes, *, allowed: bool
) -> None:
    routes = make_routes(
        api={}, one={"match": {"host": "one.test"}}, two={"match": {"host": "*.two.test"}}
    )
    if allowed:
        routes.match(read_head(host=host))
    else:
        with pytest.raises(ProxyError) as caught:
            routes.match(read_head(host=host))
        assert caught.value.fault is Fault.HOST_REFUSED


@pytest.mark.parametrize(
    ("hosts", "host", "allowed"),
    [
        (["mine.test"], b"mine.test", True),
        (["mine.test"], b"MINE.test:80", True),
        (["mine.test"], b"localhost", False),
        (["mine.test"], b"api.example.com", False),
        (["*.mine.test"], b"x.mine.test", True),
        (["*.mine.test"], b"mine.test", False),
        (["[::1]"], b"[::1]:8080", True),
        (["*"], b"evil.example", True),
    ],
)
def test_allowed_hosts_replace_the_default(
    make_routes: MakeRoutes, read_head: ReadHead, hosts: list[str], host: bytes, *, allowed: bool
) -> None:
    routes = make_routes(api={}, top={"allowed_hosts": hosts})
    for _ in range(2):
        # The second verdict is a remembered one.
        if allowed:
            routes.match(read_head(host=host))
        else:
            with pytest.raises(ProxyError) as caught:
                routes.match(read_head(host=host))
            assert caught.value.fault is Fault.HOST_REFUSED


def test_verdicts_on_hosts_are_not_remembered_without_end(
    make_routes: MakeRoutes, read_head: ReadHead
) -> None:
    routes = make_routes(api={})
    for number in range(3000):
        with pytest.raises(ProxyError):
            routes.match(read_head(host=b"h%d.example" % number))
    assert len(routes._verdicts) <= 1024


@pytest.mark.parametrize(
    ("target", "name", "sent"),
    [
        (b"http://api.example.com/v1/x?y", "api", b"/v1/x?y"),
        (b"http://API.example.com:80/v1", "api", b"/v1"),
        (b"http://api.example.com:443/v1/", "api", b"/v1/"),
        (b"https://api.example.com/v1//x%2F", "api", b"/v1//x%2F"),
        (b"http://api.example.com/v1/deep/x", "deep", b"/v1/deep/x"),
        (b"http://api.example.com/v1/deeper", "api", b"/v1/deeper"),
        (b"http://ported.example.com:8443/x", "ported", b"/x"),
        (b"http://ported.example.com/x", "ported", b"/x"),
        (b"http://one.test/o/x", "by_host", b"/base/x"),
        (b"http://localhost:8080/orders/1", "orders", b"/1"),
    ],
)
def test_absolute_targets_are_matched_by_url_or_host(
    make_routes: MakeRoutes, read_head: ReadHead, target: bytes, name: str, sent: bytes
) -> None:
    routes = make_routes(
        orders={"match": {"path": "/orders"}},
        api={"url": V1, "match": {"path": "/api"}},
        deep={"url": V1 + "/deep", "match": {"path": "/deep"}},
        ported={"url": "https://ported.example.com:8443", "match": {"path": "/p"}},
        by_host={"url": "https://by.example.com/base", "match": {"host": "one.test", "path": "/o"}},
    )
    route, came = routes.match(read_head(target=target, host=b"localhost"))
    assert (route.name, came) == (name, sent)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        (b"http://api.example.com/", Fault.NO_ROUTE),
        (b"http://api.example.com/v2", Fault.NO_ROUTE),
        (b"http://api.example.com/v1x", Fault.NO_ROUTE),
        (b"http://elsewhere.example/v1", Fault.HOST_REFUSED),
        (b"http://169.254.169.254/latest", Fault.HOST_REFUSED),
    ],
)
def test_other_absolute_targets_are_refused(
    make_routes: MakeRoutes, read_head: ReadHead, target: bytes, fault: Fault
) -> None:
    routes = make_routes(api={"url": V1}, other={"match": {"path": "/other"}})
    with pytest.raises(ProxyError) as caught:
        routes.match(read_head(target=target))
    assert caught.value.fault is fault


def test_another_port_of_an_upstreams_host_is_no_way_to_other_upstreams(
    make_routes: MakeRoutes, read_head: ReadHead
) -> None:
    routes = make_routes(api={"url": V1, "match": {"path": "/api"}}, rest={})
    with pytest.raises(ProxyError) as caught:
        routes.match(read_head(target=b"http://api.example.com:9999/x"))
    assert caught.value.fault in {Fault.HOST_REFUSED, Fault.NO_ROUTE}


def test_asterisk_form_goes_to_the_upstream_of_everything(
    make_routes: MakeRoutes, read_head: ReadHead
) -> None:
    routes = make_routes(api={"match": {"path": "/api"}}, rest={"url": V1})
    route, target = routes.match(read_head(target=b"*", method="OPTIONS"))
    assert (route.name, target) == ("rest", b"*")


@pytest.mark.parametrize(
    ("keys", "method", "target", "allowed"),
    [
        ({"methods": ["GET"]}, "GET", b"/a", True),
        ({"methods": ["GET"]}, "HEAD", b"/a", False),
        ({"methods": ["GET", "PURGE"]}, "PURGE", b"/a", True),
        ({"methods": ["GET"]}, "get", b"/a", False),
        ({"paths": ["/a"]}, "GET", b"/a", True),
        ({"paths": ["/a"]}, "GET", b"/a?b", True),
        ({"paths": ["/a"]}, "GET", b"/a/b", True),
        ({"paths": ["/a/"]}, "GET", b"/a/b", True),
        ({"paths": ["/a"]}, "GET", b"/ab", False),
        ({"paths": ["/a"]}, "GET", b"//a", False),
        ({"paths": ["/a"]}, "GET", b"/%61", False),
        ({"paths": ["/x", "/a/b"]}, "GET", b"/a/b", True),
        ({"paths": ["/x", "/a/b"]}, "GET", b"/a", False),
        ({"paths": ["/"]}, "GET", b"/a", True),
        ({"paths": ["/a"]}, "OPTIONS", b"*", False),
    ],
)
def test_what_is_not_on_the_lists_is_not_allowed(
    make_route: MakeRoute,
    read_head: ReadHead,
    keys: dict[str, Any],
    method: str,
    target: bytes,
    *,
    allowed: bool,
) -> None:
    route = make_route(**keys)
    head = read_head(method=method, target=target)
    if allowed:
        route.check(head)
    else:
        with pytest.raises(ProxyError) as caught:
            route.check(head)
        assert caught.value.fault is Fault.NOT_ALLOWED


@pytest.mark.parametrize(
    ("audience", "mode", "name", "wants"),
    [
        ("none", "replace", b"Authorization", False),
        ("orders", "replace", b"Authorization", True),
        ("orders", "keep", b"authorization", False),
        ("orders", "keep", b"X-Other", True),
        ("keyed", "keep", b"X-API-KEY", False),
        ("orders", "reject", b"AUTHORIZATION", None),
        ("keyed", "reject", b"x-api-key", None),
        ("orders", "reject", b"X-Other", True),
    ],
)
def test_a_callers_own_credential_is_replaced_kept_or_rejected(
    make_route: MakeRoute,
    read_head: ReadHead,
    audience: str,
    mode: str,
    name: bytes,
    *,
    wants: bool | None,
) -> None:
    route = make_route(audience=audience, existing_authorization=mode)
    head = read_head((name, b"mine"))
    if wants is None:
        with pytest.raises(ProxyError) as caught:
            route.wants_token(head)
        assert caught.value.fault is Fault.AUTHORIZATION_REFUSED
    else:
        assert route.wants_token(head) is wants


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"A.b", b"a.b"),
        (b"a.b:80", b"a.b"),
        (b"a.b.", b"a.b"),
        (b"a.b.:80", b"a.b"),
        (b"[::1]", b"::1"),
        (b"[2001:DB8::1]:80", b"2001:db8::1"),
    ],
)
def test_a_host_is_read_from_an_authority(authority: bytes, host: bytes) -> None:
    assert host_of(authority) == host
