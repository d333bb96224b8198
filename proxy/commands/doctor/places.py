"""Where the keys of a configuration are written, for whoever has to change one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.commands.configuration_source import source_of
from proxy.commands.source_arguments import SECRET_VARIABLE, SETTINGS
from proxy.config.document import dotted
from proxy.config.loader import read_text
from proxy.config.yaml_document import read_document

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from proxy.config.document import Document, KeyPath


class Places:
    """The places of a file's keys; `document` None: flags stand for the file."""

    def __init__(self, document: Document | None) -> None:
        self._document = document

    def name(self, key: KeyPath) -> str:
        """Return what the key is called where it is written."""
        if self._document is not None:
            return dotted(key)
        flags: dict[KeyPath, str] = {setting.path: setting.flag for setting in SETTINGS}
        if key in flags:
            return flags[key]
        if key[-1] == "client_secret":
            return SECRET_VARIABLE
        return f"{dotted(key)}, which only a file can have"

    def told(self, key: KeyPath) -> str:
        """Return the key with file and line."""
        name = self.name(key)
        if self._document is None or not self._document.keys:
            # Flags have no lines, nor has what comes from a pipe, which is read once.
            return name
        set_there = key in self._document.keys
        line = self._document.key_of(key).line
        where = f"{self._document.file}:{line}"
        return f"{name} ({where})" if set_there else f"{name} (not set; would belong to {where})"


def places_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Places:
    """Return the places of the configuration that these arguments lead to, which is sound."""
    file = source_of(arguments, environ)
    return Places(None if file is None else read_document(read_text(file), str(file), environ))
