from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from unit.forwarding.conftest import MakeRoutes, ReadHead

V1 = "https://api.example.com/v1"


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
