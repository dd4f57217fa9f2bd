"""Why an answer ended, in the words of many servers. A table and its reader, for both wires.

The words are those of OpenAI, Google, Anthropic, Bedrock, Cohere, watsonx, Mistral, DeepSeek, Qwen, Zhipu,
TGI and vLLM, as documented or seen in November 2026. For a word that is in no row, its parts decide: servers
add words, but make them of the same parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from onplan.types import FinishReason

# Where the parts of a word would say something else, or nothing.
_WORDS: Mapping[str, FinishReason | None] = {
    # The answer goes on; Qwen has the text "null" in every chunk, watsonx says not_finished.
    **dict.fromkeys(("", "null", "none", "nil", "unspecified", "not_finished", "unfinished")),
    **dict.fromkeys(("in_progress", "pending", "queued", "running")),
    "eos": FinishReason.STOP,
    "eot": FinishReason.STOP,
    "ok": FinishReason.STOP,
    "language": FinishReason.CONTENT_FILTER,  # Gemini: one that it does not serve
    "other": FinishReason.ERROR,  # Gemini: it stopped, and does not say why
    "image_other": FinishReason.ERROR,
    "no_image": FinishReason.ERROR,
    "too_many_tool_calls": FinishReason.ERROR,  # Gemini
}

# In this order: a word for a failure is one, whatever failed.
_PARTS: tuple[tuple[re.Pattern[str], FinishReason], ...] = tuple(
    (re.compile("|".join(parts.split())), reason)
    for reason, parts in (
        (
            FinishReason.ERROR,
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
        reason: ``ERROR`` for a failure.
        is_known: whether the word, or a part of it, is in the table. An unknown one is no proof of a failure.
    """

    reason: FinishReason
    is_known: bool = True


def finish_of(word: str) -> Finish | None:
    """The meaning of ``word``; None if the answer goes on."""
    plain = _NO_LETTER.sub("_", _INNER_CAPITAL.sub("_", word.strip())).lower()
    plain = _PREFIX.sub("", plain)
    if plain in _WORDS:
        reason = _WORDS[plain]
        return Finish(reason) if reason else None
    found = next((reason for part, reason in _PARTS if part.search(plain)), None)
    return Finish(found or FinishReason.STOP, is_known=found is not None)
