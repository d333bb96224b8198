"""Builds and runs images without a Docker engine: Debian's buildah, and runc below it.

Needs root. Everything is kept in one folder of the test's. A container gets a network of its own
with nothing but the loopback interface, so that the usual ports are free; no capability, no way to
gain one, a root that cannot be written to, and no other file system that could be.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND_SECONDS_MAX = 240
STOP_SECONDS_MAX = 20
READ_ONLY = ["ro", "nosuid", "nodev"]


@dataclass(slots=True)
class Images:
    """A store of images in `folder`, and what is made of them."""

    folder: Path
    _mounted: list[str] = field(default_factory=list)

    def buildah(self, *arguments: str | Path) -> str:
        """Run buildah on this store; return what it printed. Raises with its words if it fails."""
        store = ["--root", self.folder / "images", "--runroot", self.folder / "state"]
        return run("buildah", *store, *arguments)

    def mount(self, image: str) -> tuple[str, Path]:
        """Return a new working container of `image`, and the folder where its files are seen."""
        container = self.buildah("from", "--pull-never", image).strip()
        self._mounted.append(container)
        return container, type(self.folder)(self.buildah("mount", container).strip())

    def commit(self, container: str, image: str) -> None:
        self.buildah("umount", container)
        self.buildah("commit", "--quiet", "--rm", container, image)
        self._mounted.remove(container)

    def configuration(self, image: str) -> dict[str, Any]:
        """Return what the image says of itself: `Entrypoint`, `User`, `Healthcheck` and so on."""
        settings = json.loads(self.buildah("inspect", "--type", "image", image))
        return dict(settings["Docker"]["config"])

    def remove_all(self) -> None:
        for container in self._mounted:
            self.buildah("umount", container)
        self.buildah("rm", "--all")
        self.buildah("rmi", "--all", "--force")


@dataclass(slots=True)
class Bundle:
    """A root file system with the image's settings, from which containers are started."""

    folder: Path
    root: Path
    settings: dict[str, Any]

    @contextlib.contextmanager
    def running(self, *arguments: str, mounts: dict[str, Path]) -> Iterator[Container]:
        """Start a container with `arguments` in the place of the image's own; end it at last."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        place = self.folder / name
        place.mkdir()
        command = [*self.settings["Entrypoint"], *(arguments or self.settings["Cmd"])]
        specification = self._specification(command, mounts)
        (place / "config.json").write_text(json.dumps(specification), encoding="utf-8")
        said = place / "said.txt"
        runc = ["runc", "--root", self.folder / "runc"]
        with said.open("wb") as output:
            process = subprocess.Popen(
                [*runc, "run", "--bundle", place, name],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            yield Container(name, process, said, runc)
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                run(*runc, "delete", "--force", name)
                process.wait()

    def _specification(self, command: list[str], mounts: dict[str, Path]) -> dict[str, Any]:
        user, group = map(int, self.settings["User"].split(":"))
        nothing: dict[str, list[str]] = {
            kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
        }
        binds = [
            {"destination": to, "source": str(source), "type": "bind",
             "options": ["rbind", *READ_ONLY]}
            for to, source in mounts.items()
        ]  # fmt: skip
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(self.root), "readonly": True},
            "process": {
                "args": command,
                "env": self.settings["Env"],
                "cwd": self.settings.get("WorkingDir") or "/",
                "user": {"uid": user, "gid": group},
                "capabilities": nothing,
                "noNewPrivileges": True,
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "strictatime", "mode=755", "size=64k"]},
                *binds,
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]
            },
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Container:
    """A running container; `process` is runc, which passes signals on and ends as it ends."""

    name: str
    process: subprocess.Popen[bytes]
    said: Path
    runc: list[str | Path]

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user and with nothing more than it has."""
        return subprocess.run(
            [*self.runc, "exec", self.name, *command],
            capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS_MAX,
        )  # fmt: skip


def run(*command: str | Path) -> str:
    """Run a command to its end; return its standard output. Raises with its words if it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS_MAX,
        env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-4000:]}")
    return done.stdout
