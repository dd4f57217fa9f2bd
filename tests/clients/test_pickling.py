"""Clients, answers and errors in other processes."""

from __future__ import annotations

import asyncio
import copy
import inspect
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import httpx2
import pytest

import onplan
from onplan import errors
from onplan.emulator import Emulator
from onplan.stores.memory import MemoryStore

SPAWN = multiprocessing.get_context("spawn")


def test_a_pool_of_processes_needs_one_refresh(signed_in: Emulator) -> None:
    """Each process makes a client of the same settings; one of them refreshes the token for all."""
    signed_in.expire_access_tokens()
    prompts = [f"number {number}" for number in range(9)]
    client = onplan.Client(model="gpt-5.5")
    with ProcessPoolExecutor(3, mp_context=SPAWN) as processes:
        answers = list(processes.map(client.complete, prompts))

    assert [answer.text for answer in answers] == [f"You said: {prompt}" for prompt in prompts]
    assert sum(row["path"] == "/oauth/token" for row in signed_in.journal()) == 1


def test_an_error_comes_back_from_another_process(signed_in: Emulator) -> None:
    """With what it says."""
    signed_in.arm("usage_limit_429")
    client = onplan.Client(model="gpt-5.5")
    with (
        ProcessPoolExecutor(1, mp_context=SPAWN) as processes,
        pytest.raises(onplan.UsageLimitError) as caught,
    ):
        processes.submit(client.complete, "hi").result()
    assert caught.value.resets_at
    assert caught.value.window_minutes == 300


@pytest.mark.parametrize("make", [onplan.Client, onplan.AsyncClient, onplan.OpenAICodexProvider])
def test_a_client_is_made_anew_from_its_arguments(signed_in: Emulator, make: Any) -> None:
    """In the profile that was in use; it asks as the other one did, and is of the same class."""
    made = make(model="gpt-5.5", reasoning_effort="low", timeout=5)
    for client in (pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert type(client) is make
        assert client is not made
        assert asked_by(client).text == "You said: hi"
        body = signed_in.journal()[-1]["body"]
        assert (body["model"], body["reasoning"]["effort"]) == ("gpt-5.5", "low")


def asked_by(client: onplan.Client | onplan.AsyncClient) -> onplan.CompletionResponse:
    async def ask(client: onplan.AsyncClient) -> onplan.CompletionResponse:
        async with client:
            return await client.complete("hi")

    if isinstance(client, onplan.AsyncClient):
        return asyncio.run(ask(client))
    with client:
        return client.complete("hi")


def test_the_profile_in_use_is_that_of_the_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process takes for the profile in use does not change whom the client is."""
    monkeypatch.setenv("ONPLAN_PROFILE", "work")
    pickled = pickle.dumps(onplan.Client())
    monkeypatch.setenv("ONPLAN_PROFILE", "home")

    with pytest.raises(onplan.NotSignedInError, match="work"):
        pickle.loads(pickled).complete("hi")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "openai", "api_key": "sk-secret-key"}, "its api_key is a secret"),
        ({"proxy": "http://me:secret-word@127.0.0.1:1"}, "its proxy has a password"),
        ({"store": MemoryStore()}, "its store is an object of this process"),
        ({"http_client": httpx2.Client()}, "its http_client is an object of this process"),
    ],
)
def test_no_secret_is_written_into_a_pickle(options: Any, words: str) -> None:
    """What cannot be given away is an error that says what to do, without the secret."""
    client = onplan.Client(**options)
    with pytest.raises(onplan.ConfigurationError, match=words) as caught:
        pickle.dumps(client)
    assert "secret-" not in str(caught.value) + caught.value.hint
    if http_client := options.get("http_client"):
        http_client.close()


def test_a_provider_with_credentials_keeps_them() -> None:
    """They are in its memory, and are not written into a pickle."""
    provider = onplan.OpenAICodexProvider(onplan.OAuthCredentials(access_token="secret-token"))
    with pytest.raises(onplan.ConfigurationError, match="store is an object"):
        pickle.dumps(provider)


def every_error() -> list[type[onplan.OnplanError]]:
    return [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, onplan.OnplanError)
    ]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_can_be_pickled(kind: Any) -> None:
    """Also one that is not made from its sentence; an error that cannot be read breaks a whole pool."""
    names = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is parameter.empty
    ]
    error = kind(**dict.fromkeys(names, "x"))
    error.hint, error.resets_at, error.parts = "Do this.", 5.0, [onplan.Text("a")]
    read = pickle.loads(pickle.dumps(error))

    assert type(read) is kind
    assert (str(read), read.to_dict(), read.parts) == (str(error), error.to_dict(), error.parts)
