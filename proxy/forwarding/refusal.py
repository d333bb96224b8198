"""What is wrong with what is no request: the parser's findings in our words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from aiohttp.http_parser import RawRequestMessage


def size_of_head(message: RawRequestMessage) -> int:
    """Return a head's size in bytes, without separators."""
    return len(message.path) + sum(len(name) + len(value) for name, value in message.raw_headers)


def head_too_large() -> ProxyError:
    """Return the error for a head beyond the limit."""
    return ProxyError(Fault.HEAD_TOO_LARGE, "the head exceeds limits.head_bytes_max")


def head_too_slow() -> ProxyError:
    """Return the error for a head that does not come."""
    return ProxyError(
        Fault.BAD_REQUEST, "the head did not come within limits.head_seconds", status=408
    )


def what_was_wrong(error: BaseException) -> ProxyError:
    """Return our error for one of aiohttp's parser, whose text quotes what it choked on."""
    if isinstance(error, LineTooLong) or "Too many headers" in str(error):
        return ProxyError(Fault.HEAD_TOO_LARGE, "the head exceeds the limits of `limits`")
    if isinstance(error, BadHttpMethod):
        return ProxyError(
            Fault.BAD_REQUEST, "the request does not begin with a method that is known here"
        )
    return ProxyError(Fault.BAD_REQUEST, "the request is not well-formed HTTP/1.1")
