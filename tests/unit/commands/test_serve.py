"""`token-proxy run` before it serves."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from proxy.commands import run, serve
from proxy.commands.command_line import build_parser
from proxy.config.problem import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proxy.config.loader import Loaded

TEXT = "upstreams: {a: {url: 'https://a.example', audience: none}}\n"


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
def test_a_signal_to_reload_does_not_end_a_start_and_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(TEXT)
    loads: list[Callable[[], Loaded]] = []
    ignored: list[bool] = []

    def started(_: Loaded, load: Callable[[], Loaded] | None) -> int:
        ignored.append(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
        assert load is not None
        loads.append(load)
        return 0

    monkeypatch.setattr(run, "run", started)
    assert serve.execute(build_parser().parse_args(["run", "-c", str(file)])) == 0
    assert ignored == [True]
    assert [*loads[0]().config.upstreams] == ["a"]
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ConfigurationError, match="is no regular file"):
        loads[0]()
