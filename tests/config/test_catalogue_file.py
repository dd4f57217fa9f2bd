"""The model catalogue on disk."""

from __future__ import annotations

import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from onplan.config.catalogue_file import LASTS, PATIENCE, CatalogueFile
from onplan.config.private_files import locked_for_change
from onplan.config.settings import load_settings
from onplan.errors import ConnectError
from onplan.turn.catalogue_cache import Listing
from onplan.types import ModelInfo

NOW = 1_800_000_000.0
MODELS = [ModelInfo(id="gpt-9", name="GPT-9", provider="openai-codex", reasoning_efforts=["low"])]


@pytest.fixture
def settings(tmp_path):
    """Settings whose folder is empty."""
    return load_settings(environment={"ONPLAN_HOME": str(tmp_path / "home")})


def kept(settings, now=NOW, account="a"):
    """What another process finds there."""
    return list(CatalogueFile(settings).models(now, account))


def test_what_was_listed_is_there_for_a_day(settings):
    """In a private file; a clock that was set back since then makes it count as old."""
    assert kept(settings) == []
    CatalogueFile(settings).ended(Listing(MODELS), NOW, "a")

    assert MODELS == kept(settings) == kept(settings, NOW + LASTS - 1)
    assert kept(settings, NOW + LASTS) == kept(settings, NOW - 1) == []
    if sys.platform != "win32":
        assert 0o600 == stat.S_IMODE((settings.home / "models.json").stat().st_mode)


def test_each_profile_store_backend_and_address_has_its_own(settings):
    """Neither is taken for another, nor written over by it."""
    others = [
        replace(settings, profile="other"),
        replace(settings, base_url="https://example.org"),
        replace(settings, backend=replace(settings.backend, name="other")),
        replace(settings, store="env:ANOTHER_ACCOUNT"),
    ]
    for number, each in enumerate([settings, *others]):
        assert kept(each) == []
        named = ModelInfo(id=f"gpt-{number}", name="", provider="")
        CatalogueFile(each).ended(Listing([named]), NOW, "a")

    assert ["gpt-0", "gpt-1", "gpt-2", "gpt-3", "gpt-4"] == [kept(each)[0].id for each in [settings, *others]]


def test_what_the_backend_did_not_list_is_not_kept(settings):
    """Neither the built-in models nor a failure takes the place of what is there."""
    CatalogueFile(settings).ended(Listing(MODELS), NOW, "a")
    CatalogueFile(settings).ended(Listing([], ConnectError("x")), NOW)
    CatalogueFile(settings).ended(ConnectError("x"), NOW)

    assert MODELS == kept(settings)


def test_another_account_in_the_same_store_finds_none(settings):
    """What it is offered then takes the place of the earlier account's models; the file tells neither."""
    CatalogueFile(settings).ended(Listing(MODELS), NOW, "a")
    assert kept(settings, account="b") == []

    other = [ModelInfo(id="gpt-10", name="GPT-10", provider="openai-codex")]
    file = CatalogueFile(settings)
    file.ended(Listing(other), NOW, "b")
    assert list(file.models(NOW, "a")) == []
    assert kept(settings, account="b") == other
    assert kept(settings, account="a") == []


def test_a_file_of_an_earlier_onplan_counts_as_empty(settings):
    """It did not say whose models they are."""
    file = CatalogueFile(settings)
    file.ended(Listing(MODELS), NOW, "a")
    path = settings.home / "models.json"
    path.write_text(path.read_text().replace('"account":"a",', ""))

    assert kept(settings) == []


def test_a_lock_that_another_program_holds_delays_nothing(settings):
    """The listing is good all the same, and is not written."""
    with locked_for_change(settings.home / "models.json"):
        file = CatalogueFile(settings, patience=0.01)
        file.ended(Listing(MODELS), NOW, "a")
        assert list(file.models(NOW, "a")) == MODELS
        assert kept(settings) == []
        file.forget()


def test_what_waits_for_the_lock_waits_shortly():
    """A command goes on without the file after half a second at most."""
    assert PATIENCE <= 0.5


def test_it_can_be_forgotten(settings):
    """The next process asks again; what others keep stays."""
    other = replace(settings, profile="other")
    for each in (settings, other):
        CatalogueFile(each).ended(Listing(MODELS), NOW, "a")
    CatalogueFile(settings).forget()

    assert (kept(settings), kept(other)) == ([], MODELS)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"a": 1}', b"\xff", b"[" * 5000])
def test_a_damaged_file_counts_as_empty(settings, text):
    """It is written anew."""
    settings.home.mkdir(parents=True)
    (settings.home / "models.json").write_bytes(text)
    assert kept(settings) == []
    CatalogueFile(settings).ended(Listing(MODELS), NOW, "a")

    assert MODELS == kept(settings)


def test_a_folder_that_cannot_be_written_is_left_alone(settings, tmp_path):
    """The listing is good all the same."""
    (tmp_path / "home").write_text("a file where the folder would be")
    file = CatalogueFile(settings)
    file.ended(Listing(MODELS), NOW, "a")

    assert MODELS == file.models(NOW, "a")


def test_an_account_without_a_home_folder_keeps_none(settings):
    """Nothing fails for it."""
    file = CatalogueFile(replace(settings, folder=None))
    file.ended(Listing(MODELS), NOW, "a")
    assert MODELS == file.models(NOW, "a")
    file.forget()

    assert list(file.models(NOW, "a")) == []


def test_writers_at_once_lose_nothing(settings):
    """Each reads, adds its own and writes; what one forgets another does not bring back."""
    several = [replace(settings, profile=f"p{number}") for number in range(12)]
    start = Barrier(len(several))

    def write(own):
        start.wait(30)
        CatalogueFile(own, patience=60).ended(Listing(MODELS), NOW, "a")

    with ThreadPoolExecutor(len(several)) as pool:
        list(pool.map(write, several))

    assert [kept(own) for own in several] == [MODELS] * len(several)


def test_the_file_holds_no_argument_of_a_stores_helper(settings):
    """A store's specification may hold a secret, such as an argument of a `command:` store's program."""
    own = replace(settings, store="command:/usr/bin/helper --token s3cret")
    CatalogueFile(own).ended(Listing(MODELS), NOW, "a")

    written = (settings.home / "models.json").read_text()
    assert "gpt-9" in written
    assert "s3cret" not in written
