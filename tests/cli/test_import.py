"""``onplan import``: borrowing a sign-in, or sharing it, as a person does it on the command line."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Options
from onplan.stores import Record, encode_record, open_store

Run = Callable[..., Any]


@pytest.fixture
def codex_home(tmp_path: Path) -> Path:
    return tmp_path / "codex home"


@pytest.fixture
def emulator(
    codex_home: Path, point_at: Callable[[Emulator], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    """An emulator at which the Codex CLI of this machine is signed in."""
    monkeypatch.setenv("CODEX_HOME", str(codex_home))
    options = Options(reuse="revoke-family", codex_home=codex_home, codex_auth=True)
    with Emulator(options) as running:
        point_at(running)
        yield running


@pytest.fixture
def untouched(codex_home: Path, emulator: Emulator) -> Iterator[None]:
    """What the other program keeps is the same afterwards, and no file came to it."""

    def contents() -> dict[str, str]:
        return {path.name: sha256(path.read_bytes()).hexdigest() for path in codex_home.iterdir()}

    before = contents()
    yield
    assert contents() == before


def shown(run_cli: Run, *arguments: str) -> Any:
    return json.loads(run_cli("status", "--json", *arguments).stdout)


def refreshes(emulator: Emulator) -> list[int]:
    return [row["status"] for row in emulator.journal() if row["path"] == "/oauth/token"]


@pytest.mark.usefixtures("untouched")
def test_an_access_token_is_borrowed(emulator: Emulator, run_cli: Run, codex_home: Path) -> None:
    """By default the access token alone is copied; it answers, and `status` says whose it is."""
    done = run_cli("import")

    assert (done.returncode, done.stdout) == (0, "")
    assert "Borrowed the access token of person@example.com" in done.stderr
    assert f"onplan import --share 'codex:{codex_home}'" in done.stderr
    status = shown(run_cli)
    assert (status["borrowed_from"], status["refreshable"]) == (f"codex:{codex_home}", False)
    assert f"borrowed   from codex:{codex_home}" in run_cli("status").stdout
    record, _ = open_store(load_settings().store).load()  # type: ignore[misc]
    assert record.credentials
    assert (record.credentials.refresh_token, record.credentials.id_token) == (None, None)
    assert run_cli("ask", "hi").returncode == 0
    assert refreshes(emulator) == []


@pytest.mark.usefixtures("untouched")
def test_what_is_borrowed_ends(emulator: Emulator, run_cli: Run, codex_home: Path) -> None:
    """When it has expired the error names the source and the command; a refreshed one is borrowed again."""
    run_cli("import")
    store = open_store(load_settings().store)
    record, version = store.load()  # type: ignore[misc]
    old = msgspec.structs.replace(record.credentials, expires_at=time.time() - 1)
    store.save(msgspec.structs.replace(record, credentials=old, obtained_at=None), version)

    expired = run_cli("ask", "hi")

    assert expired.returncode == onplan.SignInAgainError.exit_code
    assert f"onplan import {shlex.quote(f'codex:{codex_home}')}" in expired.stderr
    assert run_cli("import").returncode == 0
    assert run_cli("ask", "hi").returncode == 0
    assert refreshes(emulator) == []


def test_an_expired_token_is_not_borrowed(run_cli: Run, emulator: Emulator, codex_home: Path) -> None:
    """A token that has expired is of no use: it is said how to get a better one, and nothing is kept."""
    emulator.set_access_token_lifetime(-60)
    auth = json.loads((codex_home / "auth.json").read_text())
    auth["tokens"] |= {name: emulator.issue_tokens()[name] for name in ("access_token", "refresh_token")}
    (codex_home / "auth.json").write_text(json.dumps(auth))

    refused = run_cli("import")

    assert refused.returncode == onplan.SignInAgainError.exit_code
    assert f"onplan import --share 'codex:{codex_home}'" in refused.stderr
    assert shown(run_cli)["signed_in"] is False


def test_a_sign_in_is_shared(emulator: Emulator, run_cli: Run, codex_home: Path) -> None:
    """With --share nothing is copied: the profile uses the other program's store, and refreshes it there."""
    before = json.loads((codex_home / "auth.json").read_text())
    done = json.loads(run_cli("import", "--share", "--json").stdout)

    assert done["shared"] is True
    assert done["store"] == done["source"] == f"codex:{codex_home}"
    assert json.loads((codex_home / "auth.json").read_text()) == before
    assert shown(run_cli)["store"] == f"codex:{codex_home}"
    emulator.expire_access_tokens()
    assert run_cli("ask", "hi").returncode == 0
    after = json.loads((codex_home / "auth.json").read_text())
    assert refreshes(emulator) == [200]
    assert after["tokens"]["refresh_token"] != before["tokens"]["refresh_token"]
    assert after["tokens"]["login_owner_id"] == before["tokens"]["login_owner_id"]


