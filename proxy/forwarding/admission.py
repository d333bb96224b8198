"""Requests that are not let in, whatever upstream they are for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from proxy.forwarding.head import RequestHead

_OWN_PAGES = frozenset({b"none", b"same-origin"})


def refuse_loop(head: RequestHead, pseudonym: bytes) -> None:
    """Raise `ProxyError` (`loop_detected`) for a request that we sent ourselves."""
    for via in head.via:
        if pseudonym in via:
            raise ProxyError(
                Fault.LOOP_DETECTED, "the request has been here before: see the upstream's url"
            )


def refuse_foreign_pages(head: RequestHead) -> None:
    """Raise `ProxyError` (`browser_refused`) for what a page of another origin sends.

    A browser would carry our token for any page that knows the port (DNS rebinding, CSRF).
    """
    if head.sec_fetch_site is not None and head.sec_fetch_site not in _OWN_PAGES:
        raise ProxyError(Fault.BROWSER_REFUSED, "Sec-Fetch-Site says: from another site")
    own = b"http://" + (head.authority or b"").lower()
    if head.origin is not None and head.origin.lower() != own:
        raise ProxyError(Fault.BROWSER_REFUSED, "the Origin is not this proxy's own")
