"""Secrets and files of a raw configuration: the `X_file` twins, relative paths, unreadable files.

After `resolve_files` a client's `client_secret` is a `SecretSource`, `client_secret_file` is gone,
and the paths of `tls` are absolute. Relative paths count from the configuration file's directory.
Every file is opened once, so that a missing one is known at start and not at the first request.
"""

from __future__ import annotations

import errno
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from proxy.config.document import BROKEN, Document, KeyPath
from proxy.config.secrets import SecretSource
from proxy.config.substitution import Substituted
from proxy.errors import ProxyError
from proxy.model import Secret

if TYPE_CHECKING:
    from pathlib import Path

TLS_FILES = ("ca_file", "certificate_file", "key_file")


def resolve_files(document: Document, directory: Path) -> None:
    """Replace secrets and paths in the tree; report what is wrong with them."""
    inline = is_true(document.section().get("allow_inline_secrets"))
    for name, client in document.section("clients").items():
        if isinstance(client, dict):
            _secret(document, ("clients", name), client, directory, inline=inline)
    for group in ("clients", "upstreams"):
        for name in document.section(group):
            tls = document.section(group, name, "tls")
            if tls:
                _tls(document, (group, name, "tls"), tls, directory)


def is_true(value: Any) -> bool:
    """Say whether a raw switch is on."""
    return value is True or (isinstance(value, Substituted) and value.lower() == "true")


def _secret(
    document: Document, path: KeyPath, section: dict[str, Any], directory: Path, *, inline: bool
) -> None:
    key = "client_secret"
    twin = f"{key}_file"
    at, at_twin = (*path, key), (*path, twin)
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
            "is a secret in the file itself: use ${NAME} or client_secret_file, "
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
    source = SecretSource(file=file)
    try:
        return replace(source, first=source.read())
    except ProxyError as error:
        document.wrong_value(path, error.detail)
        return None


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
    """Load readable files as they will be loaded for a connection."""
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
                (*path, "certificate_file"), "certificate and key are not PEM, or no pair"
            )
        except EncryptedKeyError:
            document.wrong_value((*path, "key_file"), "the key is encrypted; decrypt it first")


class EncryptedKeyError(OSError):
    """A private key that wants a password: there is nobody to ask for it."""


def no_password() -> NoReturn:
    """Refuse to give a password; without this OpenSSL asks on the terminal."""
    raise EncryptedKeyError(errno.EACCES, "the private key is encrypted")
