from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy.errors import Fault, ProxyError
from proxy.forwarding.routing import host_of

if TYPE_CHECKING:
    from unit.forwarding.conftest import MakeRoute, MakeRoutes, ReadHead

V1 = "https://api.example.com/v1"


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
