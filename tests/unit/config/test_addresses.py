from __future__ import annotations

import ipaddress

import pytest

from proxy.config.addresses import TcpAddress, UnixAddress, is_loopback, parse_address

# Python 3.13 writes the last four bytes as IPv4, earlier ones do not.
MAPPED = str(ipaddress.IPv6Address("::ffff:127.0.0.1"))


@pytest.mark.parametrize(
    ("text", "address", "local"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080), True),
        ("localhost:0", TcpAddress("localhost", 0), True),
        ("[::1]:80", TcpAddress("::1", 80), True),
        ("[0:0::1]:80", TcpAddress("::1", 80), True),
        ("127.9.9.9:1", TcpAddress("127.9.9.9", 1), True),
        ("[::ffff:127.0.0.1]:1", TcpAddress(MAPPED, 1), True),
        ("unix:/run/proxy.sock", UnixAddress("/run/proxy.sock"), True),
        ("0.0.0.0:8080", TcpAddress("0.0.0.0", 8080), False),
        ("[::]:8080", TcpAddress("::", 8080), False),
        ("sidecar.internal:65535", TcpAddress("sidecar.internal", 65535), False),
    ],
)
def test_an_address_is_read(text: str, address: TcpAddress | UnixAddress, *, local: bool) -> None:
    assert parse_address(text) == address
    assert address.is_local is local
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:80x",
        "127.0.0.1:\u0661",
        "::1:80",
        "[::1]",
        "[::g]:80",
        "[]:80",
        "a b:80",
        "http://127.0.0.1:80",
        "unix:",
        "unix:relative.sock",
        "unix:/dir/",
        "unix:/" + "x" * 107,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should|is too long|has no host"):
        parse_address(text)


@pytest.mark.parametrize("host", ["localhost.evil.example", "127.1", "2130706433", "10.0.0.1", ""])
def test_only_plain_loopback_forms_count_as_loopback(host: str) -> None:
    assert not is_loopback(host)
