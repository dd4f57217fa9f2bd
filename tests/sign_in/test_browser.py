"""Which program is started to open an address, and that it gets nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onplan.sign_in.browser import open_now

URL = "http://127.0.0.1:1/authorize?a=b&c=d%20e"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="xdg-open(1)")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with these programs and no others; each writes down how it was called."""
    folder = tmp_path / "with a space"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("BROWSER", raising=False)
    log = tmp_path / "log"
    monkeypatch.setenv("LOG", str(log))

    def install(name: str, status: int = 0, link: str | None = None) -> None:
        path = folder / name
        if link:
            path.symlink_to(folder / link)
            return
        path.write_text(f'#!/bin/sh\necho "{name}" "$@" >>"$LOG"\nexit {status}\n')
        path.chmod(0o700)

    return install


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], list[str]]:
    """What was called when the address was opened."""

    def opened() -> list[str]:
        open_now(URL)
        log = tmp_path / "log"
        return log.read_text().splitlines() if log.exists() else []

    return opened


@pytest.mark.parametrize("name", ["w3m", "lynx", "links", "links2", "elinks", "www-browser", "browsh"])
def test_a_text_mode_browser_is_none(
    install: Callable[..., None], opened: Callable[[], list[str]], name: str
) -> None:
    """A browser that would need the terminal is not started, though it be the only one."""
    install(name)

    assert opened() == []


def test_a_text_mode_browser_by_another_name_is_none(
    install: Callable[..., None], opened: Callable[[], list[str]]
) -> None:
    """Nor is one that the system's alternatives lead to."""
    install("w3m")
    install("x-www-browser", link="w3m")

    assert opened() == []


@pytest.mark.parametrize("name", ["xdg-open", "x-www-browser", "firefox", "chromium", "wslview"])
def test_what_a_machine_has_is_used(
    install: Callable[..., None], opened: Callable[[], list[str]], name: str
) -> None:
    """Whatever opens addresses there gets this one, whole."""
    install("lynx")
    install(name)

    assert opened() == [f"{name} {URL}"]


def test_one_that_fails_is_followed_by_the_next(
    install: Callable[..., None], opened: Callable[[], list[str]]
) -> None:
    """xdg-open without a browser of its own says so, and another is tried; one that succeeds is the last."""
    install("xdg-open", status=3)
    install("firefox")
    install("chromium")

    assert opened() == [f"xdg-open {URL}", f"firefox {URL}"]


def test_without_any_nothing_happens(install: Callable[..., None], opened: Callable[[], list[str]]) -> None:
    """A machine without a browser is no error."""
    assert opened() == []


def test_what_cannot_be_run_is_passed_over(
    install: Callable[..., None], opened: Callable[[], list[str]], tmp_path: Path
) -> None:
    """A file that is no program is not one that opens addresses."""
    (tmp_path / "with a space" / "xdg-open").write_text("")
    (tmp_path / "with a space" / "xdg-open").chmod(0o700)
    (tmp_path / "with a space" / "x-www-browser").write_bytes(b"\x7fELF")
    (tmp_path / "with a space" / "x-www-browser").chmod(0o700)
    install("firefox")

    assert opened()[-1:] in ([], [f"firefox {URL}"])  # an empty file is a script that succeeds


@pytest.mark.parametrize(
    ("browser", "expected"),
    [
        ("mine", [f"mine {URL}"]),
        ("mine %s", [f"mine {URL}"]),
        ("mine --new '%s' &", [f"mine --new {URL}"]),
        ("mine --url=%s", [f"mine --url={URL}"]),
        ("mine 'an argument'", [f"mine an argument {URL}"]),
        ("w3m:mine", [f"mine {URL}"]),
        ("missing:mine", [f"mine {URL}"]),
        ("failing:mine", [f"failing {URL}", f"mine {URL}"]),
        ("w3m", [f"xdg-open {URL}"]),
        ("missing", [f"xdg-open {URL}"]),
        ("mine 'unbalanced", [f"xdg-open {URL}"]),
        (":", [f"xdg-open {URL}"]),
        ("", [f"xdg-open {URL}"]),
    ],
)
def test_the_persons_own_choice_comes_first(
    install: Callable[..., None],
    opened: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    browser: str,
    expected: list[str],
) -> None:
    """``BROWSER`` names programs in order, with %s or without; a text-mode one cannot be had."""
    for name in ("mine", "w3m", "xdg-open"):
        install(name)
    install("failing", status=1)
    monkeypatch.setenv("BROWSER", browser)

    assert opened() == expected


def test_it_is_started_by_its_whole_path(
    install: Callable[..., None],
    opened: Callable[[], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program may be named by its path, with a space in it."""
    install("mine")
    monkeypatch.setenv("BROWSER", f"'{tmp_path}/with a space/mine'")
    monkeypatch.setenv("PATH", os.devnull)

    assert opened() == [f"mine {URL}"]
