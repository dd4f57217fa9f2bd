"""Maps the ``finish_reason`` words of many servers to a ``FinishReason``, for both APIs.

The words are those of OpenAI, Google, Anthropic, Bedrock, Cohere, watsonx, Mistral, DeepSeek, Qwen, Zhipu,
TGI and vLLM, as documented or seen in November 2026. A word that is in no row is read by its parts: servers
invent new words, but build them from the same parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from onplan.lazy_pattern import LazyPattern
from onplan.types import FinishReason


class _NoReason(Enum):
    """What a word means that gives no reason for the end of an answer."""

    CONTINUES = auto()
    FAILED = auto()


# Words that their parts would misread, or say nothing about.
_WORDS: Mapping[str, FinishReason | _NoReason] = {
    # Qwen sends the string "null" in every chunk, watsonx "not_finished".
    **dict.fromkeys(
        ("", "null", "none", "nil", "unspecified", "not_finished", "unfinished"), _NoReason.CONTINUES
    ),
    **dict.fromkeys(("in_progress", "pending", "queued", "running"), _NoReason.CONTINUES),
    "ok": FinishReason.STOP,
    "language": FinishReason.CONTENT_FILTER,  # Gemini: a language that it does not support
    "other": _NoReason.FAILED,  # Gemini: it stopped, and does not say why
    "image_other": _NoReason.FAILED,
    "no_image": _NoReason.FAILED,
    "too_many_tool_calls": _NoReason.FAILED,  # Gemini
}

# The first row that matches counts: "content_filter_error" is a failure.
_PARTS: tuple[tuple[LazyPattern, FinishReason | _NoReason], ...] = tuple(
    (LazyPattern(*parts.split()), reason)
    for reason, parts in (
        (
            _NoReason.FAILED,
            """error fail abort cancel interrupt time_?out malformed invalid unexpected missing insufficient
            unavailable overload rate_limit quota disconnect exception crash killed preempt expired
            shutdown""",
        ),
        (
            FinishReason.CONTENT_FILTER,
            """filter safety refus policy prohibit blocked blocklist recit moderat censor sensitive spii
            violat guard harm copyright""",
        ),
        (FinishReason.LENGTH, "length max limit exceed truncat context incomplete budget"),
        (FinishReason.TOOL_CALLS, "tool function"),
        (FinishReason.STOP, "stop end eos eot done complete finish success natural </s>"),
    )
)

_PREFIX = re.compile(r"^finish_?reason[._]?")
_NO_LETTER = re.compile(r"[\s\-.]+")
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Finish:
    """What a server's word for the end of an answer means.

    Attributes:
        reason: None if the answer failed.
        is_known: whether the word, or a part of it, is in the table. An unknown word counts as ``STOP``.
    """

    reason: FinishReason | None
    is_known: bool = True


def finish_of(word: str) -> Finish | None:
    """The meaning of ``word``; None if the answer continues."""
    plain = _NO_LETTER.sub("_", _INNER_CAPITAL.sub("_", word.strip())).lower()
    plain = _PREFIX.sub("", plain)
    found = _WORDS.get(plain) or next((meaning for part, meaning in _PARTS if part.search(plain)), None)
    if found is None:
        return Finish(FinishReason.STOP, is_known=False)
    if isinstance(found, _NoReason):
        return None if found is _NoReason.CONTINUES else Finish(None)
    return Finish(found)
