"""Files that change under a running proxy, in the two ways in which files are changed well."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Mount:
    """A folder of files that are swapped all at once, as Kubernetes does with a mounted secret.

    `folder/NAME` is a link into `folder/..data`, which is a link to a folder of one version; that
    one is replaced by renaming another link over it. `..data` alone is what changes.
    """

    def __init__(self, folder: Path, **files: str) -> None:
        self.folder = folder
        self._versions = 0
        folder.mkdir()
        self.swap(**files)

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def swap(self, **files: str) -> None:
        """Replace all files by these; a name seen for the first time is linked."""
        self._versions += 1
        version = self.folder / f"..version-{self._versions}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        (self.folder / "..next").symlink_to(version.name)
        os.replace(self.folder / "..next", self.folder / "..data")  # noqa: PTH105 - of a link itself


def replace(file: Path, text: str) -> None:
    """Replace one file by a finished one, so that nobody reads half of it."""
    finished = file.with_name(f"{file.name}.new")
    finished.write_text(text)
    finished.replace(file)
