"""Opens an address in the person's browser, without giving the browser the terminal."""

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

# Programs that open an address on a desktop, those first that respect the person's default browser.
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
# Text-mode browsers are not used: they need the terminal, and the sign-in page needs JavaScript.
_TEXT_MODE = frozenset(
    ("browsh", "carbonyl", "edbrowse", "elinks", "links", "links2", "lynx", "netrik", "retawq", "w3m")
) | {"www-browser"}
_SETTLED = 5.0  # seconds; a program that still runs after them is a browser, and has not failed to open one


def open_browser(url: str) -> None:
    """Open ``url`` in the person's browser, and return at once; ``BROWSER`` is honoured.

    Raises nothing if there is none: the caller shows the address as well.
    """
    threading.Thread(target=open_now, args=(url,), daemon=True).start()


def open_now(url: str) -> None:
    """Open ``url``; return once a browser has it, which may be when it is closed, or none is left."""
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
    """The commands that may open ``url``, in the order to try them."""
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
            start_new_session=True,  # so that its child processes have no terminal either
        )
    except OSError:
        return None


def _is_text_mode(program: str) -> bool:
    """Whether ``program`` is a text-mode browser, also under another name, such as Debian's www-browser."""
    return not _TEXT_MODE.isdisjoint(Path(path).stem for path in (program, os.path.realpath(program)))
