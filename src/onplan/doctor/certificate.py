"""Who issued a certificate, and for how long it holds: also one that is not trusted.

The standard library explains trusted certificates only. Decides nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

_LONGEST_NAME = 100


@dataclass(frozen=True)
class Certificate:
    """What people are told of a certificate.

    Attributes:
        issuer: its issuer's name, by its own account.
        begins: the moment from which it holds.
        ends: the last moment at which it does.
    """

    issuer: str
    begins: datetime
    ends: datetime


def read_certificate(der: bytes) -> Certificate:
    """What ``der`` says. Raises ValueError if it is no certificate."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's, of oddities that do not matter here
            read = x509.load_der_x509_certificate(der)
            return Certificate(_name(read.issuer), read.not_valid_before_utc, read.not_valid_after_utc)
    except (x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise ValueError("not a certificate") from error


def _name(name: x509.Name) -> str:
    """Organisation and common name, as far as there are any."""
    found = [
        str(attribute.value)
        for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        for attribute in name.get_attributes_for_oid(kind)
    ]
    text = ", ".join(dict.fromkeys(found)) or "an authority without a name"
    return "".join(filter(str.isprintable, text))[:_LONGEST_NAME]
