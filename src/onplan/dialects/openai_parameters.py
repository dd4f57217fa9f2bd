"""What both APIs decide alike about parameters: which tools are not offered, which lengths say nothing."""

from __future__ import annotations

# Tools of OpenAI's API that a plan does not have, or whose results clients would not find where they look.
NOT_OFFERED_TOOLS = frozenset(
    ("file_search", "code_interpreter", "image_generation", "mcp", "computer", "computer_use_preview")
)
# Frameworks send lengths that no answer reaches, in tokens; there is nothing to carry out then.
ANY_LENGTH = 100_000


def not_offered(kind: str, place: str) -> str:
    """What a client is told that asks for such a tool at ``place``: ``tools[0]``."""
    hint = " Images are made at /v1/images/generations." if kind == "image_generation" else ""
    return f"{place}.type is {kind}, a tool that is not offered here.{hint}"
