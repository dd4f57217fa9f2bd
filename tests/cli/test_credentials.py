"""``onplan credentials``: a sign-in is moved into a file, and from a file into a store."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from onplan.config.settings import load_settings
from onplan.emulator import Emulator

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_what_was_moved_in_is_gone_from_where_it_was(
    signed_in: Emulator, run_cli: Run, tmp_path: Path
) -> None:
    """A second import would be a copy, and two copies end each other at the next refresh."""
    moved = str(tmp_path / "moved.json")
    assert run_cli("credentials", "export", moved).returncode == 0
    first = run_cli("credentials", "import", moved, "--profile", "a")

    assert first.returncode == 0, first.stderr
    assert "The profile a is now in use, signed in to openai-codex as person@example.com" in first.stderr
    assert not Path(moved).exists()
    assert run_cli("credentials", "export", moved, "--profile", "a").returncode == 0
    link = tmp_path / "link.json"
    link.symlink_to(moved)
    assert run_cli("credentials", "import", str(link), "--profile", "a").returncode == 0
    assert not Path(moved).exists()
    second = run_cli("credentials", "import", moved, "--profile", "b")
    assert (second.returncode, "There is no file" in second.stderr) == (3, True)


def test_where_a_profile_keeps_its_sign_in_is_no_file_to_move(signed_in: Emulator, run_cli: Run) -> None:
    """Neither its own nor another's: the file would be removed while it is in use."""
    kept = load_settings().store.removeprefix("file:")
    elsewhere = Path(kept).parents[1] / "own.json"
    elsewhere.write_bytes(Path(kept).read_bytes())
    elsewhere.chmod(0o600)
    for arguments in (
        [kept, "--force"],
        [kept, "--profile", "other"],
        [str(elsewhere), "--force", "--store", f"file:{elsewhere}"],
    ):
        refused = run_cli("credentials", "import", *arguments)
        assert (refused.returncode, "export PATH --profile NAME" in refused.stderr) == (2, True)
    assert elsewhere.exists()
    assert run_cli("ask", "hi").returncode == 0


def test_a_file_that_holds_no_sign_in_costs_no_sign_in(
    signed_in: Emulator, run_cli: Run, tmp_path: Path
) -> None:
    """The hint is about the file, and not about the profile in use; the file stays."""
    junk = tmp_path / "junk.json"
    junk.write_text("garbage")
    for mode, word in ((0o644, "chmod 600"), (0o600, "credentials export")):
        junk.chmod(mode)
        refused = run_cli("credentials", "import", str(junk))
        assert refused.returncode != 0
        assert word in refused.stderr
        assert "logout" not in refused.stderr
    assert junk.exists()


def test_a_sign_in_is_moved_into_a_file_or_not_at_all(
    signed_in: Emulator, run_cli: Run, tmp_path: Path
) -> None:
    """Stdout is no file, and a folder that is missing is named as what is missing."""
    refused = run_cli("credentials", "export", "-", cwd=tmp_path)
    assert refused.returncode == 2
    assert list(tmp_path.glob("-*")) == []
    assert "in a folder that exists" in run_cli("credentials", "export", str(tmp_path / "no" / "x")).stderr
    assert run_cli("ask", "hi").returncode == 0
