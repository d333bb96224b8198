"""`proxy.admin.page`: HTML from a status, escaped, whole, and quick with many names."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from unit.admin.scene import Scene

from proxy.admin import page
from proxy.admin.page_table import ROWS_MAX
from proxy.errors import ADVICE

HOSTILE = "\"><script>alert('canary')</script><b onmouseover=x>&amp;"
VOID = {"meta", "link", "br", "wbr", "rect", "path", "circle"}


class Outline(HTMLParser):
    """The page as a browser takes it; fails on what is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def shown(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


def busy(*audiences: str, upstreams: tuple[str, ...] = ("orders", "stock")) -> Scene:
    """Return a scene with something in every part of the page."""
    scene = Scene(*audiences, upstreams=upstreams)
    for audience in audiences:
        scene.granted(audience)
    scene.advance(30)
    for upstream in upstreams:
        scene.requested(upstream, 0.004, 0.03, 0.2)
    scene.requested(upstreams[0], 31.0, status=504)
    scene.telemetry.upstreams[upstreams[0]].failed("upstream_timeout")
    scene.telemetry.upstreams[upstreams[0]].unauthorized("passed")
    scene.telemetry.upstreams[upstreams[0]].requests["GET", 101, "upstream"] = 1
    for audience in audiences[:1]:
        scene.failed(audience, "grant_refused")
    scene.telemetry.configuration.reload_failed(
        "one.yaml:1:2: no\none.yaml:3:4: nor this", asked=True
    )
    return scene


def test_the_page_is_well_formed_and_says_the_state_in_its_heading_and_title() -> None:
    html = busy("orders", "billing").page()
    outline = Outline(html)
    assert len(outline.all("h1")) == 1
    sentence = "1 of 2 tokens failing, not felt yet"
    assert f"<title>{sentence}" in html
    assert sentence in outline.shown()
    assert html.startswith("<!DOCTYPE html>")
    assert outline.all("html") == [{"lang": "en"}]


def test_a_failure_is_told_with_since_when_why_and_what_to_do() -> None:
    scene = Scene("orders")
    scene.granted("orders", lifetime_seconds=240)
    scene.advance(180)
    scene.failed("orders", "grant_refused", retry_in_seconds=42.0)
    scene.advance(20)
    shown = Outline(scene.page()).shown()
    for told in (
        "Failing since 08:56:20 20 s ago · 1 failure in a row · next try in 22 s (08:57:02)",
        "Why: grant_refused",
        f"What to do: {ADVICE['grant_refused']}",
        "in 40 s 08:57:20",
        "old token in use",
    ):
        # In the summary, and in the audience's own row; the countdown only there.
        assert told in shown
    scene.advance(50)
    assert "expired 10 s ago" in Outline(scene.page()).shown()
    assert "callers get an error" in Outline(scene.page()).shown()


@pytest.mark.parametrize(
    ("passed", "width"), [(0, "100.0"), (150, "75.0"), (599, "0.2"), (700, "0.0")]
)
def test_the_bar_is_what_is_left_of_the_lifetime(passed: float, width: str) -> None:
    scene = Scene("orders")
    scene.granted("orders", lifetime_seconds=600)
    scene.advance(passed)
    bars = [each for each in Outline(scene.page()).all("rect") if each["class"] == "left"]
    assert [each["width"] for each in bars] == [width]


def test_a_token_refused_by_an_upstream_has_no_life_left() -> None:
    scene = Scene("orders")
    scene.granted("orders")
    scene.telemetry.audiences["orders"].token_rejected()
    outline = Outline(scene.page())
    assert "refused by an upstream" in outline.shown()
    assert {"class": "left", "width": "0.0", "height": "6"} in outline.all("rect")


def test_any_text_stays_text() -> None:
    scene = busy(HOSTILE, upstreams=(HOSTILE,))
    scene.failed(HOSTILE, HOSTILE)
    scene.telemetry.configuration.source = HOSTILE
    scene.telemetry.configuration.reload_failed(HOSTILE, asked=True)
    outline = Outline(scene.page())
    names = {tag for tag, _ in outline.tags}
    assert not names & {"script", "b", "img", "iframe", "form", "object", "base"}
    assert "".join(outline.text).count(HOSTILE) >= 5
    attributes = {name for _, each in outline.tags for name in each}
    assert not any(name.startswith("on") for name in attributes)


def test_names_cannot_turn_the_line_around() -> None:
    scene = busy("a\N{RIGHT-TO-LEFT OVERRIDE}b\nc", upstreams=("x\ud800",))
    html = scene.page()
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in html
    html.encode()


def test_the_policy_lets_in_the_style_sheet_by_its_hash_and_nothing_else() -> None:
    html = busy("orders").page()
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.HEADERS["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    outline = Outline(html)
    assert not any("style" in attributes for _, attributes in outline.tags)
    places = [value for _, each in outline.tags for name, value in each.items() if name == "href"]
    assert all(each and not re.match(r"(https?:)?//", each) for each in places)


def test_colour_is_never_the_only_sign() -> None:
    scene = Scene("down", "ageing", "live", "absent")
    scene.granted("live")
    scene.granted("ageing")
    scene.failed("down")
    scene.failed("ageing")
    html = scene.page()
    states = re.findall(r'<span class="state (\w+)"><svg[^>]*>(.*?)</svg>(\w+)</span>(?=.*?)', html)
    shapes = {mark: shape for mark, shape, _ in states}
    assert set(shapes) == {"bad", "warning", "good", "quiet"}
    assert len(set(shapes.values())) == 4
    assert {"failing", "live", "absent"} <= {word for *_, word in states}


def test_tables_have_captions_scopes_and_labels_for_cards() -> None:
    outline = Outline(busy("orders").page())
    assert len(outline.all("table")) == len(outline.all("caption")) == 3
    assert all(each.get("scope") for each in outline.all("th"))
    assert all(each.get("datetime") for each in outline.all("time"))
    regions = [each for each in outline.all("div") if each.get("role") == "region"]
    assert all(each.get("aria-label") and each.get("tabindex") == "0" for each in regions)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("", 5),
        ("0", 0),
        ("2", 2),
        ("007", 7),
        ("99999", 5),
        ("9999", 3600),
        ("-1", 5),
        ("1.5", 5),
        ("\N{ARABIC-INDIC DIGIT TWO}", 5),
        ('1"><script>', 5),
    ],
)
def test_the_refresh_asked_for_is_a_number_of_seconds(asked: str, seconds: int) -> None:
    assert page.refresh_seconds(asked) == seconds


