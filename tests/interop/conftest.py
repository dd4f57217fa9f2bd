"""The credential that the proofs of tests/tokens are about; and the table of what strangers showed."""

from __future__ import annotations

import pytest

from ..tokens.conftest import expire, refreshes, sign_in, spec

__all__ = ["expire", "refreshes", "sign_in", "spec"]

WORDS = {"passed": "ok", "skipped": "skipped", "failed": "FAILED", "error": "FAILED"}  # the last one counts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test that is marked so its row; reports carry it, from another process, too."""
    for item in items:
        marker = item.get_closest_marker("stranger")
        if marker is None:
            continue
        name, *what = marker.args
        given = getattr(item, "callspec", None)
        parameters = {} if given is None else given.params
        own = [str(value) for key, value in parameters.items() if f"{{{key}}}" not in name]
        said = what or [_words(item), *own]
        item.user_properties += [("stranger", name.format(**parameters)), ("what", ", ".join(said))]


def _words(item: pytest.Item) -> str:
    name = str(getattr(item, "originalname", item.name)).removeprefix("test_").removeprefix("it_")
    return name.replace("_", " ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Stranger, what, ok."""
    rows: dict[tuple[str, str], str] = {}
    for outcome, word in WORDS.items():
        for report in terminalreporter.stats.get(outcome, ()):
            about = dict(getattr(report, "user_properties", ()))
            if "stranger" in about:
                rows[str(about["stranger"]), str(about["what"])] = word
    if not rows:
        return
    terminalreporter.section("strangers")
    width = max(len(stranger) for stranger, _ in rows)
    longest = max(len(what) for _, what in rows)
    for (stranger, what), word in sorted(rows.items(), key=lambda row: (row[0][0].casefold(), row[0])):
        terminalreporter.write_line(f"{stranger:{width}}  {what:{longest}}  {word}")
