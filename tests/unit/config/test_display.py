from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from proxy.config.display import to_display

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Reader


def test_secrets_are_masked_and_their_files_named(read: Reader, valid: str, tmp_path: Path) -> None:
    text = valid.replace("client_id:", "parameters: {otp: hunter2, a: [b, c]}\n    client_id:")
    text = text.replace("/token\n", "/token?code=hunter2\n")
    text = text.replace(
        "{client: billing}",
        "{client: billing, parameters: {x: hunter2}, "
        "resource: ['https://me:hunter2@a.example/b?c=hunter2', 'urn:a:b']}",
    )
    text += "    set_headers: {X-Subscription: hunter2, X-Team: blue}\n"
    shown = to_display(read(text, SECRET="hunter2"))
    assert shown["clients"]["billing"]["client_secret"] == "***"
    assert shown["clients"]["billing"]["parameters"] == {"otp": "***", "a": "***"}
    assert shown["clients"]["billing"]["token_endpoint"] == "https://auth.example.com/token?***"
    assert shown["audiences"]["orders"]["parameters"] == {"x": "***"}
    assert shown["audiences"]["orders"]["resource"] == ["https://***@a.example/b?***", "urn:a:b"]
    assert shown["upstreams"]["orders"]["set_headers"] == {"X-Subscription": "***", "X-Team": "***"}
    assert "hunter2" not in str(shown)
    (tmp_path / "s").write_text("hunter2")
    shown = to_display(read(valid.replace("client_secret: ${SECRET}", "client_secret_file: s")))
    assert shown["clients"]["billing"]["client_secret_file"] == str(tmp_path / "s")
    assert "client_secret" not in shown["clients"]["billing"]
    assert "hunter2" not in str(shown)


def test_the_query_of_a_metadata_document_is_masked_too(read: Reader, valid: str) -> None:
    text = valid.replace(
        "token_endpoint: https://auth.example.com/token", "discovery: https://a/d?k=v"
    )
    assert to_display(read(text))["clients"]["billing"]["discovery"] == "https://a/d?***"


def test_what_is_shown_can_be_read_again(read: Reader, valid: str, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hunter2")
    text = valid.replace("client_secret: ${SECRET}", "client_secret_file: s")
    text = text.replace("{client: billing}", "{client: billing, audience: '$${A} $$$$ $5'}")
    config = read(text)
    assert config.audiences["orders"].audience == ["${A} $$ $5"]
    assert read(yaml.safe_dump(to_display(config))) == config
