"""``onplan emulator`` from outside, as docs/emulator.md tells it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import onplan
from onplan.emulator import Emulator, Options, Scenario

Run = Callable[..., subprocess.CompletedProcess[str]]
PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    """The page's one example in ``language``."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_faults_are_listed(run_cli: Run) -> None:
    """--faults lists every fault with what it does; with --json also where. It ends by itself."""
    plain, rows = (
        run_cli("emulator", "--faults"),
        json.loads(run_cli("emulator", "--faults", "--json").stdout),
    )

    assert (plain.returncode, plain.stderr) == (0, "")
    assert len(rows) > 100
    assert [line.split(None, 1) for line in plain.stdout.splitlines()] == [
        [row["name"], row["line"]] for row in rows
    ]
    assert all(row["where"] for row in rows)


def test_what_is_listed_can_be_armed(run_cli: Run) -> None:
    """Each name in the list is one that an emulator knows."""
    with Emulator(Options()) as emulator:
        for row in json.loads(run_cli("emulator", "--faults", "--json").stdout):
            emulator.arm(row["name"])


@pytest.mark.skipif(sys.platform == "win32", reason="sh(1)")
def test_the_example_for_a_shell_works(tmp_path: Path) -> None:
    """The page's lines start an emulator, are signed in there, ask, and end it; again in the same folder."""
    lines = example("sh") + "wait $emulator\n"
    first, _, rest = lines.partition("\n")
    assert "ONPLAN_HOME" in first
    command = tmp_path / "onplan"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m onplan "$@"\n')
    command.chmod(0o700)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    result = subprocess.run(
        ["sh", "-e", "-c", lines + rest],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "You said: Name three birds\n" * 2, "")


def test_the_scenario_of_the_page_is_played(
    tmp_path: Path, point_at: Callable[[Emulator], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer, fault, plan and address are those of the emulator that is given it."""
    (tmp_path / "scenario.json").write_text(example("json"))
    scenario = Scenario.from_file(tmp_path / "scenario.json")
    retried: list[str] = []
    with Emulator(Options(scenario=scenario, codex_home=tmp_path / "codex", codex_auth=True)) as emulator:
        point_at(emulator)
        monkeypatch.setenv("ONPLAN_STORE", f"codex:{tmp_path / 'codex'}")
        with onplan.Client(on_retry=lambda error, seconds: retried.append(error.code)) as client:
            chunks = list(client.complete_stream("hi"))
            credentials = client.credentials()

    texts = [chunk.text for chunk in chunks if chunk.type == "text"]
    assert ("".join(texts), len(texts)) == ("A robin, a wren and an owl.", 9)
    assert retried == ["overloaded"]
    assert (credentials.plan, credentials.email) == ("pro", "reader@example.com")


def test_the_page_names_every_field_and_control() -> None:
    """No field of a scenario, and no address that controls the emulator, is missing from the page."""
    from onplan.emulator.server.app import CONTROLS

    fields = {name for name in Scenario.__struct_fields__ if f"`{name}`" not in PAGE}
    controls = {f"{method} {path}" for method, path in CONTROLS if f"`{method} {path}`" not in PAGE}

    assert (fields, controls) == (set(), set())


def test_an_emulator_that_cannot_start_says_why(emulator: Emulator, run_cli: Run, tmp_path: Path) -> None:
    """A port in use, one that is none, a file without its folder, options that go together."""
    port = emulator.issuer.rpartition(":")[2]
    for arguments, word in (
        (["--port", port], port),
        (["--port", "99999"], "99999"),
        (["--ready-file", str(tmp_path / "no" / "ready")], str(tmp_path / "no")),
        (["--codex-auth"], "--codex-home"),
        (["--public-url", "emulator.example"], "--public-url https://"),
        (["--access-token-lifetime", "-5"], "-5"),
    ):
        refused = run_cli("emulator", *arguments)
        assert (refused.returncode, word in refused.stderr) == (2, True), refused.stderr
