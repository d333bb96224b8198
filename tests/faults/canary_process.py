"""The proxy as a process, with faults of its own planted in it; run as `token-proxy` is.

Once it has started, exceptions with `CANARY` from the environment in their text are raised where
nobody catches them, and a library logs one. With `LEAK` it writes `CANARY` itself, as a test that
looks for leaks has to be seen to find one.
"""

from __future__ import annotations

import asyncio
import os
import sys

from proxy.__main__ import main
from proxy.app import App

CANARY = os.environ["CANARY"]
_start = App.start


def broken(secret: str) -> None:
    raise ValueError(f"Bearer {secret}")


async def broken_later(secret: str) -> None:
    broken(secret)


async def start(self: App) -> None:
    await _start(self)
    loop = asyncio.get_running_loop()
    loop.call_soon(broken, CANARY)
    # Kept by nobody: that is the fault.
    loop.create_task(broken_later(CANARY))  # noqa: RUF006
    loop.create_future().set_exception(ValueError(CANARY))
    library = self.telemetry.log.library("library")
    library.error("odd %r", CANARY, exc_info=ValueError(CANARY))
    if "LEAK" in os.environ:
        self.telemetry.log.info("leak", f"the token is {CANARY}")


if __name__ == "__main__":
    App.start = start  # type: ignore[method-assign]
    sys.exit(main())
