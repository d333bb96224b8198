"""The tutorial's configuration is valid, and what `validate` says of its mistake is what it shows.

What the doctor and `run` say there was typed against a real authorization server; the doctor has
its tests in tests/faults, the reports' counts are looked at in `test_code_blocks.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.commands.command_line import main

PAGE = (Path(__file__).parents[2] / "docs/tutorial.md").read_text(encoding="utf-8")
[CONFIGURATION] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
VALIDATE = "token-proxy validate -c token-proxy.yaml"
ANSWERS = re.findall(rf"^\$ {VALIDATE}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("change", "answer", "status"),
    list(zip([("scope:", "scop:"), ("", "")], ANSWERS, [78, 0], strict=True)),
    ids=["mistaken", "right"],
)
def test_validate_answers_what_the_tutorial_shows(
    change: tuple[str, str],
    answer: str,
    status: int,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("billing.secret").write_text("s3cret\n", encoding="utf-8")
    Path("token-proxy.yaml").write_text(CONFIGURATION.replace(*change), encoding="utf-8")
    assert main(VALIDATE.split()[1:]) == status
    assert "".join(capsys.readouterr()) == answer


def test_the_mistake_is_one_that_the_tutorial_has_one_make() -> None:
    assert "write `scop:` for `scope:`" in PAGE
    assert CONFIGURATION.count("scope:") == 1
