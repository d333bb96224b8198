from __future__ import annotations

import asyncio

import pytest

from proxy.errors import Fault
from proxy.forwarding.connection import UpstreamConnection


class Slow(asyncio.Transport):
    """A far end that has taken `step_bytes` more whenever one looks."""

    def __init__(self, connection: UpstreamConnection, step_bytes: int) -> None:
        super().__init__()
        self._connection = connection
        self._step_bytes = step_bytes
        self._left = 50

    def get_write_buffer_size(self) -> int:
        self._left -= self._step_bytes
        if self._left <= 0:
            self._connection.resume_writing()
        return self._left

    def abort(self) -> None:
        self._connection.connection_lost(None)


@pytest.mark.parametrize("step_bytes", [10, 0])
async def test_only_an_upstream_that_takes_nothing_is_given_up(step_bytes: int) -> None:
    loop = asyncio.get_running_loop()
    connection = UpstreamConnection(
        loop, head_bytes_max=4096, fields_max=8, on_closed=lambda _: None
    )
    connection.connection_made(Slow(connection, step_bytes))
    connection.pause_writing()
    await connection.drain(0.01)
    if step_bytes:
        assert connection.error is None
    else:
        assert connection.error is not None
        assert connection.error.fault is Fault.UPSTREAM_TIMEOUT
