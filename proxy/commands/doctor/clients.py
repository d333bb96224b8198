"""One client: the way to its authorization server, discovery, the clock, a token per audience.

Tokens are asked for by the very parts that `run` asks with, so that what is told holds there; only
the endpoint is one that remembers what came, of which scope, claims and clock are told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.commands.doctor import refusals, token_facts
from proxy.commands.doctor.clock import SKEW_SECONDS_MAX, clock_check
from proxy.commands.doctor.reach import BEHIND
from proxy.commands.doctor.report import Check, Group, skipped
from proxy.commands.doctor.token_facts import TokenFacts
from proxy.commands.doctor.way import Way
from proxy.config.display import without_query
from proxy.config.proof import SIGNING
from proxy.config.urls import parse_url
from proxy.tokens import grant
from proxy.tokens.credential import Credential
from proxy.tokens.endpoint import Endpoint
from proxy.tokens.fetch import SKEW_SECONDS_MIN, Fetch
from proxy.tokens.locator import TokenEndpointLocator
from proxy.tokens.metadata import MetadataNotFound, well_known
from proxy.tokens.outcome import FetchFailed

if TYPE_CHECKING:
    from proxy.commands.doctor.surroundings import Surroundings
    from proxy.config.client import Client
    from proxy.config.document import KeyPath
    from proxy.config.schema import Audience
    from proxy.model import Token
    from proxy.tokens.endpoint import Answer


@dataclass(frozen=True, slots=True)
class Held:
    """A token for upstreams to be asked with, and what is known of it."""

    token: Token
    facts: TokenFacts


class _ObservedEndpoint(Endpoint):
    """An endpoint that remembers the last answer."""

    answer: Answer | None = None

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        self.answer = None
        self.answer = await super().post(url, headers, body)
        return self.answer

    async def get(self, url: str, *, body_bytes_max: int) -> Answer:
        self.answer = None
        self.answer = await super().get(url, body_bytes_max=body_bytes_max)
        return self.answer


class ClientExamination:
    """Examines one client. `tokens` has, for each of its audiences, what upstreams wait for."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name = name
        self._around = around
        self._subject: KeyPath = ("clients", name)
        self._client: Client = around.config.clients[name]
        self._audiences: dict[str, Audience] = {
            each: audience
            for each, audience in around.config.audiences.items()
            if audience.client == name
        }
        loop = asyncio.get_running_loop()
        self.tokens: dict[str, asyncio.Future[Held | None]] = {
            each: loop.create_future() for each in self._audiences
        }
        trust = around.contexts.of(self._client.tls)
        self._metadata = self._endpoint()
        self._locator = TokenEndpointLocator(
            self._client, self._metadata, monotonic=around.monotonic
        )
        self._credential = Credential(name, self._client, trust, around.files)

    async def run(self) -> Group:
        """Return what was found; every future of `tokens` is done then."""
        where = refusals.address_key(self.name, self._client)
        address = getattr(self._client, str(where[-1]))
        group = Group(f"client {self.name} ({where[-1]}: {without_query(address)})")
        try:
            await self._examine(group.checks, where, address)
        finally:
            for future in self.tokens.values():
                if not future.done():
                    future.set_result(None)
            self._locator.close()
            await self._metadata.close()
        return group

    async def _examine(self, checks: list[Check], where: KeyPath, address: str) -> None:
        way = self._way(address, where)
        discovers = self._client.token_endpoint is None
        if not await self._reaches(checks, way):
            self._skip_tokens(checks, *(["discovery"] if discovers else []))
            return
        plain = way.url.scheme == "http" and way.http_proxy is None
        if discovers:
            try:
                located = await self._locator.find()
            except FetchFailed as failure:
                checks.append(self._undiscovered(failure, where))
                if plain and self._metadata.answer is None:
                    await self._mention_tls(checks, way)
                self._skip_tokens(checks)
                return
            issuer = f" of issuer {located.issuer}" if located.issuer else ""
            shown = without_query(located.token_endpoint)
            detail = f"the metadata{issuer} name the token endpoint {shown}"
            checks.append(Check(self._subject, "discovery", "ok", detail))
            further = self._way(located.token_endpoint, where)
            if (further.url.host, further.url.port) != (way.url.host, way.url.port):
                if not await self._reaches(checks, further):
                    self._skip_tokens(checks)
                    return
                way = further
        endpoints = {name: self._endpoint() for name in self._audiences}
        asked = [self._token(name, endpoint) for name, endpoint in endpoints.items()]
        found = await asyncio.gather(*asked)
        # A metadata document may come from a cache, with the Date of when it was put there.
        answers = [each.answer for each in endpoints.values() if each.answer is not None]
        if answers or self._metadata.answer is not None:
            checks.append(self._clock([*answers, self._metadata.answer]))
        else:
            checks += skipped(self._subject, ["clock"], "not checked, no answer came")
        checks += [check for each in found for check in each]
        if plain and not answers:
            await self._mention_tls(checks, way)

    async def _reaches(self, checks: list[Check], way: Way) -> bool:
        around = self._around
        trust = around.contexts.of(self._client.tls)
        found = await around.reach_tokens.examine(self._subject, way, trust)
        checks += found
        return not any(check.result == "failure" for check in found)

    async def _mention_tls(self, checks: list[Check], way: Way) -> None:
        if await self._around.reach_tokens.speaks_tls(way):
            hint = f"write https:// instead of http:// in `{way.key[-1]}`"
            detail = f"{way.url.host}:{way.url.port} speaks TLS, and was asked in plain http"
            checks.append(Check(self._subject, "tls", "failure", detail, hint, way.key))

    async def _token(self, name: str, endpoint: _ObservedEndpoint) -> list[Check]:
        """Ask for one token, hand it to the upstreams, and tell it."""
        audience, around = self._audiences[name], self._around
        fetch = Fetch(
            self._client,
            audience,
            endpoint=endpoint,
            locator=self._locator,
            credential=self._credential,
            monotonic=around.monotonic,
            wall=around.wall,
        )
        subject = ("audiences", name)
        try:
            fetched = await fetch.ask()
        except FetchFailed as failure:
            return [refusals.why(name, audience, self._client, failure, endpoint.answer)]
        finally:
            await endpoint.close()
        answer = endpoint.answer
        assert answer is not None, "a token came in an answer"
        granted = grant.read_answer(
            answer.status, answer.body, retry_after_seconds=None, secrets=()
        )
        shown = await self._credential.read()
        secrets = (
            granted.access_token,
            "" if shown.proof is None else shown.proof.text.reveal(),
        )
        scheme = fetched.token.credential.decode("ascii").rpartition(" ")[0]
        facts = TokenFacts(
            granted,
            scheme,
            fetched.lifetime_seconds,
            grant.claims_of(granted.access_token),
            secrets,
        )
        self.tokens[name].set_result(Held(fetched.token, facts))
        found = [Check(subject, "token", "ok", facts.words)]
        found += [
            self._odd(subject, event, told)
            for event, told in fetched.warnings.items()
            if event != "scope"
        ]
        return found + token_facts.oddities(name, audience, facts, around.wall())

    def _odd(self, subject: KeyPath, event: str, told: str) -> Check:
        hint, key = {
            "expires_in": (
                "have the server's answer corrected; until then this lifetime is believed",
                (*subject, "default_lifetime_seconds"),
            ),
            "token_type": ("set it, if it is another", (*subject, "scheme")),
            "credential": (
                "make the file whole and readable",
                refusals.credential_key(self.name, self._client),
            ),
            "authentication": (
                "use a method that the server offers",
                (*self._subject, "authentication"),
            ),
        }.get(event, ("", refusals.address_key(self.name, self._client)))
        return Check(subject, event, "warning", told, hint, key)

    def _undiscovered(self, failure: FetchFailed, where: KeyPath) -> Check:
        places = " and ".join(map(without_query, well_known(self._client)))
        said = f"; {failure.said}" if failure.said else ""
        detail = f"{failure.error.code}: {failure.error.detail}{said}; looked at {places}"
        answer = self._metadata.answer
        key = where
        if failure.result == "timeout":
            hint = "the server takes the connection and does not answer: see whether it is well"
            key = (*self._subject, "timeout_seconds")
        elif isinstance(failure, MetadataNotFound):
            hint = (
                f"no document is published there: compare `{where[-1]}` with the provider's "
                "documentation, or write the token endpoint itself into `token_endpoint`"
            )
        elif "issuer is not" in failure.error.detail:
            hint = "write into `issuer` what the document says, if that is the right server"
            key = (*self._subject, "issuer")
        elif answer is not None and refusals.is_page(answer.body):
            hint = f"this is a web page, no metadata: `{where[-1]}` is the address of another thing"
        elif failure.result == "unavailable":
            hint = "the server itself is in trouble, or refuses to talk: its operators know"
        else:
            hint = f"compare `{where[-1]}` with the provider's documentation"
        return Check(self._subject, "discovery", "failure", detail, hint, key)

    def _clock(self, answers: list[Answer | None]) -> Check:
        for answer in answers:
            ahead = None if answer is None else answer.ahead_seconds
            if ahead is not None:
                break
        else:
            return skipped(self._subject, ["clock"], "not checked, the answer has no Date")[0]
        signs = self._client.authentication in SIGNING
        return clock_check(
            self._subject,
            ahead,
            SKEW_SECONDS_MIN if signs else SKEW_SECONDS_MAX,
            "our assertions would be refused" if signs else "JWTs would seem to begin or end early",
        )

    def _skip_tokens(self, checks: list[Check], *before: str) -> None:
        checks += skipped(self._subject, before, BEHIND)
        checks += skipped(self._subject, ["clock"], BEHIND)
        for name in self._audiences:
            checks += skipped(("audiences", name), ["token"], BEHIND)

    def _way(self, address: str, key: KeyPath) -> Way:
        client = self._client
        return Way(
            parse_url(address, query_allowed=True),
            key,
            self._subject,
            client.tls,
            client.timeout_seconds,
            None if client.http_proxy is None else parse_url(client.http_proxy),
        )

    def _endpoint(self) -> _ObservedEndpoint:
        around = self._around
        return _ObservedEndpoint(
            self._client,
            resolver=around.token_names,
            trust=around.contexts.of(self._client.tls),
            wall=around.wall,
            body_bytes_max=around.config.limits.token_response_bytes_max,
        )
