"""End to end with Debian's glewlwyd: a server in C, whose refusals are not those of the RFCs.

A client that it does not know, a secret that is wrong and a request without a scope are all a 403
with nothing in it; an unknown scope is `scope_invalid`, a code of its own. Basic is not decoded, so
an id and a secret of odd characters need `raw`. An assertion's audience is the token endpoint, not
the issuer, and its `jti` may be used once. Tokens are of the type `bearer`, in lower case.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from integration.logged import PATIENCE_SECONDS, logged_once
from integration.steady_load import steady_load
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.foreign_server import ForeignServer, StartServer
    from integration.proxy_process import RunningProxy, StartProxy
    from integration.recording_upstream import RecordingUpstream

LIFETIME_SECONDS = 4
SECRET = "long-enough_for.HMAC-and-the-same-in-any-encoding"
ODD_ID = "é+b c%2B/d"
ODD_SECRET = "é:s+e%c/r e&t=%2B"
SIGNING_KEY = "the key that this server signs its tokens with"
SECRET_METHODS = ["client_secret_basic", "client_secret_post", "client_secret_jwt"]
KEYS = {
    "RS256": RSAKey.generate_key(2048, auto_kid=True),
    "ES256": ECKey.generate_key("P-256", auto_kid=True),
    "EdDSA": OKPKey.generate_key("Ed25519", auto_kid=True),
}


@dataclass(frozen=True)
class Glewlwyd:
    server: ForeignServer

    @property
    def issuer(self) -> str:
        return f"{self.server.url}/api/oidc"

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    def client(self, authentication: str, **keys: Any) -> dict[str, Any]:
        """Return the configuration of the client that authenticates so, and `keys`."""
        return {
            "token_endpoint": self.token_endpoint,
            "client_id": authentication,
            "client_secret": SECRET,
            "authentication": authentication,
        } | keys

    def claims(self, upstream: RecordingUpstream) -> dict[str, Any]:
        """Return the claims of the token that arrived last; it must be the server's, and live."""
        (value,) = upstream.requests[-1].values("Authorization")
        scheme, _, token = value.decode().partition(" ")
        assert scheme == "Bearer"
        claims = jwt.decode(token, OctKey.import_key(SIGNING_KEY), algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(exp={"essential": True}).validate(claims)
        return claims


def start(
    start_glewlwyd: StartServer, lifetime_seconds: int, clients: list[dict[str, Any]]
) -> ForeignServer:
    return start_glewlwyd(
        {"lifetime_seconds": lifetime_seconds, "key": SIGNING_KEY, "clients": clients}
    )


@pytest.fixture(scope="session")
def glewlwyd(start_glewlwyd: StartServer) -> Iterator[Glewlwyd]:
    clients: list[dict[str, Any]] = [
        {"client_id": method, "client_secret": SECRET, "token_endpoint_auth_method": method}
        for method in SECRET_METHODS
    ]
    clients.append(
        {
            "client_id": ODD_ID,
            "client_secret": ODD_SECRET,
            "token_endpoint_auth_method": "client_secret_basic",
        }
    )
    clients.append(
        {
            "client_id": "private_key_jwt",
            "jwks": KeySet([*KEYS.values()]).as_dict(private=False),
            "token_endpoint_auth_method": "private_key_jwt",
        }
    )
    running = start(start_glewlwyd, LIFETIME_SECONDS, clients)
    yield Glewlwyd(running)
    running.stop()


def with_key(glewlwyd: Glewlwyd, algorithm: str, **keys: Any) -> dict[str, Any]:
    client = glewlwyd.client(
        "private_key_jwt", private_key=KEYS[algorithm].as_pem(private=True).decode()
    )
    del client["client_secret"]
    return client | {"key_id": KEYS[algorithm].kid, "algorithm": algorithm} | keys


def config(
    client: dict[str, Any], upstream: RecordingUpstream, scope: str | None = "orders:read"
) -> dict[str, Any]:
    return {
        "clients": {"billing": client},
        "audiences": {"orders": {"client": "billing", "scope": scope, "prefetch": False}},
        "upstreams": {"orders": {"url": upstream.url, "audience": "orders"}},
    }


async def refused(proxy: RunningProxy) -> str:
    """Return what the log says of a refusal, which must be one, told to the caller as that."""
    async with aiohttp.ClientSession() as session, session.get(proxy.url) as answer:
        problem = json.loads(await answer.read())
    assert (answer.status, problem["code"]) == (502, "grant_refused")
    fetches = "tokenproxy_token_fetches_total"
    assert await proxy.metric(fetches, audience="orders", result="refused") == 1
    event = await logged_once(proxy, "token_fetch_failed")
    assert event["code"] == "grant_refused"
    assert "scope_invalid" not in problem["detail"]
    assert SECRET not in proxy.log_file.read_text()
    return str(event["detail"])


@pytest.mark.parametrize("authentication", SECRET_METHODS)
async def test_the_token_that_arrives_upstream_is_one_of_the_servers(
    authentication: str, glewlwyd: Glewlwyd, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """Its `bearer` becomes `Bearer` (A-22)."""
    proxy = await start_proxy(config(glewlwyd.client(authentication), upstream))

    assert await proxy.get() == (200, b"ok\n")

    claims = glewlwyd.claims(upstream)
    assert claims["iss"] == glewlwyd.issuer
    assert (claims["client_id"], claims["scope"]) == (authentication, "orders:read")


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_key_of_each_kind_proves_who_we_are(
    algorithm: str, glewlwyd: Glewlwyd, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    proxy = await start_proxy(config(with_key(glewlwyd, algorithm), upstream))

    assert await proxy.get() == (200, b"ok\n")

    assert glewlwyd.claims(upstream)["client_id"] == "private_key_jwt"


@pytest.mark.parametrize("authentication", ["client_secret_jwt", "private_key_jwt"])
async def test_a_server_that_wants_its_token_endpoint_as_audience_gets_that(
    authentication: str, glewlwyd: Glewlwyd, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """Where the issuer is known it is the audience, which this server does not take."""
    client = with_key(glewlwyd, "ES256")
    if authentication == "client_secret_jwt":
        client = glewlwyd.client(authentication)
    del client["token_endpoint"]
    client["issuer"] = glewlwyd.issuer
    to_the_issuer = await start_proxy(config(client, upstream))
    client["assertion_audience"] = glewlwyd.token_endpoint
    to_the_endpoint = await start_proxy(config(client, upstream))

    await refused(to_the_issuer)
    assert await to_the_endpoint.get() == (200, b"ok\n")

    assert glewlwyd.claims(upstream)["client_id"] == authentication


async def test_raw_basic_serves_a_server_that_does_not_decode(
    glewlwyd: Glewlwyd, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """A-02: form-encoded, as the RFC has it, neither would be known."""
    client = glewlwyd.client("client_secret_basic", client_id=ODD_ID, client_secret=ODD_SECRET)
    raw = await start_proxy(config(client | {"basic_encoding": "raw"}, upstream))
    form = await start_proxy(config(client, upstream))

    assert await raw.get() == (200, b"ok\n")
    assert glewlwyd.claims(upstream)["client_id"] == ODD_ID
    await refused(form)


@pytest.mark.parametrize("authentication", SECRET_METHODS)
async def test_a_refusal_without_a_word_is_a_refusal_still(
    authentication: str, glewlwyd: Glewlwyd, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    client = glewlwyd.client(authentication, client_secret=SECRET[::-1])
    proxy = await start_proxy(config(client, upstream))

    assert "403" in await refused(proxy)

    assert SECRET[::-1] not in proxy.log_file.read_text()
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("scope", "said"), [(None, "403"), ("orders:delete", "scope_invalid")], ids=["none", "unknown"]
)
async def test_a_scope_that_the_server_wants_otherwise_is_told_in_the_log(
    scope: str | None,
    said: str,
    glewlwyd: Glewlwyd,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
) -> None:
    """A-29, A-30: a code that no RFC knows is shown as it is."""
    proxy = await start_proxy(config(glewlwyd.client("client_secret_basic"), upstream, scope))

    assert said in await refused(proxy)

    assert upstream.requests == []


async def test_less_scope_than_was_asked_for_is_said_and_serves(
    glewlwyd: Glewlwyd, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """A-06."""
    client = glewlwyd.client("client_secret_post")
    proxy = await start_proxy(config(client, upstream, "orders:read orders:delete"))

    assert await proxy.get() == (200, b"ok\n")

    assert glewlwyd.claims(upstream)["scope"] == "orders:read"
    assert (await logged_once(proxy, "scope"))["audience"] == "orders"


@pytest.mark.parametrize("authentication", ["client_secret_basic", "private_key_jwt"])
async def test_tokens_are_renewed_under_load_while_nobody_waits(
    authentication: str, glewlwyd: Glewlwyd, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """A `jti` that was used before would be refused: each assertion has its own."""
    client = with_key(glewlwyd, "EdDSA")
    if authentication == "client_secret_basic":
        client = glewlwyd.client(authentication)
    wanted = config(client, upstream)
    # So early that the rest of the life is seconds, however busy the machine.
    wanted["audiences"]["orders"]["renew_at"] = 0.3
    proxy = await start_proxy(wanted)
    assert await proxy.get() == (200, b"ok\n")
    enough = asyncio.Event()

    async def until_renewed() -> None:
        renewals = {"audience": "orders", "reason": "renewal", "result": "success"}
        while await proxy.metric("tokenproxy_token_fetches_total", **renewals) < 3:
            await asyncio.sleep(0.1)
        enough.set()

    async with asyncio.timeout(60):
        statuses, _ = await asyncio.gather(
            steady_load(f"{proxy.url}/", per_second=25, enough=enough), until_renewed()
        )

    assert set(statuses) == {200}
    assert await proxy.get() == (200, b"ok\n")
    assert glewlwyd.claims(upstream)["client_id"] == authentication
    assert len({request.values("Authorization")[0] for request in upstream.requests}) >= 4
    assert await proxy.metric("tokenproxy_token_lookups_total", result="joined") == 0
    assert await proxy.metric("tokenproxy_token_wait_seconds_count", audience="orders") == 1
    assert proxy.events("token_fetch_failed") == []


async def test_a_server_that_was_gone_is_found_again(
    start_glewlwyd: StartServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    method = "client_secret_post"
    settings = {"client_id": method, "client_secret": SECRET, "token_endpoint_auth_method": method}
    server = await asyncio.to_thread(start, start_glewlwyd, 60, [settings])
    await asyncio.to_thread(server.stop)
    proxy = await start_proxy(config(Glewlwyd(server).client(method), upstream))
    assert (await proxy.get())[0] == 503

    await asyncio.to_thread(server.start)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await proxy.get())[0] != 200:
            await asyncio.sleep(0.1)

    assert (await logged_once(proxy, "token_fetch_failed"))[
        "code"
    ] == "authorization_server_unavailable"
    await asyncio.to_thread(server.stop)
