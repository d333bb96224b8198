"""What every examination needs: the configuration, names, trust, clocks; as `run` has them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from proxy.commands.doctor.reach import Reach
from proxy.forwarding.routing import Routes
from proxy.network import Resolver
from proxy.telemetry.files import FileFacts
from proxy.tls import TlsContexts

if TYPE_CHECKING:
    from proxy.config.schema import Config
    from proxy.telemetry.log import Log

THREADS_MAX = 64
"""Of each resolver: a name that hangs holds one, and is not to hold up the others."""


class Surroundings:
    """Shared by all examinations of one run. `close` ends what is left of it."""

    def __init__(self, config: Config, log: Log) -> None:
        self.config = config
        self.wall = partial(time.time)  # noqa: TID251 - JWT claims and Date are wall time
        self.monotonic = time.monotonic
        self.contexts = TlsContexts()
        self.files = FileFacts(log, monotonic=time.monotonic)
        self.routes = {route.name: route for route in Routes(config).routes}
        self.token_names = _resolver(len(config.clients), "tokens")
        self._upstream_names = _resolver(len(config.upstreams), "upstreams")
        self.reach_tokens = Reach(self.token_names, wall=self.wall)
        self.reach_upstreams = Reach(self._upstream_names, wall=self.wall)

    async def close(self) -> None:
        """Drop look-ups that nobody waits for."""
        await self.token_names.close()
        await self._upstream_names.close()


def _resolver(names: int, purpose: str) -> Resolver:
    return Resolver(threads=max(2, min(names, THREADS_MAX)), purpose=purpose)
