"""Why there is no token: from what came back to a sentence, and the key that may have to change.

Pure. The code leads the sentence, as dashboards, alerts and the log know it; what the server said
stands behind it, cleaned as it is for the log. Where nothing more exact is known the advice is the
one that is given everywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.commands.doctor.report import Check
from proxy.config.proof import CERTIFICATE, PROOF_OF
from proxy.errors import ADVICE, Fault
from proxy.tokens.grant import members_of

if TYPE_CHECKING:
    from proxy.config.client import Client
    from proxy.config.document import KeyPath
    from proxy.config.schema import Audience
    from proxy.tokens.endpoint import Answer
    from proxy.tokens.outcome import FetchFailed

SAME_KEY_WORDS = ("resource", "audience", "scope")
"""What a refusal speaks of is the key that it is about."""
REFUSED = "grant_refused: the authorization server refused the token request"


class Advice(NamedTuple):
    """What to do, and the key that may have to change."""

    hint: str
    key: KeyPath


def why(
    audience_name: str,
    audience: Audience,
    client: Client,
    failure: FetchFailed,
    answer: Answer | None,
) -> Check:
    """Return the failed check for an audience's token.

    `answer` is the token endpoint's, if one came.
    """
    subject = ("audiences", audience_name)
    said = f"; {failure.said}" if failure.said else ""
    code = failure.error.code
    if failure.refusal:
        detail = f"{REFUSED}{said}"
        hint, key = _refused(subject, audience, client, failure, answer)
    else:
        detail = f"{code}: {failure.error.detail}{said}"
        hint, key = _failed(subject, audience.client, client, failure, answer)
    return Check(subject, "token", "failure", detail, hint, key)


def address_key(name: str, client: Client) -> KeyPath:
    """Return the key that says where the token endpoint is."""
    for key in ("token_endpoint", "discovery", "issuer"):
        if getattr(client, key) is not None:
            return ("clients", name, key)
    raise AssertionError("a client names its server")


def credential_key(name: str, client: Client) -> KeyPath:
    """Return the key of what the client proves itself with."""
    key = PROOF_OF.get(client.authentication, "")
    if not key:
        of_tls = client.authentication in CERTIFICATE
        return ("clients", name, *(("tls", "certificate_file") if of_tls else ("client_id",)))
    source = getattr(client, key)
    if source is None or source.file is None or key.endswith("_file"):
        return ("clients", name, key)
    return ("clients", name, f"{key}_file")


def is_page(body: bytes) -> bool:
    """Say whether a body is a page for people."""
    start = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<h1"))


def _refused(
    subject: KeyPath,
    audience: Audience,
    client: Client,
    failure: FetchFailed,
    answer: Answer | None,
) -> Advice:
    name = audience.client
    section = ("clients", name)
    status = 0 if answer is None else answer.status
    members = {} if answer is None else members_of(answer.body)
    match members.get("error"):
        case "invalid_client":
            return _wrong_credential(name, client, failure)
        case "invalid_scope":
            return Advice(
                "the server does not know this scope, or does not let this client have it: "
                f"compare `scope` of audience {subject[-1]} with what is registered there",
                (*subject, "scope"),
            )
        case "invalid_target":
            key = "resource" if audience.resource else "audience"
            return _wrong_target(subject, key)
        case "unauthorized_client" | "unsupported_grant_type":
            return Advice(
                "the server does not allow this client the grant client_credentials: allow it "
                "there, or compare client_id",
                (*section, "client_id"),
            )
    spoken_of = _spoken_of(audience, members)
    if spoken_of is not None:
        return _wrong_target(subject, spoken_of)
    if members.get("error") == "access_denied" and audience.audience:
        return _wrong_target(subject, "audience")
    if status in {404, 405, 410}:
        return Advice(
            "there is no token endpoint at this path: compare it with the provider's documentation",
            address_key(name, client),
        )
    if failure.invalid_client:
        return _wrong_credential(name, client, failure)
    if members.get("error") == "invalid_request":
        return Advice(
            "the server misses something in the request, or does not like what it finds: compare "
            "`parameters`, `audience`, `resource` and `scope` with its documentation",
            (*subject, "parameters"),
        )
    return Advice(ADVICE[Fault.GRANT_REFUSED.value], (*section, "client_id"))


def _wrong_credential(name: str, client: Client, failure: FetchFailed) -> Advice:
    key = credential_key(name, client)
    if "this machine's clock is" in failure.said:
        return Advice(
            "the assertion was made by a clock that is wrong by the server's: set this machine's "
            "clock (or the server's), then compare the key",
            key,
        )
    if "does not offer" in failure.said:
        return Advice(
            f"the server's metadata does not offer `{client.authentication}`: use a method that "
            "it lists",
            ("clients", name, "authentication"),
        )
    what = {
        "client_secret_basic": "the secret is wrong",
        "client_secret_post": "the secret is wrong",
        "client_secret_basic_and_post": "the secret is wrong",
        "client_secret_jwt": "the secret is wrong",
        "private_key_jwt": "the key is not the one registered",
        "client_assertion_file": "the assertion is not taken",
        "none": "it wants a proof, and `authentication: none` gives none",
    }.get(client.authentication, "the certificate is not the one registered")
    return Advice(
        f"{what}, or client_id is, or the server wants another `authentication` than "
        f"{client.authentication}: compare them with what is registered there",
        key,
    )


def _wrong_target(subject: KeyPath, key: str) -> Advice:
    return Advice(
        f"the server does not know this {key}, or does not give this client tokens for it: "
        f"compare `{key}` of audience {subject[-1]} with what is registered there",
        (*subject, key),
    )


def _spoken_of(audience: Audience, members: dict[str, Any]) -> str | None:
    """Return the key of the audience that the server's words name, of those that were sent."""
    words = " ".join(
        str(members.get(each, ""))[:512] for each in ("error_description", "message", "detail")
    ).lower()
    for key in SAME_KEY_WORDS:
        if key in words and getattr(audience, key):
            return key
    return None


