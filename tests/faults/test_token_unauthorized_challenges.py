"""What a 401 says in `WWW-Authenticate`, and whether another token is tried for it: counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from faults.held_token import held
from faults.stepped_time import stepped
from faults.token_server import token_of
from integration.recording_upstream import response

if TYPE_CHECKING:
    from integration.recording_upstream import RecordedRequest

INVALID = 'Bearer error="invalid_token"'
SCOPE = 'Bearer error="insufficient_scope", scope="admin"'
BASIC = 'Basic realm="x"'


@pytest.mark.parametrize(
    ("challenges", "renews"),
    [
        ([], True),
        (["Bearer"], True),
        (["bearer realm=x"], True),
        ([INVALID], True),
        (['BEARER realm="a, Basic b", error="invalid_token"'], True),
        ([SCOPE], False),
        (['bearer scope="admin", error = insufficient_scope'], False),
        ([BASIC], False),
        (['Basic realm="Bearer"'], False),
        (['Digest realm="a, Bearer b", nonce="x", Basic realm="Bearer"'], False),
        (["Negotiate"], False),
        (["DPoP algs=ES256"], False),
        (["Negotiate", "NTLM", BASIC], False),
        # Several challenges, in one line or in many.
        ([f"{BASIC}, {INVALID}"], True),
        ([f"{INVALID}, {BASIC}"], True),
        ([BASIC, INVALID], True),
        ([INVALID, BASIC], True),
        (["Negotiate YWJj==, Bearer"], True),
        (["Negotiate", "DPoP algs=ES256", "Bearer"], True),
        ([f"{BASIC}, {SCOPE}"], False),
        ([BASIC, SCOPE], False),
        ([SCOPE, BASIC], False),
    ],
)
@stepped
async def test_a_401_is_renewed_for_only_where_another_token_may_help(
    challenges: list[str],
    *,
    renews: bool,
) -> None:
    """T-40; A-45. What passes, passes word for word."""
    async with held() as the:

        async def answer(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            if token_of(request) == "token-1":
                fields = tuple(f"WWW-Authenticate: {each}" for each in challenges)
                writer.write(response(b"no", status="401 Unauthorized", fields=fields))
            else:
                writer.write(response(b"yes"))

        the.upstream.answer = answer
        async with the.proxy.session.get(the.proxy.url) as found:
            body = await found.read()
        if renews:
            assert (found.status, body) == (200, b"yes")
            assert the.sent() == ["token-1", "token-2"]
            assert the.actions() == {"renewed_ok": 1}
            assert "WWW-Authenticate" not in found.headers
        else:
            assert (found.status, body) == (401, b"no")
            assert found.headers.getall("WWW-Authenticate") == challenges
            assert the.sent() == ["token-1"]
            assert the.actions() == {"passed": 1}
        assert len(the.server.requests) == (2 if renews else 1)


@pytest.mark.parametrize("challenge", [SCOPE, BASIC])
@stepped
async def test_a_storm_of_401s_that_no_token_helps_against_costs_no_token_request(
    challenge: str,
) -> None:
    async with held() as the:
        the.guard.refuses_all = True
        the.guard.challenge = challenge
        for _ in range(5):
            statuses = await asyncio.gather(*(the.proxy.status() for _ in range(40)))
            assert set(statuses) == {401}
            await the.proxy.advance(31)
        assert (len(the.server.requests), len(the.upstream.requests)) == (1, 200)
        assert the.actions() == {"passed": 200}
        # The token is as good as before for whoever else uses it.
        the.guard.refuses_all = False
        assert (await the.proxy.call())[2] == b"token-1"
