"""Opens the person's browser. It gets the address and nothing else: the terminal stays with the sign-in."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from onplan.config.environment import environment_variable

# What opens an address on a desktop, the person's own choice first.
_OPENERS = (
    ("xdg-open",),
    ("gio", "open"),
    ("x-www-browser",),
    ("wslview",),
    ("termux-open-url",),
    ("firefox",),
    ("firefox-esr",),
    ("chromium",),
    ("chromium-browser",),
    ("google-chrome",),
    ("google-chrome-stable",),
    ("brave-browser",),
    ("microsoft-edge",),
    ("epiphany",),
    ("konqueror",),
    ("falkon",),
)
# These need the terminal, where the address is pasted; and the sign-in page needs JavaScript.
_TEXT_MODE = frozenset(
    ("browsh", "carbonyl", "edbrowse", "elinks", "links", "links2", "lynx", "netrik", "retawq", "w3m")
) | {"www-browser"}
_SETTLED = 5.0  # seconds after which a program that goes on running is a browser


def open_browser(url: str) -> None:
    """Open ``url`` in the person's browser, and return at once; ``BROWSER`` is honoured.

    Nothing is raised where there is none: the address is shown to the person as well.
    """
    threading.Thread(target=open_now, args=(url,), daemon=True).start()


def open_now(url: str) -> None:
    """The same, and return once a browser has it, or none is left to try; that may be when it is closed."""
    for command in _commands(url):
        process = _started(command)
        if process is None:
            continue
        try:
            if process.wait(_SETTLED) == 0:
                return
        except subprocess.TimeoutExpired:
            process.wait()
            return
    if sys.platform == "win32":
        os.startfile(url)  # noqa: S606 - its default browser


def _commands(url: str) -> Iterator[list[str]]:
    """What may be typed to open ``url``, in order."""
    for given in (environment_variable("BROWSER") or "").split(os.pathsep):
        try:
            words = shlex.split(given.rstrip().removesuffix("&"))
        except ValueError:
            continue
        if words:
            yield [word.replace("%s", url) for word in words] if "%s" in given else [*words, url]
    if sys.platform == "darwin":
        yield ["open", url]
    elif sys.platform != "win32":
        yield from ([*opener, url] for opener in _OPENERS)


def _started(command: list[str]) -> subprocess.Popen[bytes] | None:
    program = shutil.which(command[0])
    if program is None or _is_text_mode(program):
        return None
    try:
        return subprocess.Popen(  # noqa: S603 - the person's own choice
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what it starts has no terminal either
        )
    except OSError:
        return None


def _is_text_mode(program: str) -> bool:
    """Whether it is a text-mode browser, also by another name, such as Debian's www-browser."""
    return not _TEXT_MODE.isdisjoint(Path(path).stem for path in (program, os.path.realpath(program)))