def test_a_shared_store_is_found_again(
    emulator: Emulator, run_cli: Run, codex_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile names the folder itself: without CODEX_HOME it is still the same."""
    run_cli("import", "--share")
    monkeypatch.delenv("CODEX_HOME")

    assert shown(run_cli)["store"] == f"codex:{codex_home}"


def test_borrowing_gives_way_to_sharing(emulator: Emulator, run_cli: Run) -> None:
    """Who shares what was borrowed before keeps no copy of the token, and can do so twice."""
    run_cli("import")
    copy = Path(load_settings().store.removeprefix("file:"))
    assert copy.exists()

    assert run_cli("import", "--share").returncode == 0
    assert not copy.exists()
    assert run_cli("import", "--share").returncode == 0


@pytest.mark.parametrize("share", [(), ("--share",)])
@pytest.mark.usefixtures("untouched")
def test_a_sign_in_is_not_given_up_silently(emulator: Emulator, run_cli: Run, share: tuple[str, ...]) -> None:
    """A profile's own sign-in is replaced only with --force; another profile may have the other."""
    settings = load_settings()
    own = onplan.OAuthCredentials(access_token="a", refresh_token="r", email="own@example.com")
    open_store(settings.store).save(Record(credentials=own), None)
    remember_profile(settings)

    refused = run_cli("import", *share)

    assert refused.returncode == onplan.CredentialError.exit_code
    assert "own@example.com" in refused.stderr
    assert "--force" in refused.stderr
    assert shown(run_cli)["email"] == "own@example.com"
    assert run_cli("import", *share, "--profile", "other").returncode == 0
    assert shown(run_cli, "--profile", "default")["email"] == "own@example.com"
    assert run_cli("import", *share, "--force", "--profile", "default").returncode == 0
    assert shown(run_cli)["email"] == "person@example.com"


def test_what_was_given_up_is_signed_out_with_the_rest(emulator: Emulator, run_cli: Run) -> None:
    """A sign-in that --share --force leaves behind is told, and `logout --all` ends it, too."""
    before = load_settings().store
    own = onplan.OAuthCredentials(access_token="a", refresh_token="r", issuer=emulator.issuer)
    open_store(before).save(Record(credentials=own), None)

    done = run_cli("import", "--share", "--force")
    assert (done.returncode, f"onplan logout --store {shlex.quote(before)}" in done.stderr) == (0, True)
    ended = json.loads(run_cli("logout", "--all", "--json").stdout)

    assert before in [row["store"] for row in ended if row["was_signed_in"]]
    assert open_store(before).load() is None


def test_a_lender_that_is_signed_out_as_well_does_not_go_on_working(emulator: Emulator, run_cli: Run) -> None:
    """`logout --all` says of a borrowed token what is true when it has ended, whichever came first."""
    assert run_cli("import", "--profile", "borrower").returncode == 0
    assert "keeps working" in run_cli("logout", "--profile", "borrower").stderr
    assert run_cli("import", "--profile", "borrower").returncode == 0
    assert run_cli("import", "--share", "--profile", "sharer").returncode == 0

    told = run_cli("logout", "--all").stderr

    assert "its source, is signed out as well" in told
    assert "keeps working" not in told


@pytest.mark.parametrize("record", [b"worn", Record(api_key="sk-left-behind")], ids=["damaged", "api key"])
def test_whatever_is_left_behind_is_told(
    emulator: Emulator, run_cli: Run, tmp_path: Path, record: bytes | Record
) -> None:
    """Also a damaged record and an API key are left alone with a word, and sharing succeeds."""
    kept = tmp_path / "kept.json"
    kept.write_bytes(record if isinstance(record, bytes) else encode_record(record))
    kept.chmod(0o600)
    remember_profile(load_settings(store=f"file:{kept}"))

    done = run_cli("import", "--share", "--force")

    assert (done.returncode, f"onplan logout --store {shlex.quote(f'file:{kept}')}" in done.stderr) == (
        0,
        True,
    )
    assert kept.exists()


@pytest.mark.usefixtures("untouched")
def test_another_account_is_not_borrowed_silently(emulator: Emulator, run_cli: Run) -> None:
    """Who borrowed one account does not get another when the other program has changed its own."""
    settings = load_settings()
    other = onplan.OAuthCredentials(access_token="a", account_id="acct-other")
    open_store(settings.store).save(Record(credentials=other, borrowed_from="codex:"), None)

    assert run_cli("import").returncode == onplan.CredentialError.exit_code
    assert run_cli("import", "--force").returncode == 0


@pytest.mark.usefixtures("untouched")
def test_any_store_can_be_a_source(
    emulator: Emulator, run_cli: Run, tmp_path: Path, monkeypatch: Any
) -> None:
    """Any file is borrowed from, or shared, under its full path; it is not changed."""
    path = tmp_path / "theirs.json"
    record, _ = open_store("codex:").load()  # type: ignore[misc]
    open_store(f"file:{path}").save(record, None)
    before = path.read_bytes()
    monkeypatch.setenv("HOME", str(tmp_path))

    assert json.loads(run_cli("import", "file:~/theirs.json", "--json").stdout)["source"] == f"file:{path}"
    assert shown(run_cli)["borrowed_from"] == f"file:{path}"
    assert run_cli("import", "--share", "file:~/theirs.json").returncode == 0
    assert shown(run_cli)["store"] == f"file:{path}"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no sign-in in"),
        ('{"OPENAI_API_KEY": "sk-1"}', "with an API key, not with a plan"),
        ('{"OPENAI_API_KEY": null, "tokens": null}', "There is no sign-in in"),
    ],
)
def test_where_there_is_nothing_to_import(
    run_cli: Run, tmp_path: Path, content: str | None, sentence: str
) -> None:
    """A CLI that is not signed in with a plan is told from one that is signed in with an API key."""
    if content is not None:
        (tmp_path / "auth.json").write_text(content)

    refused = run_cli("import", f"codex:{tmp_path}")

    assert (refused.returncode, sentence in refused.stderr) == (onplan.NotSignedInError.exit_code, True)
    assert "Run `onplan login`" in refused.stderr


