"""What is wrong with a server's certificate, in words that say what to do about it.

No I/O. A certificate that is not trusted is parsed all the same, to name whom it is for, who signed
it, and when it is good: that is shown, and nothing else is done with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    import ssl

    from proxy.config.client import Tls

NOT_YET_VALID, EXPIRED = 9, 10
UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21, 27})
OTHER_NAME = frozenset({62, 64})
"""What OpenSSL calls them (`x509_vfy.h`), as `SSLCertVerificationError.verify_code` has it."""
NAMES_SHOWN_MAX = 5
TEXT_MAX = 100
DUE_FRACTION = 0.1
"""Who renews certificates in time does so while more than this of their life is left."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is told of a certificate."""

    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, what to do, and which key of `tls` (or "", the address) to look at."""

    detail: str
    hint: str
    key: str


def seen(der: bytes) -> Seen | None:
    """Read a certificate; None if it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
        issuer = _common_name(certificate.issuer)
    except ValueError:
        return None
    return Seen(names, issuer, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def described(found: Seen, now: float) -> str:
    """Tell a certificate that is fine."""
    days = (found.not_after.timestamp() - now) / 86400
    left = f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} h"
    return (
        f"certificate for {_listed(found.names)} from {found.issuer}, "
        f"valid until {found.not_after:%Y-%m-%d} ({left})"
    )


def is_due(found: Seen, now: float) -> bool:
    """Say whether a certificate should have been renewed by now."""
    left = found.not_after.timestamp() - now
    return left < DUE_FRACTION * (found.not_after - found.not_before).total_seconds()


def verdict(
    error: ssl.SSLCertVerificationError, found: Seen | None, tls: Tls, name: str, now: float
) -> Verdict:
    """Say what is wrong with the certificate of the server that was asked for by `name`."""
    code = error.verify_code
    at = datetime.fromtimestamp(now, UTC)
    if code == EXPIRED and (found is None or found.not_after > at):
        return Verdict(
            "a certificate above the server's own has expired",
            "the server, or `ca_file`, holds an authority that is over: put the present one there",
            "ca_file",
        )
    if code == EXPIRED and found is not None:
        return Verdict(
            f"its certificate expired on {found.not_after:%Y-%m-%d %H:%M} UTC; by this machine's "
            f"clock it is {at:%Y-%m-%d %H:%M} UTC",
            "the server's operators must renew it; nothing here needs to change, unless this "
            "machine's clock or the address is wrong",
            "",
        )
    if code == NOT_YET_VALID:
        begins = "" if found is None else f" before {found.not_before:%Y-%m-%d %H:%M} UTC"
        return Verdict(
            f"its certificate is not valid{begins}; by this machine's clock it is "
            f"{at:%Y-%m-%d %H:%M} UTC",
            "set this machine's clock; if it is right, the server's certificate is wrong",
            "",
        )
    if code in OTHER_NAME:
        for_whom = "" if found is None else f": it is for {_listed(found.names)}"
        return Verdict(
            f"its certificate is not for {name}{for_whom}",
            "write a name that the certificate has into the address, or into `server_name`",
            "server_name",
        )
    if code in UNKNOWN_ISSUER:
        return _unknown_issuer(found, tls)
    return Verdict(
        f"its certificate is not trusted ({error.verify_message})",
        "see that the server sends its whole chain, and that `ca_file` holds its authority",
        "ca_file",
    )


def _unknown_issuer(found: Seen | None, tls: Tls) -> Verdict:
    issuer = "an authority" if found is None else found.issuer
    if tls.ca_file is None:
        trusted = "this machine's trusted authorities"
        hint = (
            f"put the PEM certificate of {issuer} into a file and name it in `ca_file`; or have "
            "the server send its whole chain"
        )
    else:
        trusted = f"those in {tls.ca_file}"
        hint = (
            f"`ca_file` should hold the PEM certificate of {issuer}; leave the key away if the "
            "server has a public certificate"
        )
    return Verdict(
        f"its certificate is signed by {issuer}, which is not among {trusted}", hint, "ca_file"
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return (_common_name(certificate.subject),)
    alternatives = extension.value
    names = [*alternatives.get_values_for_type(x509.DNSName)]
    names += map(str, alternatives.get_values_for_type(x509.IPAddress))
    return tuple(_shown(name) for name in names) or (_common_name(certificate.subject),)


def _common_name(name: x509.Name) -> str:
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(oid):
            return f"'{_shown(str(attribute.value))}'"
    return f"'{_shown(name.rfc4514_string())}'" if name.rdns else "(no name)"


def _shown(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:TEXT_MAX])


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - NAMES_SHOWN_MAX
    listed = ", ".join(names[:NAMES_SHOWN_MAX])
    return f"{listed} and {more} more" if more > 0 else listed
