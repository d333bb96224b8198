from __future__ import annotations

import pytest

from proxy.forwarding.challenge import asks_for_another_token

BEARER = b"Bearer abc"


@pytest.mark.parametrize(
    ("challenges", "worth_it"),
    [
        ([], True),
        ([b"Bearer"], True),
        ([b"bearer"], True),
        ([b'Bearer realm="api"'], True),
        ([b'Bearer realm="api", error="invalid_token"'], True),
        ([b'BEARER error="invalid_token", error_description="expired"'], True),
        ([b'Basic realm="api"'], False),
        ([b"Negotiate"], False),
        ([b'Basic realm="Bearer"'], False),
        ([b'Basic realm="a, Bearer b"'], False),
        ([b'Basic realm="a\\", Bearer b"'], False),
        ([b'Basic bearer="x"'], False),
        ([b'Basic realm="a", bearer = "x"'], False),
        ([b'Basic realm="a", Bearer'], True),
        ([b'Basic realm="a", Bearer realm="b"'], True),
        ([b"Negotiate YWJj==, Bearer"], True),
        ([b'Basic realm="a"', b"Bearer"], True),
        ([b"BearerToken"], False),
        ([b'DPoP algs="ES256"'], False),
        ([b""], True),
        ([b'Bearer error="insufficient_scope"'], False),
        ([b"Bearer error=insufficient_scope"], False),
        ([b'Bearer scope="a", error = "insufficient_scope"'], False),
        ([b"Bearer", b'Bearer error="insufficient_scope"'], False),
        ([b'Bearer error="insufficient_scopes_are_fine"'], True),
    ],
)
def test_a_newer_token_is_worth_trying(challenges: list[bytes], *, worth_it: bool) -> None:
    fields = [(b"www-Authenticate", value) for value in challenges]
    assert asks_for_another_token([(b"X-A", b"Basic"), *fields], BEARER) is worth_it


def test_a_challenge_of_our_own_scheme_counts_too() -> None:
    fields = [(b"WWW-Authenticate", b'Token realm="a"')]
    assert asks_for_another_token(fields, b"Token abc")
    assert not asks_for_another_token(fields, BEARER)
