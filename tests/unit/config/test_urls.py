from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.urls import Url, has_dot_segments, parse_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.example.com/v1", Url("https", "api.example.com", 443, "/v1", None)),
        ("HTTP://API.Example.com", Url("http", "api.example.com", 80, "", None)),
        ("https://[::1]:8443/a%2Fb", Url("https", "::1", 8443, "/a%2Fb", None)),
        ("https://a.example/t?p=x", Url("https", "a.example", 443, "/t", "p=x")),
    ],
)
def test_a_url_is_read(text: str, url: Url) -> None:
    assert parse_url(text, query_allowed=True) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.example.com",
        "//api.example.com",
        "https:/api.example.com",
        "https:///path",
        "ftp://a.example",
        "unix:///run/x",
        "http://localhost@evil.example",
        "https://user:pw@a.example",
        "https://a.example/#f",
        "https://a.example/?",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:",
        "https://a..example",
        "https://-a.example",
        "https://[::g]/",
        "https://a.example/../b",
        "https://a.example/%2E%2e/b",
        "https://a.example\\@evil.example",
        "https://a.example/a b",
        "https://a.example/%zz",
        " https://a.example",
        "https://a.example\n",
        "https://bücher.example",
        "https://a.example,b.example",
    ],
)
def test_what_parsers_could_differ_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should|has a"):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("http://localhost:1/x", False),
        ("http://127.0.0.1", False),
        ("http://[::1]", False),
        ("http://localhost.evil.example", True),
        ("http://127.0.0.1.evil.example", True),
        ("http://localhost.", True),
        ("https://evil.example", False),
    ],
)
def test_plain_http_beyond_loopback_is_seen(text: str, *, remote: bool) -> None:
    assert parse_url(text).is_plain_remote is remote


@pytest.mark.parametrize(
    "path", ["/..", "/a/./b", "/%2e%2E/x", "/..;x", "/a%2f..%2fb", "/a\\..\\b"]
)
def test_dot_segments_are_seen_in_every_spelling(path: str) -> None:
    assert has_dot_segments(path)


@pytest.mark.parametrize("path", ["/", "/...", "/.well-known/x", "/a..b", "/v1.2/", "/..a"])
def test_dots_within_names_are_no_dot_segments(path: str) -> None:
    assert not has_dot_segments(path)


@given(st.text())
def test_any_text_is_a_url_or_a_value_error(text: str) -> None:
    try:
        url = parse_url(text)
    except ValueError:
        return
    assert url.host.isascii()
    assert "@" not in url.host
