"""Where an API key comes from, which server it is sent to, and what is said when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.config.settings import Settings, load_settings
from onplan.errors import ConfigurationError, NotSignedInError, SignInAgainError, StoreError
from onplan.stores import CredentialStore, Record, Stored
from onplan.stores.env import EnvironmentStore
from onplan.stores.memory import MemoryStore
from onplan.tokens.api_key import KeyHolder, keep_key, require_sign_in, token_manager_for
from onplan.tokens.manager import TokenManager
from onplan.types import APIKey, OAuthCredentials

PLATFORM = "https://api.openai.com/v1"
THEIRS = "https://llm.example.org/v1"
LOCAL = "http://127.0.0.1:11434/v1"
SIGN_IN = OAuthCredentials(access_token="at", refresh_token="rt")


def settings_at(base_url: str = PLATFORM, backend: str = "openai") -> Settings:
    return load_settings(backend=backend, base_url=base_url, profile="work")


def kept(key: str | None = "stored", base_url: str | None = None) -> MemoryStore:
    return MemoryStore(record=Record(api_key=key, api_key_for=base_url))


class UnreadableStore(MemoryStore):
    """A store that nobody may ask."""

    def load(self) -> Stored | None:
        raise StoreError("It was read.")


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "exported")


# --- where it comes from ---

ENVIRONMENT = "the environment variable OPENAI_API_KEY"
MEMORY = "the memory of this process"


@pytest.mark.usefixtures("variable")
@pytest.mark.parametrize(
    ("base_url", "store", "given", "key", "source"),
    [
        (PLATFORM, UnreadableStore(), "given", "given", "the program"),
        (THEIRS, UnreadableStore(), " given\n", "given", "the program"),
        (PLATFORM, UnreadableStore(), None, "exported", ENVIRONMENT),
        (PLATFORM, kept(), None, "exported", ENVIRONMENT),
        (THEIRS, kept(), None, "stored", MEMORY),
        (THEIRS, kept(base_url=THEIRS), None, "stored", MEMORY),
        (THEIRS, kept(base_url="https://LLM.example.org:443/api"), None, "stored", MEMORY),
        (THEIRS, kept(base_url=PLATFORM), None, "exported", ENVIRONMENT),
        (THEIRS, kept(""), None, "exported", ENVIRONMENT),
        (THEIRS, kept(None), None, "exported", ENVIRONMENT),
        (THEIRS, MemoryStore(), None, "exported", ENVIRONMENT),
    ],
)
def test_which_key_counts(
    base_url: str, store: CredentialStore, given: str | None, key: str, source: str
) -> None:
    """The program's; at OpenAI the variable, then the store; elsewhere the key kept for that server first."""
    holder = KeyHolder(settings_at(base_url), store, given)

    assert holder.credentials() == APIKey(key)
    assert holder.source() == source


@pytest.mark.parametrize(
    ("base_url", "store", "key"),
    [
        (PLATFORM, kept(), "stored"),
        (PLATFORM, kept(base_url="https://eu.api.openai.com/v1"), "stored"),
        (THEIRS, kept(base_url=THEIRS), "stored"),
        (LOCAL, kept(base_url=LOCAL), "stored"),
        (LOCAL, kept(base_url=THEIRS), ""),
        (LOCAL, MemoryStore(), ""),
        ("http://localhost/v1", MemoryStore(), ""),
        ("http://[::1]:8000/v1", MemoryStore(), ""),
    ],
)
def test_without_the_variable(base_url: str, store: CredentialStore, key: str) -> None:
    """The store's key if it is for that server; a server on this machine needs none."""
    assert KeyHolder(settings_at(base_url), store).credentials().access_token == key


def test_an_empty_key_is_none() -> None:
    """A program that passes an empty key gets the same error as without one, and no other key is taken."""
    for given in ("", " \n"):
        with pytest.raises(NotSignedInError):
            KeyHolder(settings_at(), kept(), given).credentials()
        assert KeyHolder(settings_at(LOCAL), kept(), given).credentials() == APIKey()


