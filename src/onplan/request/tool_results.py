"""What the model is told of a tool's result: also that the function failed, for which no API has a field."""

from __future__ import annotations

from onplan.types import File, Image, Text, ToolResult


def told_of(result: ToolResult) -> str | list[Text | Image | File]:
    """The content to send: text alone as a string, as most servers want it.

    That of an error begins with the word, if it does not yet.
    """
    content = result.content
    if len(content) == 1 and isinstance(content[0], Text):
        content = content[0].text
    if not result.is_error:
        return content
    if isinstance(content, str):
        return content if content[:5].lower() == "error" else f"Error: {content}"
    return [Text("Error:"), *content]


def pieces_of(result: ToolResult) -> list[Text | Image | File]:
    """The content to send as a list of parts."""
    told = told_of(result)
    return [Text(told)] if isinstance(told, str) else told
