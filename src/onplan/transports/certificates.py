"""The SSL context with the certificates that are trusted: the system's, or those that the person names."""

from __future__ import annotations

import os
import re
import ssl
import sys
from pathlib import Path

from onplan.config.environment import environment_variable
from onplan.errors import ConfigurationError
from onplan.transports.ca_files import recoded_certificates, trust


def usual_certificates() -> ssl.SSLContext:
    """A context that trusts ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, else the system's authorities.

    Raises ConfigurationError.
    """
    variable = next(filter(environment_variable, ("SSL_CERT_FILE", "SSL_CERT_DIR")), None)
    place = environment_variable(variable) if variable else None
    try:
        if not place:
            return _system_certificates()
        if variable == "SSL_CERT_DIR":
            next(Path(place).iterdir(), None)  # OpenSSL reports no error for a folder that it cannot read
            return ssl.create_default_context(capath=place)
        text = recoded_certificates(place)
        return ssl.create_default_context(cadata=text) if text else ssl.create_default_context(cafile=place)
    except OSError as error:  # an ssl.SSLError is one
        named = f"{variable} ({place}) names" if variable else "the system names"
        raise ConfigurationError(
            f"The certificate authorities that {named} cannot be loaded: {_reason(error)}.",
            hint=f"Correct it, or run `unset {variable}`." if variable else "Run `onplan doctor`.",
        ) from None


def _system_certificates() -> ssl.SSLContext:
    """As ``httpx2.create_ssl_context()``; without httpx2 where OpenSSL knows the authorities, on Linux."""
    known = ssl.get_default_verify_paths()
    hashed = known.capath and any(_HASHED.fullmatch(each.name) for each in Path(known.capath).iterdir())
    if sys.platform == "linux" and (known.cafile or hashed):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(known.cafile, known.capath)
        return context
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)


_HASHED = re.compile(r"[0-9a-fA-F]{8}\.\d")  # the name of a certificate that OpenSSL finds in a folder


def trusting(ca_file: str | os.PathLike[str], context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """``context``, or a new one, which trusts the authorities in ``ca_file``. Raises ConfigurationError."""
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        trust(context, ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"The certificate authorities in {os.fspath(ca_file)} cannot be loaded: {_reason(error)}.",
            hint="Give `ca_file` a file that holds certificates in PEM.",
        ) from None
    return context


def _reason(error: OSError) -> str:
    return "it holds no certificate" if isinstance(error, ssl.SSLError) else str(error.strerror or error)
