"""What holds between keys: references, what requires or excludes what, what may leave the machine.

All of it reads the raw tree and not the model, so that these findings appear in the same run as
structural ones. A value of the wrong type, or one that is broken already, is passed over here.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from proxy.config.addresses import DEFAULT_ADMIN, DEFAULT_LISTEN, TcpAddress, parse_address
from proxy.config.client_checks import check_client, check_parameters, check_plain_http
from proxy.config.credentials import is_true

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.config.document import Document, KeyPath

NO_TOKEN = "none"


def check(document: Document) -> None:
    """Report all cross-reference mistakes into `document`."""
    _listeners(document)
    for name, client in _entries(document, "clients"):
        check_client(document, ("clients", name), client)
    for name, audience in _entries(document, "audiences"):
        _audience(document, ("audiences", name), audience)
    if "upstreams" in document.section() and document.section()["upstreams"] in (None, {}):
        document.wrong_key(("upstreams",), "should name at least one upstream")
    for name, upstream in _entries(document, "upstreams"):
        _upstream(document, ("upstreams", name), upstream)
    _matches(document)


def _entries(document: Document, group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in document.section(group).items():
        if entry is None or isinstance(entry, dict):
            yield name, entry or {}


def _listeners(document: Document) -> None:
    root = document.section()
    allowed = is_true(root.get("allow_remote"))
    listen = root.get("listen", DEFAULT_LISTEN)
    places: list[tuple[KeyPath, Any]] = (
        [(("listen", index), item) for index, item in enumerate(listen)]
        if isinstance(listen, list)
        else [(("listen",), listen)]
    )
    admin = document.section("admin").get("listen", DEFAULT_ADMIN)
    seen: set[str] = set()
    for path, text in [*places, (("admin", "listen"), admin)]:
        try:
            address = parse_address(text) if isinstance(text, str) else None
        except ValueError:
            continue
        if address is None:
            continue
        if not address.is_local and not allowed and path[0] == "listen":
            document.wrong_value(
                path, "can be reached from other machines: that needs allow_remote: true in a file"
            )
        if str(address) in seen and not (isinstance(address, TcpAddress) and address.port == 0):
            document.wrong_value(path, "is an address that is taken by listen already")
        seen.add(str(address))


def _audience(document: Document, path: KeyPath, audience: dict[str, Any]) -> None:
    if path[-1] == NO_TOKEN:
        document.wrong_key(path, "is the word for 'no token' and cannot be an audience's name")
    _reference(document, (*path, "client"), audience, document.section("clients"))
    check_parameters(document, path, audience)


def _upstream(document: Document, path: KeyPath, upstream: dict[str, Any]) -> None:
    audiences = document.section("audiences")
    if upstream.get("audience") != NO_TOKEN:
        _reference(document, (*path, "audience"), upstream, audiences)
    check_plain_http(document, (*path, "url"), upstream)
    _header_edits(document, path, upstream, audiences)


def _reference(
    document: Document, path: KeyPath, section: dict[str, Any], known: Iterable[str]
) -> None:
    name, kind = section.get(str(path[-1])), str(path[-1])
    names = list(known)
    if not isinstance(name, str) or name in names:
        return
    near = difflib.get_close_matches(name, names, n=1)
    there = f"there are: {', '.join(names)}" if names else "there is none"
    article = "an" if kind == "audience" else "a"
    message = f"names {article} {kind} that is not there ({there})"
    document.wrong_value(path, message, near[0] if near else None)


def _header_edits(
    document: Document, path: KeyPath, upstream: dict[str, Any], audiences: dict[str, Any]
) -> None:
    name = upstream.get("audience")
    audience = audiences.get(name) if isinstance(name, str) and name != NO_TOKEN else None
    header = audience.get("header", "Authorization") if isinstance(audience, dict) else None
    own = _folded(header) if isinstance(header, str) else None
    wrong = "is the field that carries the token: the proxy alone sets it"
    seen: set[str] = set()
    edits = upstream.get("set_headers")
    for key in edits if isinstance(edits, dict) else ():
        if _folded(key) == own:
            document.wrong_key((*path, "set_headers", key), wrong)
        elif key.lower() in seen:
            document.wrong_key((*path, "set_headers", key), "is given twice, in another case")
        seen.add(key.lower())
    removals = upstream.get("remove_headers")
    for index, key in enumerate(removals if isinstance(removals, list) else ()):
        if isinstance(key, str) and _folded(key) == own:
            document.wrong_value((*path, "remove_headers", index), wrong)


def _folded(header: str) -> str:
    return header.lower().replace("_", "-")


def _matches(document: Document) -> None:
    first: dict[tuple[str, str], str] = {}
    for name, upstream in _entries(document, "upstreams"):
        match = upstream.get("match")
        section = match if isinstance(match, dict) else {}
        host, path = section.get("host"), section.get("path", "/")
        if not isinstance(path, str) or not isinstance(host, str | None):
            continue
        key = ((host or "").lower(), path.rstrip("/"))
        if key not in first:
            first[key] = name
            continue
        message = f"matches the same requests as upstream {first[key]}: give one another match"
        place = ("upstreams", name, "match")
        at: KeyPath = (*place, "path") if "path" in section else place
        document.wrong_key(at, message)
