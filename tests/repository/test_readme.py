"""The README's configuration loads, its way into Kubernetes renders, its links lead somewhere.

That the output it shows is what `demo` prints is in `tests/integration/test_demo.py`, where the
demonstration runs; that commands and other blocks are right, in `test_code_blocks.py`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from proxy.commands.command_line import build_parser
from proxy.config.loader import load_text

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLEST, DEPENDENCY, VALUES = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
[TEMPLATE] = re.findall(r"^```gotmpl\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SECRET_FILE = "/run/secrets/billing"
PAGES = sorted(
    path.relative_to(ROOT)
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md")]
)
INDEX = ROOT / "docs/README.md"
LINES_MAX = 270
LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_it_can_be_read_in_one_go() -> None:
    assert README.count("\n") <= LINES_MAX


def test_the_smallest_configuration_is_ten_lines_and_loads(tmp_path: Path) -> None:
    assert SMALLEST.count("\n") == 10
    assert SECRET_FILE in SMALLEST
    secret = tmp_path / "billing"
    secret.write_text("s3cret\n")
    text = SMALLEST.replace(SECRET_FILE, str(secret))
    config = load_text(text, "README.md", {"BILLING_CLIENT_ID": "us"}, tmp_path)
    assert list(config.listen) == ["127.0.0.1:8080"]
    assert [str(each.url) for each in config.upstreams.values()] == ["https://api.example.com/v1"]


def test_each_command_is_named() -> None:
    [commands] = [
        action.choices
        for action in build_parser()._actions
        if action.dest == "command" and action.choices is not None
    ]
    named = set(re.findall(r"`(?:token-proxy )?(\w+)`", README))
    typed = set(re.findall(r"^\$ token-proxy (\w+)", README, re.MULTILINE))
    assert set(commands) <= named | typed


def chart_of_the_readme(directory: Path) -> dict[str, str]:
    """Return what Helm makes of the README's three blocks in a chart; nothing else is in it."""
    shutil.copytree(ROOT / "helm/token-proxy", directory / "charts/token-proxy")
    about = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
    (directory / "Chart.yaml").write_text(about + DEPENDENCY, encoding="utf-8")
    (directory / "templates").mkdir()
    (directory / "templates/pod.yaml").write_text(TEMPLATE, encoding="utf-8")
    with helm_python.Chart.load(str(directory)) as chart:
        values = yaml.safe_load(VALUES)
        return dict(chart.render(values, name="shop", namespace="default"))


def test_its_chart_has_the_proxy_as_a_native_sidecar(tmp_path: Path) -> None:
    spec = yaml.safe_load(chart_of_the_readme(tmp_path)["shop/templates/pod.yaml"])
    [sidecar] = spec["initContainers"]
    assert sidecar["name"] == "token-proxy"
    assert sidecar["image"].startswith("registry.example.com/token-proxy:")
    assert sidecar["restartPolicy"] == "Always"
    assert "readinessProbe" not in sidecar
    mounted = {mount["name"] for mount in sidecar["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_its_chart_configures_what_the_smallest_configuration_does(tmp_path: Path) -> None:
    """The same upstream, token and listener; the secret from where the chart mounts it."""
    parts: list[dict[str, Any]] = [
        part
        for name, text in chart_of_the_readme(tmp_path).items()
        if name.endswith(".yaml")
        for part in yaml.safe_load_all(text)
        if part and part.get("kind") == "ConfigMap"
    ]
    [text] = [part["data"]["token-proxy.yaml"] for part in parts]
    (tmp_path / "client-secret").write_text("s3cret")
    text = text.replace("/run/secrets/token-proxy", str(tmp_path))
    config = load_text(text, "chart", {}, tmp_path)
    assert list(config.listen) == ["127.0.0.1:8080"]
    smallest = yaml.safe_load(SMALLEST)
    shown = yaml.safe_load(text)
    assert shown["upstreams"] == smallest["upstreams"]
    assert shown["audiences"] == smallest["audiences"]


def test_every_page_has_its_line_in_the_index() -> None:
    """Recipes and runbooks have indexes of their own."""
    linked = {(INDEX.parent / link).resolve() for link in LINK.findall(INDEX.read_text("utf-8"))}
    assert ROOT / "docs/decisions" in linked
    assert set(ROOT.glob("docs/*.md")) - {INDEX} <= linked
    for index, pages in [
        ("docs/providers/README.md", "docs/providers/*.md"),
        ("docs/alerts.md", "docs/runbooks/*.md"),
    ]:
        assert ROOT / index in linked
        text = (ROOT / index).read_text(encoding="utf-8")
        for page in ROOT.glob(pages):
            assert f"{page.name})" in text or page == ROOT / index, page.name


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(
        r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for link in LINK.findall(text):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page}: {link}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page}: {link}"