def test_where_no_key_is_there_is_no_source() -> None:
    """Nothing is said to be the source of no key."""
    assert KeyHolder(settings_at(), MemoryStore()).source() is None
    assert KeyHolder(settings_at(THEIRS), kept(base_url=PLATFORM)).source() is None


OTHER_SERVER = f" The one in {MEMORY} was given for {THEIRS}."


@pytest.mark.parametrize(
    ("base_url", "store", "more"),
    [
        (PLATFORM, MemoryStore(), ""),
        (PLATFORM, kept(None), ""),
        (PLATFORM, kept("", THEIRS), ""),
        (PLATFORM, kept(base_url=THEIRS), OTHER_SERVER),
        ("https://other.example/v1", kept(base_url=THEIRS), OTHER_SERVER),
    ],
)
def test_what_is_said_without_a_key(base_url: str, store: CredentialStore, more: str) -> None:
    """The error names the server, and a key that is kept for another one; its hint the ways to give one."""
    with pytest.raises(NotSignedInError) as caught:
        KeyHolder(settings_at(base_url), store).credentials()

    assert str(caught.value) == f"There is no API key for openai at {base_url}.{more}"
    assert caught.value.hint == (
        "Set OPENAI_API_KEY, pass `api_key=…`, or run `onplan login --backend openai --api-key`."
    )


async def test_the_store_is_read_once() -> None:
    """A key that was found is used from then on, by threads and tasks, even if the store is emptied."""
    store = kept()
    holder = KeyHolder(settings_at(), store)
    first = await holder.credentials_async()
    store.delete()

    assert first == APIKey("stored")
    assert holder.credentials() is first
    assert await holder.credentials_async() is first
    other = KeyHolder(settings_at(), store)
    with pytest.raises(NotSignedInError):
        await other.credentials_async()
    with pytest.raises(NotSignedInError):
        other.credentials()


async def test_a_refused_key_is_not_replaced() -> None:
    """A key cannot be refreshed, so its refusal is final; and there is nothing to wait for at the end."""
    holder = KeyHolder(settings_at(), kept())
    holder.drain()
    await holder.drain_async()

    for again in (False, True):
        with pytest.raises(SignInAgainError, match="API key is not accepted"):
            holder.replace("stored", again=again)
        with pytest.raises(SignInAgainError, match="API key is not accepted"):
            await holder.replace_async("stored", again=again)


def test_no_key_is_printed() -> None:
    """The printed form of what holds a key does not show it."""
    holder = KeyHolder(settings_at(), kept(), "secret-key")
    found = holder._find()

    assert "secret-key" not in f"{holder!r} {holder.credentials()!r} {found!r}"


# --- which kind of credential a backend takes ---


@pytest.mark.parametrize(
    ("backend", "base_url", "kind"),
    [
        ("openai", PLATFORM, KeyHolder),
        ("openai", THEIRS, KeyHolder),
        ("openai-codex", THEIRS, TokenManager),
        ("chatgpt-plan", THEIRS, TokenManager),
    ],
)
def test_what_a_backend_is_paid_with(backend: str, base_url: str, kind: type) -> None:
    """A key where the backend takes one, else a sign-in."""
    settings = settings_at(base_url, backend)

    assert type(token_manager_for(settings, MemoryStore(), _never, None)) is kind


def _never(*arguments: object, **options: object) -> Any:
    raise AssertionError("Nothing is to be sent.")


def test_a_key_is_not_for_a_plan() -> None:
    """Where the plan pays, a key is refused when the client is made; an empty one as well."""
    for key in ("sk", ""):
        with pytest.raises(ConfigurationError, match="openai-codex takes no API key") as caught:
            token_manager_for(settings_at(THEIRS, "openai-codex"), MemoryStore(), _never, key)
        assert "`--backend openai`" in caught.value.hint