def _failed(
    subject: KeyPath, name: str, client: Client, failure: FetchFailed, answer: Answer | None
) -> Advice:
    section = ("clients", name)
    where = address_key(name, client)
    if failure.error.fault is Fault.CREDENTIAL_UNREADABLE:
        return Advice(ADVICE[failure.error.code], credential_key(name, client))
    if failure.result == "timeout":
        return Advice(
            "the server takes the connection and does not answer: see whether it is well; if it "
            "is only slow, give it more time",
            (*section, "timeout_seconds"),
        )
    if answer is None and failure.result == "unavailable":
        return _not_reached(name, client, failure)
    if failure.limit is not None:
        return Advice(
            "what answers is no token endpoint, or its answer grew", ("limits", failure.limit)
        )
    if failure.result == "unavailable":
        return Advice(
            "the server itself is in trouble: its operators and its log know; if a gateway "
            "stands before it, see that too",
            where,
        )
    status = 0 if answer is None else answer.status
    if 300 <= status <= 399:
        return Advice(
            "it redirects, which is not followed, as the secret would go along: write the address "
            "that it leads to, if that is the token endpoint (often https instead of http)",
            where,
        )
    if answer is not None and is_page(answer.body):
        return Advice(
            "this is a web page, perhaps a login or a gateway's error: the path is not the token "
            "endpoint's",
            where,
        )
    if "`scheme`" in failure.error.detail:
        return Advice(
            "say how such a token is sent, if the upstream takes it", (*subject, "scheme")
        )
    return Advice(ADVICE[failure.error.code], where)


def _not_reached(name: str, client: Client, failure: FetchFailed) -> Advice:
    section = ("clients", name)
    if "http_proxy" in failure.error.detail:
        return Advice(
            "have the egress proxy allow the way to this server, or name another proxy",
            (*section, "http_proxy"),
        )
    # Under TLS 1.3 a server says only after the handshake that it wants a certificate; or it just
    # ends the connection.
    over_tls = str(getattr(client, str(address_key(name, client)[-1]))).startswith("https")
    if over_tls and client.tls.certificate_file is None:
        return Advice(
            "the way there is sound, and the server ends the connection when it is asked: it may "
            "want a certificate of ours, or be in trouble; its log tells",
            (*section, "tls", "certificate_file"),
        )
    if over_tls:
        return Advice(
            "the way there is sound, and the server ends the connection when it is asked: it may "
            "not believe our certificate, or be in trouble; its log tells",
            (*section, "tls", "certificate_file"),
        )
    return Advice(ADVICE[failure.error.code], address_key(name, client))
