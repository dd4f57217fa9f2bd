"""Who issued a certificate, and for how long it holds: also one that is not trusted.

The standard library explains trusted certificates only. Reads as much of X.509 (RFC 5280 §4.1) as is needed
to name the other side; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_VERSION = 0xA0
_BMP_STRING = 0x1E
_GENERALIZED_TIME = 0x18
_COMMON_NAME, _ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0a"  # 2.5.4.3 and 2.5.4.10
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
    """The certificate in ``der``. Raises ValueError if it is none."""
    try:
        (_, certificate), *_ = _values(der)
        (_, to_be_signed), *_ = _values(certificate)
        fields = [value for tag, value in _values(to_be_signed) if tag != _VERSION]
        _, _, issuer, validity, *_ = fields  # after the serial number and the algorithm
        begins, ends = _values(validity)
        return Certificate(_name(issuer), _moment(*begins), _moment(*ends))
    except (IndexError, UnicodeError) as error:
        raise ValueError("not a certificate") from error


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents of the DER values that follow each other in ``data``."""
    position = 0
    while position < len(data):
        tag, length, position = data[position], data[position + 1], position + 2
        if length & 0x80:  # the length's own length
            size = length & 0x7F
            length, position = int.from_bytes(data[position : position + size]), position + size
        yield tag, data[position : position + length]
        position += length


def _name(sequence: bytes) -> str:
    """Organisation and common name, as far as there are any."""
    found: dict[bytes, str] = {}
    for _, group in _values(sequence):
        for _, pair in _values(group):
            (_, kind), (tag, value) = _values(pair)
            found[kind] = value.decode("utf-16-be" if tag == _BMP_STRING else "utf-8", "replace")
    names = dict.fromkeys(found[kind] for kind in (_ORGANISATION, _COMMON_NAME) if kind in found)
    text = ", ".join(names) or "somebody without a name"
    return "".join(filter(str.isprintable, text))[:_LONGEST_NAME]


def _moment(tag: int, value: bytes) -> datetime:
    form = "%Y%m%d%H%M%SZ" if tag == _GENERALIZED_TIME else "%y%m%d%H%M%SZ"
    return datetime.strptime(value.decode("ascii"), form).replace(tzinfo=UTC)