@pytest.mark.parametrize("share", [(), ("--share",)])
@pytest.mark.parametrize("given", ["{home}/auth.json", "{home}", "codex:{home}/auth.json", "codex:{home}"])
@pytest.mark.usefixtures("untouched")
def test_the_file_or_its_folder_may_be_named(
    emulator: Emulator, run_cli: Run, codex_home: Path, given: str, share: tuple[str, ...]
) -> None:
    """The Codex CLI's sign-in is found by its folder or by its file, as a path or as a store."""
    done = run_cli("import", *share, "--json", given.format(home=codex_home))

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["source"] == f"codex:{codex_home}"


def test_a_linked_file_is_the_one_in_its_folder(
    emulator: Emulator, run_cli: Run, codex_home: Path, tmp_path: Path
) -> None:
    """A link that is called auth.json stands in the CLI's folder, wherever it leads."""
    folder = tmp_path / "linked"
    folder.mkdir()
    (folder / "auth.json").symlink_to(codex_home / "auth.json")

    done = json.loads(run_cli("import", "--json", str(folder / "auth.json")).stdout)

    assert done["source"] == f"codex:{folder}"


def test_a_path_may_be_that_of_a_file_of_ours(
    emulator: Emulator, run_cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other file is a store of onplan's, under its full path."""
    record, _ = open_store("codex:").load()  # type: ignore[misc]
    open_store(f"file:{tmp_path}/theirs.json").save(record, None)
    monkeypatch.setenv("HOME", str(tmp_path))

    for given in (f"{tmp_path}/theirs.json", "~/theirs.json"):
        assert json.loads(run_cli("import", "--json", given).stdout)["source"] == (
            f"file:{tmp_path}/theirs.json"
        )


@pytest.mark.parametrize("given", ["{}", "codex:{}", "file:{}", "{}/auth.json"])
def test_what_is_missing_is_named(run_cli: Run, tmp_path: Path, given: str) -> None:
    """A path where nothing is, is told as that, with what may be named instead."""
    missing = tmp_path / "missing"

    refused = run_cli("import", given.format(missing))

    assert refused.returncode == onplan.NotSignedInError.exit_code
    assert f"There is nothing at {missing}" in refused.stderr
    assert "onplan import PATH" in refused.stderr


def test_another_file_is_not_offered_for_removal(run_cli: Run, tmp_path: Path) -> None:
    """What is no sign-in is not to be moved away or removed, but something else to be named."""
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "thesis.txt").chmod(0o600)

    refused = run_cli("import", str(tmp_path / "thesis.txt"))

    assert refused.returncode == onplan.StoreDamagedError.exit_code
    assert "Give an onplan store, the Codex CLI's folder" in refused.stderr
    assert "logout" not in refused.stderr


