"""What a token endpoint may answer with status 200 that is no token, and what it may quote."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from faults.hostile_answers import PAGE, SECRET, TOKEN, WORDS, Row, error, granted, spoken
from unit.tokens.some import jwt

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.token_server import Asked


def raw(name: str, body: str | bytes, media: str = "application/json") -> Row:
    return Row(name, spoken(body, media=media))


GOOD = json.dumps(granted())
BODIES = [
    raw("nothing", b""),
    raw("white space", " \r\n\t "),
    raw("page", PAGE, "text/html"),
    raw("page that says JSON", PAGE),
    raw("XML", f"<token>{WORDS}</token>", "application/xml"),
    raw(
        "form",
        f"access_token={quote_plus(TOKEN)}&token_type=bearer",
        "application/x-www-form-urlencoded",
    ),
    raw("the token alone", '"' + WORDS + '"'),
    raw("null", "null"),
    raw("true", "true"),
    raw("a number", "3600"),
    raw("a list", json.dumps([granted()])),
    raw("no members", "{}"),
    raw("half an answer", GOOD[: len(GOOD) // 2 + 12]),
    raw("half an answer of PHP", GOOD.replace("/", "\\/")[:-4]),
    raw("trailing words", GOOD + WORDS),
    raw("two answers", GOOD + GOOD),
    raw("trailing comma", GOOD[:-1] + ",}"),
    raw("single quotes", GOOD.replace('"', "'")),
    raw("a comment", GOOD + f"// {WORDS}"),
    raw("padded against JSON hijacking", ")]}',\n" + GOOD),
    raw("JSONP", f"{WORDS}({GOOD})", "application/javascript"),
    raw("BOM", b"\xef\xbb\xbf" + GOOD.encode()),
    raw("UTF-16", GOOD.encode("utf-16"), "application/json; charset=utf-16"),
    raw("UTF-16 without BOM", GOOD.encode("utf-16-le")),
    raw("UTF-32", GOOD.encode("utf-32")),
    raw("Latin-1", GOOD[:-1].encode() + b', "said": "\xe9"}'),
    raw("NaN", GOOD.replace("3600", "NaN")),
    raw("Infinity", GOOD.replace("3600", "Infinity")),
    raw("five thousand digits", GOOD.replace("3600", "9" * 5000)),
    raw("deep lists", "[" * 60000),
    raw("deep objects", '{"a":' * 10000),
    raw("deep inside", GOOD[:-1] + ', "x": ' + "[" * 20000 + "]" * 20000 + "}"),
    raw("token twice", GOOD[:-1] + f', "access_token": "{TOKEN}"}}'),
    raw("lifetime twice", GOOD[:-1] + ', "expires_in": 1}'),
    raw("a member twice, within", GOOD[:-1] + ', "x": {"a": 1, "a": 2}}'),
    raw("NUL bytes", b"\x00" * 100),
    raw("base64", base64.b64encode(GOOD.encode()), "text/plain"),
]

TOKENS = (
    [
        Row(f"token {name}", spoken(granted(access_token=token)))
        for name, token in (
            ("null", None),
            ("empty", ""),
            ("number", 5),
            ("list", [TOKEN]),
            ("object", {"value": TOKEN}),
            ("true", True),
            ("with a line end", f"{TOKEN}\r\nX-Evil: {WORDS}"),
            ("with a newline", f"{TOKEN}\n"),
            ("with a space", f"{TOKEN} {WORDS}"),
            ("with NUL", f"{TOKEN}\x00"),
            ("with DEL", f"{TOKEN}\x7f"),
            ("with a tab before", f"\t{TOKEN}"),
            ("beyond ASCII", f"{TOKEN}é"),
            ("a lone surrogate", f"{TOKEN}\ud800"),
            ("of 16 KiB and one", "x" * 16385),
            ("of 60 KiB", "x" * 61440),
        )
    ]
    + [
        Row(f"type {name}", spoken(granted(token_type=token_type)))
        for name, token_type in (
            ("DPoP", "DPoP"),
            ("mac", "mac"),
            ("N_A", "N_A"),
            ("empty", ""),
            ("two words", f"Bearer {WORDS}"),
            ("with a line end", f"Bearer\r\nX-Evil: {WORDS}"),
            ("number", 5),
            ("list", ["Bearer"]),
        )
    ]
    + [
        Row(f"lifetime {name}", spoken(GOOD.replace("3600", text)))
        for name, text in (
            ("zero", "0"),
            ("minus five", "-5"),
            ("minus zero", "-0.0"),
            ("zero in words", '"0"'),
            ("minus five in words", '"-5"'),
            ("minus infinity", "-1e400"),
            ("minus many digits", '"-' + "9" * 300 + '"'),
        )
    ]
    + [
        Row("no token", spoken({"token_type": "Bearer", "expires_in": 3600})),
        Row("id_token only", spoken({"id_token": TOKEN, "token_type": "Bearer"})),
        Row("accessToken", spoken({"accessToken": TOKEN, "tokenType": "Bearer"})),
        Row("wrapped in data", spoken({"data": granted()})),
        Row("200 with an error", spoken(error("invalid_client"))),
        Row("200 with an error and a token", spoken(granted(error=WORDS))),
        Row("200 with an error object", spoken(granted(error={"code": 5, "message": WORDS}))),
        Row("a JWT that is over", spoken({"access_token": jwt({"exp": 5})})),
    ]
)


def quoting(name: str, spell: Callable[[str], str], status: int = 400) -> Row:
    """Return a row whose server shows all that it was shown, spelt in a way of its own."""

    def answer(asked: Asked) -> bytes:
        shown = [*(f"{key}: {value}" for key, value in asked.headers.items()), asked.body.decode()]
        said = spell("\n".join([*shown, SECRET, f"access_token={TOKEN}"]))
        return spoken(said, status=status, media="text/html")

    return Row(name, answer, {400: "refused", 500: "unavailable", 200: "misspoke"}[status])


def spelt_json(text: str) -> str:
    return json.dumps({"error": text, "message": text})


QUOTED = [
    quoting("quoted as it is", str),
    quoting("quoted as it is, 500", str, 500),
    quoting("quoted as it is, 200", str, 200),
    quoting("quoted in JSON", spelt_json),
    quoting("quoted in JSON, 200", spelt_json, 200),
    quoting("quoted in a list", lambda text: json.dumps([text])),
    quoting("quoted by PHP", lambda text: spelt_json(text).replace("/", "\\/")),
    quoting("quoted by PHP in a list", lambda text: json.dumps([text]).replace("/", "\\/")),
    quoting("quoted in markup", lambda text: f"<pre>{html.escape(text)}</pre>"),
    quoting("quoted in entities", lambda text: "".join(f"&#{ord(each)};" for each in text)),
    quoting("quoted in percent", quote),
    quoting("quoted in percent twice", lambda text: quote(quote(text))),
    quoting("quoted as a form", quote_plus),
    quoting("quoted in UTF-16", "\x00".join),
]
