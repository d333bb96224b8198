"""`proxy.admin.headline`: a table of states, and the sentence for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from unit.admin.scene import Scene

from proxy.admin.headline import answer_of, headline

if TYPE_CHECKING:
    from collections.abc import Callable

AUDIENCES = ("orders", "billing", "stock")


def nothing_yet(_: Scene) -> None:
    pass


def all_live(scene: Scene) -> None:
    for audience in scene.telemetry.audiences:
        scene.granted(audience)


def one_live(scene: Scene) -> None:
    scene.granted("orders")
    scene.granted("billing")
    scene.telemetry.audiences["billing"].token_let_go()


def one_down(scene: Scene) -> None:
    all_live(scene)
    scene.advance(601)
    all_live(scene)
    scene.advance(300)
    scene.failed("billing")
    scene.advance(299)
    scene.granted("orders")
    scene.granted("stock")
    scene.advance(60)


def one_ageing(scene: Scene) -> None:
    all_live(scene)
    scene.advance(500)
    scene.failed("billing")


def all_refused(scene: Scene) -> None:
    for audience in scene.telemetry.audiences:
        scene.failed(audience, "grant_refused")


def all_down_differently(scene: Scene) -> None:
    scene.failed("orders", "grant_refused")
    scene.failed("billing")
    scene.failed("stock")


def one_down_one_ageing(scene: Scene) -> None:
    all_live(scene)
    scene.failed("stock")
    scene.telemetry.audiences["billing"].token_rejected()
    scene.failed("billing")


def refused_by_an_upstream(scene: Scene) -> None:
    all_live(scene)
    scene.telemetry.upstreams["orders"].unauthorized("passed")
    scene.telemetry.upstreams["orders"].unauthorized("renewed_still_401")


def renewed_for_an_upstream(scene: Scene) -> None:
    all_live(scene)
    scene.telemetry.upstreams["orders"].unauthorized("renewed_ok")


def rejected(scene: Scene) -> None:
    all_live(scene)
    scene.telemetry.audiences["stock"].token_rejected()


def upstream_down(scene: Scene) -> None:
    all_live(scene)
    scene.telemetry.upstreams["orders"].failed("upstream_unreachable")


def no_token_in_time(scene: Scene) -> None:
    scene.telemetry.upstreams["orders"].failed("token_wait_timeout")


def lapsed(scene: Scene) -> None:
    all_live(scene)
    scene.advance(601)
    scene.granted("orders")


def bad_configuration(scene: Scene) -> None:
    all_live(scene)
    scene.telemetry.configuration.reload_failed("a sentence", asked=True)


def draining(scene: Scene) -> None:
    all_live(scene)
    scene.health.draining = True
    scene.telemetry.upstreams["orders"].in_flight = 4


@pytest.mark.parametrize(
    ("happened", "mark", "sentence"),
    [
        (nothing_yet, "quiet", "0 of 3 tokens live, 3 not there yet"),
        (all_live, "good", "All 3 tokens live"),
        (one_live, "good", "1 of 3 tokens live, 1 not there yet, 1 let go, as unused"),
        (
            one_down,
            "bad",
            "1 of 3 tokens failing: callers of billing get 503 authorization_server_unavailable",
        ),
        (
            one_ageing,
            "warning",
            "1 of 3 tokens failing, not felt yet: "
            "callers of billing are still served, for 1 min 40 s",
        ),
        (
            all_refused,
            "bad",
            "3 of 3 tokens failing: callers of orders, billing and stock get 502 grant_refused",
        ),
        (
            all_down_differently,
            "bad",
            "3 of 3 tokens failing: callers of orders, billing and stock get errors",
        ),
        (
            one_down_one_ageing,
            "bad",
            "1 of 3 tokens failing: callers of billing get 503 authorization_server_unavailable",
        ),
        (
            refused_by_an_upstream,
            "warning",
            "orders refused our token 2 times in the last minute (401)",
        ),
        (renewed_for_an_upstream, "good", "All 3 tokens live"),
        (rejected, "warning", "The token of stock was refused with 401; another is wanted"),
        (upstream_down, "warning", "orders: 502 upstream_unreachable once in the last minute"),
        (no_token_in_time, "warning", "orders: 503 token_wait_timeout once in the last minute"),
        (lapsed, "good", "1 of 3 tokens live, 2 lapsed"),
        (
            bad_configuration,
            "warning",
            "The configuration cannot be used as it is now; the one before stays in use",
        ),
        (draining, "warning", "Draining: no new requests are taken, 4 in flight"),
    ],
)
def test_each_state_comes_to_a_sentence(
    happened: Callable[[Scene], None], mark: str, sentence: str
) -> None:
    scene = Scene(*AUDIENCES)
    happened(scene)
    said = headline(scene.status())
    assert (said.mark, said.sentence) == (mark, sentence)


def test_what_callers_feel_comes_first_and_the_rest_follows() -> None:
    scene = Scene(*AUDIENCES)
    bad_configuration(scene)
    one_down_one_ageing(scene)
    draining(scene)
    scene.failed("stock")
    scene.failed("billing", "grant_refused")
    scene.advance(650)
    said = headline(scene.status())
    assert said.mark == "bad"
    assert [mark for mark, _ in said.notes] == ["warning", "warning"]
    assert said.failing is not None
    assert said.failing.audience == "billing"
    assert said.others_fail


def test_the_tokens_are_told_of_whatever_else_is_wrong() -> None:
    scene = Scene(*AUDIENCES)
    upstream_down(scene)
    assert ("good", "All 3 tokens live") in headline(scene.status()).notes


@pytest.mark.parametrize(
    ("audiences", "sentence"),
    [
        ((), "No tokens to keep: no audience is configured"),
        (("orders",), "The token is live"),
    ],
)
def test_none_and_one_are_told_as_such(audiences: tuple[str, ...], sentence: str) -> None:
    scene = Scene(*audiences)
    all_live(scene)
    assert headline(scene.status()).sentence == sentence


def test_the_one_token_that_fails_is_told_of_without_a_number() -> None:
    scene = Scene("orders")
    scene.failed("orders")
    assert headline(scene.status()).sentence == (
        "The token is failing: callers of orders get 503 authorization_server_unavailable"
    )


def test_of_many_names_only_a_few_are_told() -> None:
    names = tuple(f"a{number}" for number in range(1000))
    scene = Scene(*names, upstreams=names)
    all_refused(scene)
    for upstream in names:
        scene.telemetry.upstreams[upstream].failed("overloaded")
    said = headline(scene.status())
    assert said.sentence == (
        "1,000 of 1,000 tokens failing: callers of a0, a1, a2 and 997 more get 502 grant_refused"
    )
    assert said.notes == (
        (
            "warning",
            "a0, a1, a2 and 997 more: 503 overloaded 1,000 times in the last minute",
        ),
    )


def test_starting_is_told_before_it_listens() -> None:
    scene = Scene("orders")
    scene.health.listening = False
    assert headline(scene.status()).sentence == "Starting: not listening yet"


def test_a_code_that_is_none_of_ours_is_told_as_it_is() -> None:
    assert answer_of("grant_refused") == "502 grant_refused"
    assert answer_of("errors") == "errors"
