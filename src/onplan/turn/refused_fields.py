"""Whether a server refuses a field of the request, and which field its error message names. Pure."""

from __future__ import annotations

import re
from typing import TypeAlias

from onplan.backends import Backend
from onplan.errors import (
    BackendError,
    ContentPolicyError,
    ContextLengthError,
    InvalidImageError,
    InvalidRequestError,
    NotIncludedError,
    OnplanError,
    StreamFailedError,
)
from onplan.lazy_pattern import LazyPattern

Path: TypeAlias = tuple[str, ...]
"""Where a field is in a body; ``*`` stands for every entry of a list."""

_REFUSALS = (InvalidRequestError, BackendError, NotIncludedError, StreamFailedError)
_OTHER_REFUSALS = (ContentPolicyError, ContextLengthError, InvalidImageError)

_REFUSES = LazyPattern(
    r"unsupported|not (?:currently |yet )?(?:support|permit|allow|accept|implement|avail|recogni|a valid)"
    r"|(?:does|do|did)(?:n't| not)|cannot|can't|can only|only (?:allowed|supported|valid|available)"
    r"|unrecogni[sz]ed"
    r"|unknown|unexpected|undefined|no such|extra|additional propert|forbidden|disallowed|must be verified|"
    r"invalid (?:param|arg|field|propert|key|input|option|value)|is invalid|no field|not expected"
    r"|\(parameter: ",  # what error messages here add from the server's `param`
)
_KINDS = (
    r"(?:parameter|argument|field|property|keyword|key|input|option|attribute|supplied|specified|provided)s?"
)


def is_refusal(error: OnplanError) -> bool:
    """Whether ``error`` says that a part of the request is not taken."""
    return (
        isinstance(error, _REFUSALS)
        and not isinstance(error, _OTHER_REFUSALS)
        and bool(_REFUSES.search(error.message))
    )


def advice_on_search(error: OnplanError, backend: Backend) -> str | None:
    """The hint for a model that does not take the hosted web search; None if ``error`` is another one."""
    if "web_search" not in error.message or "choice" in error.message.lower() or not is_refusal(error):
        return None
    other = "give it `tools=[client.search.tool()]` with `run`" if backend.search_path else None
    models = "choose a model with `supports_web_search`: `client.list_models()`"
    return f"To search, {' or '.join(filter(None, (other, models)))}."


# Between two keys of a path. Cerebras and Mistral name the role of the message there, seen November 2026:
# "messages.1.assistant.reasoning_content: Extra inputs are not permitted".
_BETWEEN = r"[\W\d_]{1,6}(?:(?:assistant|function|\w*Message\w*)[\W\d_]{1,6})?"


def names(message: str, path: Path) -> bool:
    """Whether ``message`` names the field at ``path``: as a path, or by its own name where that is a name.

    A name that is a plain word, such as ``stream``, counts where it is marked as a name.
    """
    keys = [re.escape(key) for key in path if key != "*"]
    last = keys[-1]
    if len(keys) > 1 and re.search(_BETWEEN.join(keys) + r"(?!\w)", message):
        return True
    if "_" in last:
        return bool(re.search(rf"(?<!\w){last}(?!\w)", message))
    marked = (
        rf"['\"`]{last}['\"`]|\b(?i:{_KINDS}):?\s+{last}(?![\w.]\w)|\b(?i:unsupported):? {last}(?![\w.]\w)|"
        rf"(?<![\w.]){last} (?:is|are) (?:not|unsupported|invalid)"
    )
    if len(keys) == 1:
        marked += rf"|(?:^|body[./]|#/|\$\.){last}(?=$|[\s:,;.\[])"
    return bool(re.search(marked, message))
