"""Secrets and files of a raw configuration: the `X_file` twins, relative paths, unreadable files.

After `resolve_files` a client's `client_secret` and `private_key` are `SecretSource`s and their
`_file` twins gone, `client_assertion_file` is one too, and the paths of `tls` are absolute.
Relative paths count from the configuration file's directory. Every file is opened once, so that a
missing one is known at start and not at the first request.
"""

from __future__ import annotations

import errno
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from proxy.config.document import BROKEN, Document, KeyPath
from proxy.config.proof import PROOF_OF, SIGNING, Algorithm, fits, understand
from proxy.config.secrets import SecretSource
from proxy.config.substitution import Substituted
from proxy.errors import ProxyError
from proxy.model import Secret

if TYPE_CHECKING:
    from pathlib import Path

_WHAT = {
    "client_secret_file": "secret",
    "private_key_file": "private key",
    "client_assertion_file": "client assertion",
}
TLS_FILES = ("ca_file", "certificate_file", "key_file")


def resolve_files(document: Document, directory: Path) -> None:
    """Replace secrets and paths in the tree; report what is wrong with them."""
    inline = is_true(document.section().get("allow_inline_secrets"))
    for name, client in document.section("clients").items():
        if isinstance(client, dict):
            _proofs(document, ("clients", name), client, directory, inline=inline)
    for group in ("clients", "upstreams"):
        for name in document.section(group):
            tls = document.section(group, name, "tls")
            if tls:
                _tls(document, (group, name, "tls"), tls, directory)


def is_true(value: Any) -> bool:
    """Say whether a raw switch is on."""
    return value is True or (isinstance(value, Substituted) and value.lower() == "true")


def _proofs(
    document: Document, path: KeyPath, client: dict[str, Any], directory: Path, *, inline: bool
) -> None:
    """Make sources of what the client shows, and see whether it is what its method wants."""
    for key in ("client_secret", "private_key"):
        _secret(document, (*path, key), client, directory, inline=inline)
    key = "client_assertion_file"
    if client.get(key) is not None:
        client[key] = _from_file(document, (*path, key), client[key], directory) or BROKEN
        if client[key] is BROKEN:
            document.broken.add((*path, key))
    _understood(document, path, client)


def _secret(
    document: Document, at: KeyPath, section: dict[str, Any], directory: Path, *, inline: bool
) -> None:
    key = str(at[-1])
    twin = f"{key}_file"
    at_twin = (*at[:-1], twin)
    if section.get(key) is not None and section.get(twin) is not None:
        document.wrong_key(at_twin, f"and {key} are both given: one of them is enough")
    text, file = section.pop(key, None), section.pop(twin, None)
    if text is None and file is None:
        return
    source: SecretSource | None = None
    if text is not None:
        source = _from_text(document, at, text, inline=inline)
    if file is not None:
        source = _from_file(document, at_twin, file, directory)
    section[key] = source or BROKEN
    if source is None:
        document.broken.add(at)


def _from_text(
    document: Document, path: KeyPath, value: Any, *, inline: bool
) -> SecretSource | None:
    if value is BROKEN:
        return None
    if not isinstance(value, str):
        document.wrong_value(path, "should be text; if it is, put it in quotes")
    elif not value:
        document.wrong_value(path, "is empty")
    elif isinstance(value, Substituted) and value.literal and not inline:
        document.wrong_value(
            path, "is the default of a variable, which is a secret in the file: set the variable"
        )
    elif not isinstance(value, Substituted) and not inline:
        document.wrong_value(
            path,
            f"is a secret in the file itself: use ${{NAME}} or {path[-1]}_file, "
            "or set allow_inline_secrets: true",
        )
    else:
        return SecretSource(value=Secret(str(value)))
    return None


def _from_file(
    document: Document, path: KeyPath, value: Any, directory: Path
) -> SecretSource | None:
    file = _path(document, path, value, directory)
    if file is None:
        return None
    source = SecretSource(file=file, what=_WHAT[str(path[-1])])
    try:
        return replace(source, first=source.read())
    except ProxyError as error:
        document.wrong_value(path, error.detail)
        return None


def _understood(document: Document, path: KeyPath, client: dict[str, Any]) -> None:
    """Read the proof as it will be read for a token request."""
    authentication = client.get("authentication", "client_secret_basic")
    algorithm = client.get("algorithm")
    if not isinstance(authentication, str) or not isinstance(algorithm, str | None):
        return
    key = PROOF_OF.get(authentication, "")
    source = client.get(key)
    if not isinstance(source, SecretSource) or algorithm not in (None, *get_args(Algorithm)):
        return
    if algorithm and authentication in SIGNING and not fits(algorithm, authentication):
        # `client_checks` says so; what the key is worth to the right algorithm nobody knows.
        return
    text = source.value or source.first
    assert text is not None, "a source has a value, or was read at start"
    try:
        proof = understand(text, authentication=authentication, algorithm=algorithm)
        client[key] = replace(source, proof=proof)
    except ValueError as error:
        at = key if source.file is None else f"{key.removesuffix('_file')}_file"
        # Substituted text is named by its key alone: what is wrong is no part of the file.
        what = "" if source.file is None else f"the {source.what} "
        document.wrong_value((*path, at), f"{what}{error}")


def _path(document: Document, path: KeyPath, value: Any, directory: Path) -> Path | None:
    if value is BROKEN:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        document.wrong_value(path, "should be the path of a file")
        return None
    return directory / value


def _tls(document: Document, path: KeyPath, tls: dict[str, Any], directory: Path) -> None:
    if tls.get("key_file") is not None and tls.get("certificate_file") is None:
        document.wrong_key((*path, "key_file"), "has no certificate_file beside it")
    files: dict[str, Path] = {}
    for key in TLS_FILES:
        if tls.get(key) is None:
            continue
        file = _readable(document, (*path, key), tls[key], directory)
        if file is None:
            tls[key] = BROKEN
            document.broken.add((*path, key))
        else:
            files[key] = file
            tls[key] = str(file)
    _tls_contents(document, path, tls, files)


def _readable(document: Document, path: KeyPath, value: Any, directory: Path) -> Path | None:
    file = _path(document, path, value, directory)
    if file is None:
        return None
    try:
        with file.open("rb") as content:
            content.read(1)
    except OSError as error:
        document.wrong_value(path, f"the file cannot be read: {error.strerror}")
        return None
    return file


def _tls_contents(
    document: Document, path: KeyPath, tls: dict[str, Any], files: dict[str, Path]
) -> None:
    """Load readable files, so that what a connection could not use is known now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "ca_file" in files:
        try:
            context.load_verify_locations(files["ca_file"])
        except ssl.SSLError:
            document.wrong_value((*path, "ca_file"), "the file holds no PEM certificates")
    key_is_unusable = tls.get("key_file") is not None and "key_file" not in files
    if "certificate_file" in files and not key_is_unusable:
        try:
            context.load_cert_chain(
                files["certificate_file"], files.get("key_file"), password=no_password
            )
        except ssl.SSLError:
            document.wrong_value(
                (*path, "certificate_file"),
                "certificate and key are not PEM, no pair, or too short",
            )
        except EncryptedKeyError:
            key = "key_file" if "key_file" in files else "certificate_file"
            document.wrong_value((*path, key), "the key is encrypted; decrypt it first")


class EncryptedKeyError(OSError):
    """A private key that wants a password: there is nobody to ask for it."""


def no_password() -> NoReturn:
    """Refuse to give a password; without this OpenSSL asks on the terminal."""
    raise EncryptedKeyError(errno.EACCES, "the private key is encrypted")
