"""`proxy.config.signing_keys` and `proof`: which keys are taken, and what they sign with."""

from __future__ import annotations

import json
import pickle
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey
from unit.config import some_keys
from unit.config.some_keys import ED25519, P256, P384, RSA

from proxy.config.proof import understand
from proxy.config.signing_keys import SigningKey, from_private_key, from_secret
from proxy.model import Secret

SM2 = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQgAAAAAAAAAAAAAAAA
AAAAAAAAAAAAAAAAAAAAAAAAAAGhRANCAAQyxK4sHxmBGV+ZBEZqOcmUj+MLv/Jm
C+FxWkWJM0x0x7w3NqL09necWb3O42tpIVPQqYd8xipHQALfMuUhOfCg
-----END PRIVATE KEY-----
"""
"""The curve's base point and the number one: a key of a curve that cryptography does not know."""


def judged(signed: str, key: Any, algorithm: str) -> jwt.Token:
    """Return header and claims, the signature being right; joserfc warns of EdDSA by that name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.decode(signed, key, algorithms=[algorithm])


@pytest.mark.parametrize("form", ["pkcs8", "traditional", "jwk"])
@pytest.mark.parametrize(
    ("kind", "wanted", "algorithm"),
    [
        (RSA, None, "RS256"),
        (RSA, "PS256", "PS256"),
        (RSA, "RS512", "RS512"),
        (P256, None, "ES256"),
        (P384, None, "ES384"),
        (ED25519, None, "EdDSA"),
        (ED25519, "Ed25519", "Ed25519"),
    ],
)
def test_a_key_signs_with_what_its_kind_asks_for_unless_another_is_wanted(
    kind: str, wanted: str | None, algorithm: str, form: str
) -> None:
    """A-63, RFC 7518 §3.1."""
    if form == "jwk":
        text = json.dumps(some_keys.jwk(kind))
    else:
        text = some_keys.pem(kind, traditional=form == "traditional" and kind != ED25519)
    key = from_private_key(text, algorithm=wanted)
    token = judged(key.sign({"sub": "x"}), some_keys.jose(kind), algorithm)
    assert token.header == {"alg": algorithm, "typ": "JWT"}
    assert token.claims == {"sub": "x"}


def test_a_jwks_own_algorithm_and_key_id_serve_where_nothing_else_is_said() -> None:
    text = json.dumps(some_keys.jwk(RSA, alg="PS256", kid="own"))
    key = from_private_key(text, algorithm=None)
    assert judged(key.sign({}), some_keys.jose(RSA), "PS256").header["kid"] == "own"
    assert judged(key.sign({}, key_id="x"), some_keys.jose(RSA), "PS256").header["kid"] == "x"
    assert from_private_key(text, algorithm="RS256").algorithm == "RS256"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither PEM nor a JWK"),
        ("hunter2", "neither PEM nor a JWK"),
        ("{hunter2", "no JSON"),
        ('{"keys": [{"k": "hunter2"}]}', "set of keys"),
        ('{"kty": "oct", "k": "hunter2"}', "another kind"),
        ('{"kty": ["hunter2"]}', "another kind"),
        ('{"kty": "RSA", "d": "hunter2"}', "members are no key"),
        ('{"kty": "EC", "crv": "P-256", "d": "!", "x": "hunter2", "y": 1}', "members are no key"),
        ('{"kty": "OKP", "crv": "hunter2", "d": "AA", "x": "AA"}', "members are no key"),
        (some_keys.pem(RSA)[:300], "no whole private key"),
        (some_keys.pem(P256).replace("M", "A"), "no RSA, EC or Ed25519"),
        (some_keys.pem(RSA, bits=1024), "of 1024 bits"),
        (some_keys.pem(P256).replace("\n", "\\n"), "escaped on the way"),
        (some_keys.pem(RSA, password=b"hunter2"), "encrypted"),
        (some_keys.pem(RSA, traditional=True, password=b"hunter2"), "encrypted"),
        (some_keys.pem("secp256k1"), "kind or curve that is not supported"),
        (some_keys.pem("P-224"), "kind or curve that is not supported"),
        (some_keys.pem("Ed448"), "kind or curve that is not supported"),
        (some_keys.pem("X25519"), "kind or curve that is not supported"),
        ('{"kty": "RSA", "d": "hunter2", "n": "' + "x" * 1400 + '"}', "more than 4096 bits"),
        (some_keys.public_pem(P256), "public key"),
        (json.dumps(some_keys.jose(P256).as_dict(private=False)), "public key"),
        (json.dumps(some_keys.jwk(P256, use="enc")), "does not sign"),
        (json.dumps(some_keys.jwk(P256, key_ops=["verify"])), "does not sign"),
        ("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----", "is a certificate"),
    ],
)
def test_what_is_no_key_for_us_is_told_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        from_private_key(text, algorithm=None)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("kind", "wanted"), [(RSA, "ES256"), (P256, "RS256"), (P256, "ES384")])
def test_a_key_that_does_not_go_with_the_algorithm_is_refused(kind: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"not with {wanted}"):
        from_private_key(some_keys.pem(kind), algorithm=wanted)


@pytest.mark.parametrize(("wanted", "least"), [(None, 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_signs_if_it_is_as_long_as_its_hash(wanted: str | None, least: int) -> None:
    """A-63, RFC 7518 §3.2."""
    with pytest.raises(ValueError, match=f"shorter than the {least} bytes"):
        from_secret("s" * (least - 1), algorithm=wanted)
    # Bytes count, not letters.
    secret = "é" * (least // 2)
    key = from_secret(secret, algorithm=wanted)
    assert judged(key.sign({}), OctKey.import_key(secret), wanted or "HS256").header["typ"] == "JWT"


def test_a_secret_that_looks_like_a_key_is_a_secret_all_the_same() -> None:
    assert isinstance(from_secret(some_keys.pem(P256), algorithm=None), SigningKey)


@pytest.mark.parametrize(
    "around",
    [
        "\ufeff{}",
        "Bag Attributes\n    friendlyName: x\n{}",
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
        some_keys.public_pem(P256) + "{}",
        "{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_private_key_is_found_whatever_stands_around_it(around: str, line_end: str) -> None:
    text = around.format(some_keys.pem(P256, traditional=True)).replace("\n", line_end)
    assert from_private_key(text, algorithm=None).algorithm == "ES256"


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from([RSA, P256, ED25519, "P-224", "SM2"]), data=st.data())
def test_no_damaged_key_is_more_than_refused(kind: str, data: st.DataObject) -> None:
    """A-64: what a half-written file holds is told in a sentence, and never raised as it is."""
    text = SM2 if kind == "SM2" else some_keys.pem(kind)
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, min(first + 8, len(text))))
    damaged = text[:first] + data.draw(st.text("AQg-/+=\n", max_size=8)) + text[last:]
    told = ""
    try:
        from_private_key(data.draw(st.sampled_from([damaged, text[:first]])), algorithm=None)
    except ValueError as error:
        told = f"{error} {error.__cause__}"
    assert text[40:60] not in told


def test_no_key_prints_itself() -> None:
    text = some_keys.pem(P256)
    proof = understand(Secret(text), authentication="private_key_jwt", algorithm=None)
    assert text[30:60] not in f"{proof!r} {proof.key!r}"
    assert "kty" not in f"{proof.key!r}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(proof.key)


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c.d", "a b.c.d", "{}", "a.b.\u00e9"])
def test_an_assertion_has_three_parts_of_base64url(text: str) -> None:
    with pytest.raises(ValueError, match="is no JWT"):
        understand(Secret(text), authentication="client_assertion_file", algorithm=None)
