"""TLS on a way: agreed on as `run` does, by the same trust; what stands against it is named.

Where a certificate is not believed a second connection looks at it, without our own certificate,
and ends. Nothing is ever sent on either but what agrees on TLS, and asks a proxy for a tunnel.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from proxy.commands.doctor import certificate
from proxy.commands.doctor.way import LayerFailed, socket_to, within
from proxy.config.addresses import TcpAddress
from proxy.errors import ProxyError
from proxy.forwarding.tls_handshake import open_tls

if TYPE_CHECKING:
    import socket

    from proxy.commands.doctor.way import Way
    from proxy.network import AddressInfo
    from proxy.tls import SharedContext

TUNNEL_HEAD_BYTES_MAX = 16384
PEEK_SECONDS_MAX = 2.0
_NO_TLS = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "HTTP_REQUEST",
    "UNEXPECTED_MESSAGE",
    "UNKNOWN_PROTOCOL",
)
_TOO_OLD = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION")
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA")
"""Reasons that OpenSSL gives, told apart by what is to be done."""


async def secured(
    way: Way, sock: socket.socket, trust: SharedContext, addresses: list[AddressInfo], now: float
) -> tuple[str, bool]:
    """Agree on TLS over a connected socket, which is taken over.

    Return what is told of it, and whether the certificate should have been renewed by `now`, which
    is Unix time. Raises `LayerFailed`.
    """
    try:
        context = await trust.ready()
        version, der = await within(way.seconds, _handshake(way, sock, context))
    except ssl.SSLCertVerificationError as error:
        found = await _certificate(way, addresses)
        wrong = certificate.verdict(error, found, way.tls, way.server_name, now)
        key = (*way.section, "tls", wrong.key) if wrong.key else way.key
        raise LayerFailed("tls", wrong.detail, wrong.hint, key) from None
    except (OSError, ProxyError) as error:
        raise _failed(way, error) from None
    seen = certificate.seen(der)
    if seen is None:
        return version, False
    return f"{version}; {certificate.described(seen, now)}", certificate.is_due(seen, now)


async def peek(way: Way, addresses: list[AddressInfo]) -> bytes:
    """Return the certificate that a server shows, whatever it is worth.

    Raises `OSError` and `LayerFailed`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Nothing is sent on this connection: it is there to see what cannot be trusted.
    context.verify_mode = ssl.CERT_NONE

    async def look() -> bytes:
        sock = await socket_to(addresses)
        try:
            return (await _handshake(way, sock, context))[1]
        finally:
            sock.close()

    return await within(min(way.seconds, PEEK_SECONDS_MAX), look())


async def _certificate(way: Way, addresses: list[AddressInfo]) -> certificate.Seen | None:
    try:
        return certificate.seen(await peek(way, addresses))
    except (OSError, LayerFailed):
        # It is told without, then.
        return None


async def _handshake(way: Way, sock: socket.socket, context: ssl.SSLContext) -> tuple[str, bytes]:
    """Return the version agreed on, and the server's certificate."""
    if way.http_proxy is not None:
        await _tunnel(way, sock)
    loop = asyncio.get_running_loop()
    transport, _ = await open_tls(loop, sock, context, way.server_name, asyncio.Protocol)
    try:
        tls: ssl.SSLSocket = transport.get_extra_info("ssl_object")
        return str(tls.version()), tls.getpeercert(binary_form=True) or b""
    finally:
        transport.abort()


async def _tunnel(way: Way, sock: socket.socket) -> None:
    """Ask an egress proxy for a tunnel (RFC 9110 §9.3.6)."""
    loop = asyncio.get_running_loop()
    target = str(TcpAddress(way.url.host, way.url.port))
    await loop.sock_sendall(sock, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        # A byte at a time: what follows the head belongs to TLS.
        part = await loop.sock_recv(sock, 1)
        head += part
        if not part or len(head) > TUNNEL_HEAD_BYTES_MAX:
            break
    status = head.split(b"\r\n")[0].split(b" ")[1:2]
    if status and status[0].isdigit() and status[0].startswith(b"2"):
        return
    answered = (
        f"answers {status[0].decode()}" if status and status[0].isdigit() else "speaks no HTTP"
    )
    raise LayerFailed(
        "tls",
        f"the proxy of `http_proxy` opens no way to {target}: it {answered}",
        "have it allow this destination, or name another proxy; one that wants a password is not "
        "supported",
        way.next_hop_key,
    )


def _failed(way: Way, error: Exception) -> LayerFailed:
    """Tell a handshake that failed for another reason than the certificate."""
    where = str(TcpAddress(way.url.host, way.url.port))
    match error:
        case LayerFailed():
            return error
        case ProxyError():
            hint = "check that the files of `tls` are there, whole, and readable for this user"
            return LayerFailed("tls", error.detail, hint, (*way.section, "tls"))
        case TimeoutError():
            return LayerFailed(
                "tls",
                f"{where} accepts connections and does not agree on TLS within {way.seconds:g} s",
                "the server hangs, or what listens there is none that speaks TLS: see the server, "
                f"and the port in `{way.key[-1]}`",
                way.key,
            )
        case ssl.SSLError():
            return _alerted(way, where, str(error.reason or ""))
    return LayerFailed(
        "tls",
        f"{where} ends the connection instead of agreeing on TLS",
        f"what listens there may speak no TLS: see the scheme and the port in `{way.key[-1]}`; "
        "or it may want a certificate of ours (`tls.certificate_file`)",
        way.key,
    )


def _alerted(way: Way, where: str, reason: str) -> LayerFailed:
    told = f" ({reason})" if reason else ""
    if reason in _NO_TLS:
        return LayerFailed(
            "tls",
            f"{where} does not speak TLS{told}",
            f"it may be a port for plain http: see the scheme and the port in `{way.key[-1]}`",
            way.key,
        )
    if reason in _TOO_OLD:
        return LayerFailed(
            "tls",
            f"{where} knows no TLS that is new enough{told}",
            "the server must learn TLS 1.2 or newer; nothing here lowers that",
            way.key,
        )
    if any(word in reason for word in _WANTS_CERTIFICATE):
        return LayerFailed(
            "tls",
            f"{where} wants another certificate of ours, or one at all{told}",
            "set `certificate_file` to a certificate that the server knows",
            (*way.section, "tls", "certificate_file"),
        )
    if "UNRECOGNIZED_NAME" in reason:
        return LayerFailed(
            "tls",
            f"{where} knows no {way.server_name}{told}",
            "write a name that the server has into the address, or into `server_name`",
            (*way.section, "tls", "server_name"),
        )
    return LayerFailed(
        "tls",
        f"TLS with {where} could not be agreed on{told}",
        "the server may want a certificate of ours (`certificate_file`), or knows no cipher that "
        "we do: its log tells",
        (*way.section, "tls"),
    )
