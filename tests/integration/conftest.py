"""Fixtures of the end-to-end tests: servers we did not write, the proxy's process, an upstream.

Each test process has its own servers, on ports of the kernel's choice, so that tests run in
parallel. A test that takes a server away starts one for itself.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from integration import oidc_provider, proxy_process
from integration.foreign_server import StartServer, require, starting
from integration.recording_upstream import RecordingUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from integration.proxy_process import RunningProxy, StartProxy

SERVERS = Path(__file__).parent / "servers"


@pytest.fixture(scope="session")
def start_oidc_provider() -> Iterator[StartServer]:
    """Start npm's oidc-provider with the given settings (see `servers/oidc_provider.mjs`)."""
    require(
        shutil.which("node") and (SERVERS / "node_modules/oidc-provider").is_dir(),
        "oidc-provider is missing: install Node.js 20 or newer with npm, then run `make test`",
    )
    with starting("node", str(SERVERS / "oidc_provider.mjs")) as start:
        yield start


@pytest.fixture(scope="session")
def provider(start_oidc_provider: StartServer) -> Iterator[oidc_provider.Provider]:
    """Give an oidc-provider that offers all methods; a test registers clients of its own there."""
    running = oidc_provider.start(start_oidc_provider)
    yield running
    running.server.stop()


@pytest.fixture(scope="session")
def start_django_oauth_toolkit(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StartServer]:
    """Start django-oauth-toolkit with the given settings (see `servers/dot_server.py`)."""
    require(
        importlib.util.find_spec("oauth2_provider"),
        "django-oauth-toolkit is missing: install the dependency group `test`",
    )
    program = str(SERVERS / "dot_server.py")
    with starting(
        sys.executable, program, folder=lambda: tmp_path_factory.mktemp("django")
    ) as start:
        yield start


@pytest.fixture(scope="session")
def start_glewlwyd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start Debian's glewlwyd with the given settings (see `servers/glewlwyd_server.py`)."""
    require(shutil.which("glewlwyd"), "glewlwyd is missing: install the distribution's package")
    program = str(SERVERS / "glewlwyd_server.py")
    with starting(
        sys.executable, program, folder=lambda: tmp_path_factory.mktemp("glewlwyd")
    ) as start:
        yield start


@pytest.fixture
def start_tinyproxy() -> Iterator[StartServer]:
    """Start tinyproxy with the given settings (see `servers/tinyproxy_server.py`)."""
    require(
        shutil.which("tinyproxy"),
        "tinyproxy is missing: install the distribution's package tinyproxy-bin",
    )
    with starting(sys.executable, str(SERVERS / "tinyproxy_server.py")) as start:
        yield start


@pytest.fixture
async def upstream() -> AsyncIterator[RecordingUpstream]:
    """Give an upstream that records what it gets; see `recording_upstream`."""
    async with RecordingUpstream() as recording:
        yield recording


@pytest.fixture
async def start_proxy(tmp_path: Path) -> AsyncIterator[StartProxy]:
    """Start proxies as `proxy_process` does, in a folder of this test.

    Every proxy still running when the test ends is sent SIGTERM and must exit with 0.
    """
    started: list[RunningProxy] = []

    async def start(
        config: dict[str, Any], *, environment: dict[str, str] | None = None
    ) -> RunningProxy:
        folder = tmp_path / f"proxy-{len(started)}"
        running = await proxy_process.start(config, folder, environment=environment)
        started.append(running)
        return running

    yield start
    statuses = [await one.stop() for one in started if one.process.returncode is None]
    assert not any(statuses), statuses