def test_a_plan_that_stays_on_this_machine_is_not_kept_elsewhere() -> None:
    """The store is refused before anything is read from it."""
    with pytest.raises(ConfigurationError, match="is not kept in env"):
        token_manager_for(settings_at(THEIRS, "chatgpt-plan"), EnvironmentStore("TOKEN"), _never, None)


def test_an_empty_store_names_profile_and_backend() -> None:
    """The token manager's error has the command that signs in to this profile and backend."""
    manager = token_manager_for(settings_at(THEIRS, "chatgpt-plan"), MemoryStore(), _never, None)

    with pytest.raises(NotSignedInError) as caught:
        manager.credentials()
    assert "--profile work" in caught.value.hint
    assert "--backend chatgpt-plan" in caught.value.hint


def test_the_network_is_prepared_before_a_refresh() -> None:
    """What sending needs is set up when a refresh is due, and not before."""
    expired = Record(credentials=OAuthCredentials(access_token="at", refresh_token="rt", expires_at=1.0))

    def prepare() -> None:
        raise SignInAgainError("It was prepared.")

    settings = load_settings(backend="openai-codex")
    manager = token_manager_for(settings, MemoryStore(record=expired), _never, None, prepare=prepare)

    with pytest.raises(SignInAgainError, match="prepared"):
        manager.credentials()


def test_a_command_that_needs_a_sign_in() -> None:
    """A sign-in is what it is; a key is none, and the error says that this backend takes one."""
    backend = settings_at().backend

    assert require_sign_in(SIGN_IN, backend) is SIGN_IN
    with pytest.raises(ConfigurationError, match="openai has no sign-in: it takes an API key") as caught:
        require_sign_in(APIKey("sk"), backend)
    assert "`--backend`" in caught.value.hint


# --- keeping one ---


def record_in(store: CredentialStore) -> Record:
    stored = store.load()
    assert stored
    return stored.record


@pytest.mark.parametrize("before", [None, Record(), Record(api_key="old", api_key_for=PLATFORM)], ids=str)
def test_a_key_is_kept_for_its_server(before: Record | None) -> None:
    """It replaces an earlier one, and is for the server of these settings alone."""
    store = MemoryStore(record=before)

    keep_key(settings_at(THEIRS), store, "new")

    assert (record_in(store).api_key, record_in(store).api_key_for) == ("new", THEIRS)
    assert KeyHolder(settings_at(THEIRS), store).credentials() == APIKey("new")


def test_a_profile_has_a_key_or_a_sign_in() -> None:
    """A sign-in is not replaced by a key: the hint gives the key a profile of its own."""
    store = MemoryStore(record=Record(credentials=SIGN_IN))

    with pytest.raises(ConfigurationError, match="The profile work is signed in") as caught:
        keep_key(settings_at(), store, "new")
    assert "`--profile openai`" in caught.value.hint
    assert record_in(store) == Record(credentials=SIGN_IN)


def test_a_key_is_not_kept_for_a_plan() -> None:
    """A backend that the plan pays for has no use for a key."""
    with pytest.raises(ConfigurationError, match="openai-codex takes no API key"):
        keep_key(settings_at(THEIRS, "openai-codex"), MemoryStore(), "new")


class SignInsOnly(MemoryStore):
    """A store that drops what is no sign-in, as the Codex CLI's file does."""

    def load(self) -> Stored | None:
        found = super().load()
        return found and Stored(Record(credentials=found.record.credentials), found.version)


class Forgetful(MemoryStore):
    """A store that keeps nothing."""

    def load(self) -> Stored | None:
        return None


@pytest.mark.parametrize("store", [SignInsOnly(), Forgetful()], ids=["sign-ins only", "nothing"])
def test_a_store_that_drops_the_key_is_noticed(store: CredentialStore) -> None:
    """The key is looked for after saving; where it is not, another store is asked for."""
    with pytest.raises(StoreError, match=f"{MEMORY} holds sign-ins only") as caught:
        keep_key(settings_at(), store, "new")
    assert "`--store`" in caught.value.hint