def test_a_page_that_is_paused_does_not_load_itself() -> None:
    scene = busy("orders")
    again = {"http-equiv": "refresh", "content": "7"}
    assert again in Outline(scene.page(7)).all("meta")
    paused = Outline(scene.page(0))
    assert not any("http-equiv" in each for each in paused.all("meta"))
    assert {"href": "?refresh=5"} in paused.all("a")
    assert {"href": "?refresh=0"} in Outline(scene.page(7)).all("a")


def test_without_audiences_and_requests_the_page_says_so() -> None:
    shown = Outline(Scene(upstreams=()).page()).shown()
    assert "No audience is configured" in shown
    assert "No upstream is configured" in shown
    assert "No token was asked for yet" in shown


def test_what_never_had_a_known_upstream_is_shown_once_there_is_any() -> None:
    scene = Scene(upstreams=("orders",))
    assert "before an upstream was known" not in scene.page()
    scene.telemetry.upstreams[""].request_finished("GET", 404, "proxy", 0.001)
    assert "before an upstream was known" in scene.page()


def test_of_a_thousand_those_in_trouble_are_shown_and_the_rest_is_named() -> None:
    names = tuple(f"n{number}" for number in range(1000))
    scene = Scene(*names, upstreams=names)
    for name in names:
        scene.granted(name)
    scene.failed("n900")
    scene.telemetry.upstreams["n950"].failed("overloaded")
    html = scene.page()
    outline = Outline(html)
    shown = outline.shown()
    assert shown.count("n900") >= 2
    assert "n950" in shown
    assert f"{ROWS_MAX} of 1,000 audiences" in shown
    assert f"{ROWS_MAX} of 1,000 upstreams" in shown
    assert len(outline.all("tr")) < 2 * ROWS_MAX + 40
    assert len(html) < 400_000


def test_the_hash_is_short_with_the_whole_of_it_as_title() -> None:
    scene = Scene()
    scene.telemetry.configuration.sha256 = "0123456789abcdef" * 4
    assert {"title": "0123456789abcdef" * 4} in Outline(scene.page()).all("code")
    assert "0123456789ab…" in Outline(scene.page()).shown()


def test_each_line_of_a_problem_is_a_line() -> None:
    assert "<pre>one.yaml:1:2: no\none.yaml:3:4: nor this</pre>" in busy("orders").page()