@pytest.mark.usefixtures("untouched")
def test_a_borrowed_token_is_kept_somewhere(emulator: Emulator, run_cli: Run) -> None:
    """Into a store that ends with the command nothing is imported."""
    refused = run_cli("import", "--store", "memory:")

    assert (refused.returncode, "forgets everything" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("untouched")
def test_an_import_writes_no_foreign_store(emulator: Emulator, run_cli: Run, codex_home: Path) -> None:
    """Neither onto the source itself nor into the Codex CLI's folder is anything copied."""
    for target in (f"codex:{codex_home}", "codex:", f"file:{codex_home}/../codex home/auth.json"):
        assert run_cli("import", "--store", target).returncode == 2
    run_cli("import", "--share")
    refused = run_cli("import")
    assert (refused.returncode, "--profile NAME" in refused.stderr) == (2, True)


@pytest.mark.parametrize("source", ["env:NAME", "command:x", "memory:"])
def test_only_what_keeps_a_refresh_is_shared(run_cli: Run, source: str) -> None:
    """A source that cannot take the refreshed sign-in is not shared; the way to borrow is named."""
    refused = run_cli("import", "--share", source)

    assert (refused.returncode, "without --share" in refused.stderr) == (2, True)


def test_sharing_keeps_nothing_elsewhere(emulator: Emulator, run_cli: Run) -> None:
    """--share and --store contradict each other."""
    assert run_cli("import", "--share", "--store", "file:x").returncode == 2


def test_a_variable_that_overrides_is_named(emulator: Emulator, run_cli: Run, monkeypatch: Any) -> None:
    """If ONPLAN_STORE hides what is to be shared, that is said."""
    monkeypatch.setenv("ONPLAN_STORE", "file:/nowhere/else.json")

    assert "ONPLAN_STORE" in run_cli("import", "--share").stderr
