"""Estimates how many tokens a text or a request has, without the tokenizer's vocabulary.

A text is split as ``o200k_base`` splits it, the tokenizer of OpenAI's models since GPT-4o: into words with
the character before them, numbers of three digits, punctuation and white space. What a word costs is taken
from its length and its script, by rates that were fitted to that tokenizer. One piece is held at a time, and
each character is looked at a few times at most.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from onplan.request.image_size import HEAD, pixels_of
from onplan.request.tool_results import told_of
from onplan.types import (
    CompletionRequest,
    ContentPart,
    CustomTool,
    File,
    HostedTool,
    HostedToolCall,
    Image,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)

# --- texts ------------------------------------------------------------------------------------------

# Encoded data; a word with the character before it and an English ending; three digits; punctuation; space.
_PIECES = re.compile(
    r"(?P<data>[A-Za-z0-9+/]{64,}=*)"
    r"|[^\r\nA-Za-z0-9\x80-\U0010ffff]?(?P<word>(?:[A-Za-z]|[^\x00-\x7f\s])+)(?:'(?:s|t|re|ve|m|ll|d)\b)?"
    r"|[0-9]{1,3}"
    r"| ?(?P<punctuation>[!-/:-@\[-`{-~]+)[\r\n/]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+|.",
    re.DOTALL,
)
_HUMPS = re.compile(r"[A-Z]*[a-z]+|[A-Z]+")

# All rates are in hundredths of a token.
_TOKEN = 100
_DATA = 62  # a character
# A word of so many letters of the Latin alphabet, and each letter beyond these.
_LATIN = (0, 100, 100, 101, 102, 110, 118, 120, 130, 140, 155, 172, 190, 205, 225, 255)
_LATIN_MORE = 27
_CAPITALS_MORE = 38
_LATIN_AMONG_OTHERS = 22
_PUNCTUATION_MORE = 30
_REPEATED_MORE = 6
# A character below each of these code points.
_SCRIPTS = (
    (0x100, 52),  # é, ü
    (0x250, 135),  # ł, ş
    (0x370, 100),
    (0x400, 40),  # Greek
    (0x530, 25),  # Cyrillic
    (0x590, 60),
    (0x600, 47),  # Hebrew
    (0x780, 36),  # Arabic
    (0x900, 60),
    (0xE00, 33),  # of India
    (0xF00, 48),  # Thai, Lao
    (0x2000, 70),
    (0x2E80, 100),  # dashes, quotation marks, symbols
    (0x3040, 90),
    (0x3100, 75),  # kana
    (0xA000, 84),  # Chinese characters
    (0xAC00, 100),
    (0xD7B0, 72),  # Hangul
    (0xF900, 100),
    (0xFE00, 90),
    (0xFE10, 60),
    (0xFF00, 100),
    (0x10000, 90),
    (0x30000, 130),  # emoji
    (0x110000, 190),
)
_ENDS = [end for end, _ in _SCRIPTS]
_RATES = [rate for _, rate in _SCRIPTS]


def tokens_in(text: str) -> int:
    """About how many tokens ``text`` has."""
    cost = 0
    for piece in _PIECES.finditer(text):
        kind = piece.lastgroup
        if kind == "word":
            cost += _word(piece["word"])
        elif kind == "punctuation":
            cost += _punctuation(piece["punctuation"])
        elif kind == "data":
            cost += _DATA * len(piece["data"])
        else:
            cost += _TOKEN
    return -(-cost // _TOKEN)


def _word(word: str) -> int:
    if word.isascii():
        if word.islower() or word.istitle():
            return _latin(word)
        return sum(map(_latin, _HUMPS.findall(word)))
    rates = (
        _LATIN_AMONG_OTHERS if each < "\x80" else _RATES[bisect_right(_ENDS, ord(each))] for each in word
    )
    return max(_TOKEN, sum(rates))


def _latin(word: str) -> int:
    length = len(word)
    if word.isupper():
        return _TOKEN + max(0, length - 2) * _CAPITALS_MORE
    if length < len(_LATIN):
        return _LATIN[length]
    return _LATIN[-1] + (length - len(_LATIN) + 1) * _LATIN_MORE


def _punctuation(signs: str) -> int:
    if signs.count(signs[0]) == len(signs):
        return _TOKEN + (len(signs) - 1) * _REPEATED_MORE
    return _TOKEN + max(0, len(signs) - 2) * _PUNCTUATION_MORE


# --- requests ---------------------------------------------------------------------------------------

# What stands around each message and each tool, and before the answer.
_AROUND_MESSAGE, _AROUND_TOOL, _AROUND_ALL = 4, 8, 3


def tokens_of(request: CompletionRequest) -> int:
    """About how many tokens the prompt of ``request`` has, whose files have been read."""
    messages = sum(_AROUND_MESSAGE + _parts(message.content) for message in request.messages)
    tools = sum(map(_tool, request.tools))
    return _AROUND_ALL + messages + tools + _output(request.response_format)


def _parts(parts: Iterable[ContentPart]) -> int:
    return sum(_OF_PARTS[type(part)](part) for part in parts)


def _result(part: ToolResult) -> int:
    told = told_of(part)
    return _AROUND_MESSAGE + (tokens_in(told) if isinstance(told, str) else _parts(told))


def _hosted_call(part: HostedToolCall) -> int:
    """The call by its fields, and the image that it made by its size."""
    fields = {name: value for name, value in part.fields.items() if name != "result"}
    result = part.fields.get("result")
    drawn = f"data:image/png;base64,{result[: 2 * HEAD]}" if isinstance(result, str) else None
    return _AROUND_MESSAGE + _json(fields) + (_image(Image(url=drawn)) if drawn else 0)


def _tool(tool: Tool) -> int:
    if isinstance(tool, HostedTool):
        return _AROUND_TOOL + tokens_in(tool.name) + _json(tool.options)
    takes = tool.format if isinstance(tool, CustomTool) else tool.parameters
    return _AROUND_TOOL + tokens_in(tool.name) + tokens_in(tool.description) + _json(takes)


def _output(response_format: Any) -> int:
    if response_format is None:
        return 0
    from onplan.structured.output_format import output_format

    return _AROUND_TOOL + _json(output_format(response_format).schema)


def _json(value: Any) -> int:
    return tokens_in(msgspec.json.encode(value).decode()) if value else 0


def _reasoning(part: Thinking) -> int:
    """Encrypted reasoning: four bytes of what is inside to a token; its summary does not count."""
    size = len(part.encrypted or "") * 3 // 4
    return max(0, size - 650) // 4


# --- images and files -------------------------------------------------------------------------------

# As the platform counts images for GPT-5 ("Calculating costs" in its guide to images, 2026): within 2048 x
# 2048, the shorter side within 768, so many for each tile of 512 pixels.
_IMAGE_BASE, _IMAGE_TILE, _TILE, _LONGEST_SIDE, _SHORTEST_SIDE = 70, 140, 512, 2048, 768
_USUAL_SIZE = (1024, 1024)  # of an image at a URL
_PAGE = 1_100  # the text and the image of a page of a PDF
_BYTES_OF_PAGE = 50_000


def _image(image: Image) -> int:
    if image.detail == "low":
        return _IMAGE_BASE
    width, height = _size(image)
    if image.detail != "original":
        width, height = _shrunk(width, height, _LONGEST_SIDE / max(width, height))
        width, height = _shrunk(width, height, _SHORTEST_SIDE / min(width, height))
    return _IMAGE_BASE + _IMAGE_TILE * -(-width // _TILE) * -(-height // _TILE)


def _shrunk(width: int, height: int, factor: float) -> tuple[int, int]:
    factor = min(factor, 1)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _size(image: Image) -> tuple[int, int]:
    return pixels_of(_head(image)) or _USUAL_SIZE


def _head(image: Image) -> bytes:
    if image.data is not None:
        return image.data[:HEAD]
    _, _, encoded = (image.url or "")[: 2 * HEAD].partition(";base64,")
    try:
        return b64decode(encoded[: len(encoded) // 4 * 4])
    except binascii.Error:
        return b""


def _file(file: File) -> int:
    """A PDF by its pages, text by its text, anything else by its size; what is at a URL as one page."""
    data, name = file.data, tokens_in(file.filename or "")
    if data is None:
        return _PAGE
    if not data.startswith(b"%PDF"):
        try:
            return name + tokens_in(data.decode())
        except UnicodeDecodeError:
            pass
    pages = len(re.findall(rb"/Type\s*/Page\b", data)) or -(-len(data) // _BYTES_OF_PAGE)
    return name + _PAGE * pages


_OF_PARTS: Mapping[type, Callable[[Any], int]] = {
    Text: lambda part: tokens_in(part.text),
    Refusal: lambda part: tokens_in(part.text),
    ToolCall: lambda part: _AROUND_MESSAGE + tokens_in(part.name) + tokens_in(part.arguments),
    ToolResult: _result,
    HostedToolCall: _hosted_call,
    Thinking: _reasoning,
    Image: _image,
    File: _file,
}
