"""Logging to stderr for ``-v``. Log messages hold no secrets; a filter removes any that slip through."""

from __future__ import annotations

import logging
import re

# Bearer tokens, JWTs, and the values of fields that hold secrets, in JSON, forms and queries.
_SECRETS = re.compile(
    r"(?i)\b(bearer\s+)[^\s\"',]+"
    r"|\b(eyJ)[\w-]+\.[\w-]+\.[\w-]*"
    r"|((?:access_token|refresh_token|id_token|code_verifier|code|state|token)[\"']?\s*[:=]\s*[\"']?)[^\s\"',&}]+"
)


def redact(text: str) -> str:
    """``text`` with everything that looks like a secret replaced."""
    return _SECRETS.sub(lambda found: f"{found[1] or found[2] or found[3]}…", text)


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """The formatted record, exception included, without secrets."""
        return redact(super().format(record))


def log_to_stderr() -> None:
    """Write everything that onplan logs to stderr, with local times."""
    handler = logging.StreamHandler()
    handler.setFormatter(_RedactingFormatter("%(asctime)s %(name)s %(message)s"))
    logger = logging.getLogger("onplan")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def log_server_to_stderr(*, requests: bool) -> None:
    """Write what goes wrong in the server to stderr, and with ``requests`` a line for each request."""
    logger = logging.getLogger("onplan.server")
    if not logging.getLogger("onplan").handlers:  # -v shows all of it
        handler = logging.StreamHandler()
        handler.setFormatter(_RedactingFormatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.getLogger("onplan.server.access").setLevel(logging.INFO if requests else logging.CRITICAL)
