"""The doctor among servers in our hands: what it told, as people and as programs read it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from integration.recording_upstream import response

from proxy.commands.doctor.examination import examine
from proxy.commands.doctor.places import Places
from proxy.commands.doctor.report import Style, is_well, lines, to_json
from proxy.config.loader import load_text
from proxy.config.yaml_document import read_document

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from integration.recording_upstream import RecordedRequest

    from proxy.commands.doctor.report import Group

FILE = "token-proxy.yaml"


@dataclass(frozen=True, slots=True)
class Told:
    """What a run of the doctor told."""

    groups: list[Group]
    report: dict[str, Any]
    text: str

    @property
    def is_well(self) -> bool:
        return is_well(self.groups)

    def checks(self, name: str, result: str | None = None) -> list[dict[str, Any]]:
        return [
            check
            for check in self.report["checks"]
            if check["check"] == name and result in (None, check["result"])
        ]

    def check(self, name: str) -> dict[str, Any]:
        (only,) = self.checks(name)
        return only

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [check for check in self.report["checks"] if check["result"] == "failure"]

    @property
    def only_failure(self) -> dict[str, Any]:
        (only,) = self.failures
        return only


async def told(config: dict[str, Any], folder: Path) -> Told:
    """Examine a configuration as the command does, on the loop of the servers it names."""
    text = yaml.safe_dump(config, sort_keys=False)
    shown: list[Group] = []
    groups = await examine(load_text(text, FILE, {}, folder), shown.append)
    assert groups == shown
    places = Places(read_document(text, FILE, {}))
    style = Style(encoding="utf-8", colour=False)
    written = "\n".join(line for group in groups for line in lines(group, style, places))
    return Told(groups, to_json(groups, places), written)


def jwt(**claims: Any) -> str:
    parts = (json.dumps(each).encode() for each in ({"alg": "none"}, claims))
    encoded = [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def answering(status: str, *fields: str) -> Callable[[RecordedRequest, asyncio.StreamWriter], Any]:
    async def answer(_request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"x", status=status, fields=fields))

    return answer
