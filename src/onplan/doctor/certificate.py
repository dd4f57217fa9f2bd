"""Reads issuer and validity of a certificate, trusted or not.

The standard library's ``ssl`` reads trusted certificates only.
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
    """What a message says about a certificate.

    Attributes:
        issuer: the name of its issuer, as the certificate states it.
        begins: the first moment at which it is valid.
        ends: the last moment at which it is valid.
    """

    issuer: str
    begins: datetime
    ends: datetime


def read_certificate(der: bytes) -> Certificate:
    """The certificate in ``der``. Raises ValueError if that is not a certificate."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities that do not matter here
            read = x509.load_der_x509_certificate(der)
            return Certificate(_name(read.issuer), read.not_valid_before_utc, read.not_valid_after_utc)
    except (x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise ValueError("not a certificate") from error


def _name(name: x509.Name) -> str:
    """Organisation and common name, as far as ``name`` has them."""
    found = [
        str(attribute.value)
        for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        for attribute in name.get_attributes_for_oid(kind)
    ]
    text = ", ".join(dict.fromkeys(found)) or "an authority without a name"
    return "".join(filter(str.isprintable, text))[:_LONGEST_NAME]
