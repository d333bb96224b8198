"""Whether a proxy runs at `admin.listen`: worth knowing, and neither good nor bad."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.commands.admin_request import NoAnswerError, ask
from proxy.commands.doctor.report import Check, Group
from proxy.config.addresses import TcpAddress, parse_address

if TYPE_CHECKING:
    from proxy.config.schema import Config

SUBJECT = ("admin", "listen")
BODY_BYTES_MAX = 4096


async def look(config: Config) -> Group:
    """Ask `/livez`, so that nobody wonders who told what follows."""
    return Group("this proxy", [await _running(config.admin.listen)])


async def _running(listen: str | None) -> Check:
    if listen is None:
        return _unknown("the admin listener is switched off")
    address = parse_address(listen)
    if isinstance(address, TcpAddress) and address.port == 0:
        return _unknown("not checked, as port 0 is chosen at each start")
    try:
        # On a thread: it is the other commands' way of asking, which waits.
        status, body = await asyncio.to_thread(
            ask, address, "/livez", body_bytes_max=BODY_BYTES_MAX
        )
    except NoAnswerError:
        return _unknown(f"no proxy answers at {address}")
    # Some servers answer 200 to whatever they are asked.
    if status != 200 or body.strip() != b"ok":
        return _unknown(f"what answers at {address} is no proxy that is well")
    detail = f"a proxy answers at {address}; what follows is asked anew, from here"
    return Check(SUBJECT, "running", "ok", detail)


def _unknown(detail: str) -> Check:
    return Check(SUBJECT, "running", "skipped", detail)
