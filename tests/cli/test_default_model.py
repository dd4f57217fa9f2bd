"""The model of a command that names none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from msgspec.structs import replace

from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import open_store

Run = Callable[..., subprocess.CompletedProcess[str]]


def catalogues(emulator: Emulator) -> int:
    """How often the catalogue was asked for."""
    return sum(row["path"].endswith("/models") for row in emulator.journal())


def test_a_second_command_asks_for_no_catalogue(signed_in: Emulator, run_cli: Run) -> None:
    """The first one keeps what it was listed; ``models`` always asks."""
    for _ in range(2):
        assert run_cli("ask", "hi").stdout == "You said: hi\n"
    assert catalogues(signed_in) == 1

    run_cli("models")
    assert catalogues(signed_in) == 2
    run_cli("ask", "hi")
    assert catalogues(signed_in) == 2


def test_a_kept_model_that_is_gone_is_replaced(signed_in: Emulator, run_cli: Run) -> None:
    """The catalogue is asked for again, and the answer comes from the model that is the best now."""
    assert run_cli("ask", "hi").returncode == 0
    kept = load_settings().home / "models.json"
    kept.write_text(kept.read_text().replace('"id":"', '"id":"gone-'))

    assert run_cli("ask", "hi").stdout == "You said: hi\n"


def test_another_plan_in_the_same_store_asks_anew(signed_in: Emulator, run_cli: Run) -> None:
    """What was kept is of one account and plan; another sign-in may have other models."""
    assert run_cli("ask", "hi").returncode == 0
    store = open_store(load_settings().store)
    loaded = store.load()
    assert loaded
    assert loaded.record.credentials
    other = replace(loaded.record.credentials, plan="pro")
    store.save(replace(loaded.record, credentials=other), loaded.version)

    assert run_cli("ask", "hi").returncode == 0
    assert catalogues(signed_in) == 2
    assert run_cli("ask", "hi").returncode == 0
    assert catalogues(signed_in) == 2
