"""Reads a pasted redirect address, also if it was broken into lines, quoted, escaped or wrapped by a filter.

Every plausible reading is tried, the plainest first. That is safe: only a reading that contains the state of
this sign-in counts, and the state cannot be guessed.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections import deque
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from onplan.oauth.authorization_code import Callback, read_callback
from onplan.secret import SecretText

_LONGEST = 32 * 1024  # characters; of a longer paste, only the last ones are read
_READINGS = 200  # at most
_DEPTH = 6  # how many changes in a row
_LINES = 20  # into which an address may be broken

# The characters of an address, without those that people and programs put around one.
_RUN = re.compile(r"[A-Za-z0-9._~:/?#@!$&*+,;=%^\\-]+")
_AFTER = ".,;:!?"  # the end of a sentence
_CODE = re.compile(r"[A-Za-z0-9._~+/=-]+")  # as services make them; RFC 6749 permits more
_NO_CODE = re.compile(r"://|\s")  # two addresses run together, or words
# Left by terminals, word processors and chats: bracketed paste, soft hyphens, zero-width characters, marks.
_INVISIBLE = re.compile("\x1b\\[\\d+~|[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]")
_QUOTED = re.compile(r"(?m)^[ \t]*>+[ \t]?")  # an answer to a mail
_ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,10});")  # without its end: a field
_LINE_END = re.compile(r"(?:\\[nrt])+")  # in JSON
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_PROOFPOINT = re.compile(r"/v3/__(?P<url>.+?)__;(?P<runs>[A-Za-z0-9_-]*)!")
_EMBEDDED = re.compile(r"https?(?::|%3a|%253a)", re.IGNORECASE)
_FIELD = re.compile(
    r"\b(code|state|error|error_description|client_id|iss)\b[\"']?\s*[:=]\s*[\"']?([^\s\"'&,}]+)"
)


def is_answer(callback: Callback) -> bool:
    """Whether ``callback`` ends the sign-in: its state is right, and it has a complete code or an error."""
    return callback.genuine and bool(callback.error or (callback.code and not _NO_CODE.search(callback.code)))


def read_pasted(text: str, state: str) -> Callback:
    """Read what a person pasted: an address, its query, its fields, or ``code#state``; in lines or one.

    The first reading with the right state and an error or a well-formed code counts, else the text as it is.
    That need not be an answer (``is_answer``): half an address does not end a sign-in.
    """
    for reading in readings(text):
        callback = read_callback(reading, state)
        if callback.genuine and (callback.error or _CODE.fullmatch(callback.code)):
            return callback
    return read_callback(text, state)


class PastedLines:
    """The lines that a person has pasted; a terminal delivers a broken address as several."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._lines: deque[SecretText] = deque(maxlen=_LINES)

    def take(self, text: str) -> Callback:
        """Read one more line, alone and as the end of those before it. The result need not be an answer."""
        self._lines.append(SecretText(text))
        pasted = ""
        for line in reversed(self._lines):
            pasted = f"{line.rstrip()}\n{pasted}"
            callback = read_pasted(pasted, self._state)
            if is_answer(callback):
                break
        return callback


def readings(text: str) -> Iterator[SecretText]:
    """The possible meanings of ``text``, the least changed first, without duplicates."""
    text = _INVISIBLE.sub("", text[-_LONGEST:]).strip().rstrip(_AFTER)
    waiting, met = [(0, text)], {text}
    for depth, found in waiting:  # the list grows during the loop
        yield SecretText(found)
        for changed in _changed(found) if depth < _DEPTH else ():
            if len(waiting) >= _READINGS:
                break
            more = _INVISIBLE.sub("", changed)  # invisible characters may have been escaped
            if more not in met:
                met.add(more)
                waiting.append((depth + 1, more))
    # These come last: where a line break splits a code, such a list has only half of it.
    for _, found in waiting:
        yield from map(SecretText, _listed(found))


def _changed(text: str) -> Iterator[str]:
    for change in _CHANGES:
        yield from change(text)


# --- each undoes one thing that may have been done to the address ---------------------------------------


def _pieces(text: str) -> Iterator[str]:
    """The addresses in a text, and the address that the lines of a text are."""
    joined = "".join(line.strip() for line in _QUOTED.sub("", text).splitlines())
    for whole in (joined, text, "".join(text.split())):
        for piece in _RUN.findall(whole):
            if "=" in piece or "#" in piece:
                yield piece.rstrip(_AFTER)


def _unescaped(text: str) -> Iterator[str]:
    """Escapes of HTML, JSON, shells and mail."""
    if _ENTITY.search(text):
        yield _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    if "\\" in text:
        lines = _LINE_END.sub("\n", text)
        yield _ESCAPED.sub(lambda found: chr(int(found[1], 16)), lines).replace("\\", "")
    if "=3D" in text:  # quoted-printable
        unfolded = re.sub(r"=[ \t]*\r?\n", "", text)
        yield re.sub(r"=([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), unfolded)
    if "^&" in text:  # Windows' command line
        yield text.replace("^", "")


def _decoded(text: str) -> Iterator[str]:
    """An address that is embedded in another one, or percent-encoded."""
    if re.search(r"%(25)*(3d|26|3f)", text, re.IGNORECASE):
        yield unquote(text)
    starts = [found.start() for found in _EMBEDDED.finditer(text)]
    if starts and starts[-1]:
        yield text[starts[-1] :]


def _unwrapped(text: str) -> Iterator[str]:
    """The address in the query of another: mail filters and chats do that (Safe Links, Proofpoint)."""
    proofpoint = _PROOFPOINT.search(text)
    if proofpoint:
        yield _proofpoint_v3(proofpoint["url"], proofpoint["runs"])
    for value in _values(text):
        yield value
        if "-3D" in value:  # Proofpoint's version 2 has its own escapes
            yield unquote(value.replace("-", "%").replace("_", "/"))
        if value.startswith("aHR0c"):  # "http" in base64
            yield _base64(value)


def _base64(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _proofpoint_v3(url: str, runs: str) -> str:
    """Each ``*`` stands for the next of the characters that ``runs`` has in base64, ``**X`` for several."""
    characters = iter(_base64(runs))
    numbers = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    def original(found: re.Match[str]) -> str:
        many = numbers.find(found[1]) + 2 if found[1] else 1
        return "".join(next(characters, "") for _ in range(many))

    return re.sub(r"\*(?:\*([A-Za-z0-9_-]))?", original, url)


def _values(text: str) -> Iterator[str]:
    """Query and fragment of an address, and the values in them."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return
    for query in filter(None, (parts.query, parts.fragment)):
        yield query
        for _, value in parse_qsl(query):
            if "=" in value or value.startswith(("http", "aHR0c")):
                yield value


def _listed(text: str) -> Iterator[str]:
    """The fields one by one, as a browser's developer tools and JSON list them."""
    fields = _FIELD.findall(text)
    if len(fields) > 1:
        yield "&".join(f"{name}={value}" for name, value in fields)


_CHANGES: tuple[Callable[[str], Iterator[str]], ...] = (_pieces, _unescaped, _decoded, _unwrapped)
