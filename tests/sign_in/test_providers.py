"""The provider for agents that hold their own credentials."""

from __future__ import annotations

import urllib.parse
import urllib.request

import onplan
from onplan.emulator import Emulator

from ..conftest import redirected


async def _sign_in() -> onplan.OAuthCredentials:
    url, verifier, state = onplan.OpenAICodexProvider.get_authorization_url()
    fields = urllib.parse.parse_qs(urllib.parse.urlsplit(redirected(url)).query)
    assert fields["state"] == [state]
    return await onplan.OpenAICodexProvider.exchange_code(fields["code"][0], verifier)


async def test_an_agent_holds_its_own_credentials(emulator: Emulator) -> None:
    """URL, code, credentials, answer: no store is read or written."""
    credentials = await _sign_in()
    async with onplan.OpenAICodexProvider.from_credentials(credentials) as provider:
        assert isinstance(provider, onplan.Provider)
        assert provider.name == "openai-codex"
        assert (await provider.complete("hi")).text == "You said: hi"
        assert [chunk.type async for chunk in provider.complete_stream("hi")][-1] == "done"
        assert (await provider.list_models())[0].provider == "openai-codex"
        assert await provider.credentials() == credentials


async def test_an_agent_gets_the_refreshed_credentials(emulator: Emulator) -> None:
    """After a refresh the provider gives the rotated set, for the agent to keep."""
    credentials = await _sign_in()
    async with onplan.OpenAICodexProvider.from_credentials(credentials) as provider:
        emulator.expire_access_tokens()
        await provider.complete("hi")
        refreshed = await provider.credentials()

    assert refreshed.refresh_token != credentials.refresh_token
    assert refreshed.access_token != credentials.access_token


def test_the_authorization_url_is_fresh_each_time(emulator: Emulator) -> None:
    """Two sign-ins share no state, verifier or challenge, and their secrets are not printed."""
    first, second = (onplan.OpenAICodexProvider.get_authorization_url() for _ in range(2))

    assert first.url.startswith(f"{emulator.issuer}/oauth/authorize?")
    assert "redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback" in first.url
    assert not {first.url, first.verifier, first.state} & {second.url, second.verifier, second.state}
    assert first.verifier not in repr(first)
