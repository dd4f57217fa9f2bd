"""What a command reads, it reads once: a person's files may lie on a slow network disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator

# Counts the files that are opened, by Python's own audit events (PEP 578).
PROGRAM = """
import json, sys
opened = []
def note(event, args):
    if event == "open" and args[1] is not None:  # with an opener, os.open tells it once more, without a mode
        opened.append(str(args[0]))
sys.addaudithook(note)
from onplan.cli import main
try:
    main(sys.argv[2:])
except SystemExit as ended:
    code = ended.code
with open(sys.argv[1], "w") as report:
    json.dump([code, opened], report)
"""


def opened_by(report: Path, *arguments: str) -> Counter[str]:
    """How often each file was opened, by its name."""
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(report), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    code, opened = json.loads(report.read_text())
    assert code == 0
    return Counter(Path(name).name for name in opened)


@pytest.mark.parametrize("arguments", [["status"], ["profiles"], ["profiles", "--json"], ["logout"]])
def test_a_command_reads_its_configuration_once(
    signed_in: Emulator, tmp_path: Path, arguments: list[str]
) -> None:
    """config.toml and profiles.json, however many profiles there are."""
    for name in ("work", "spare"):
        remember_profile(load_settings(profile=name))
    remember_profile(load_settings(profile="default"))
    opened = opened_by(tmp_path / "report", *arguments)

    assert (opened["config.toml"], opened["profiles.json"]) == (1, 1)


def test_status_reads_the_store_once(signed_in: Emulator, tmp_path: Path) -> None:
    """Nothing else needs it."""
    assert opened_by(tmp_path / "report", "status")["default.json"] == 1
