"""``/v1/models``: what the plan offers, without asking the backend for it every time."""

from __future__ import annotations

import pytest

from onplan.emulator import Emulator
from onplan.service import ServiceOptions

from .conftest import Asking, serving


def listings(emulator: Emulator) -> int:
    """How often the backend was asked for its models."""
    return sum(row["path"].endswith("/models") for row in emulator.journal())


def test_the_backend_is_asked_for_its_models_once(signed_in: Emulator) -> None:
    """Clients list models at every start, some with a timeout of seconds."""

    async def use(asking: Asking) -> None:
        first = await asking.ask("GET", "/v1/models")
        again = await asking.ask("GET", "/v1/models")
        one = await asking.ask("GET", "/v1/models/gpt-5.5")

        assert first.json == again.json
        assert one.json in first.json["data"]
        assert {"id": "gpt-5.5", "object": "model", "owned_by": "openai"}.items() <= one.json.items()

    serving(use)
    assert listings(signed_in) == 1


def test_a_model_that_is_not_known_is_looked_for_again(signed_in: Emulator) -> None:
    """It may have appeared since; a name of the person's own means its model."""

    async def use(asking: Asking) -> None:
        await asking.ask("GET", "/v1/models")
        missing = await asking.ask("GET", "/v1/models/gpt-0")
        other = await asking.ask("GET", "/v1/models/fast")

        assert (missing.status, missing.error["code"]) == (404, "model_not_found")
        assert other.json["id"] == "gpt-5.5"

    serving(use, ServiceOptions(aliases={"fast": "gpt-5.5"}))
    assert listings(signed_in) == 2


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/v1/responses", "/v1 twice"),
        ("/v1/messages", "Anthropic"),
        ("/v1/conversations", "previous_response_id"),
        ("/v1/embeddings", "nothing that could answer it"),
        ("/v1/elsewhere", "Unknown path /v1/elsewhere."),
    ],
)
def test_a_path_that_there_is_not_says_what_to_do(signed_in: Emulator, path: str, told: str) -> None:
    """What clients ask for by mistake, or of another API."""

    async def use(asking: Asking) -> None:
        answer = await asking.ask("POST", path, {})
        assert (answer.status, answer.error["code"]) == (404, "unknown_url")
        assert told in answer.error["message"]

    serving(use)
