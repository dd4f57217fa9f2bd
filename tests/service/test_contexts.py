"""What the turns of a service have in common, and what its owner decides."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

import onplan
from onplan.async_client_parts import context_of
from onplan.service.contexts import TurnContexts
from onplan.service.options import ServiceOptions

# A client reads its settings, here from a folder that is empty.
pytestmark = pytest.mark.usefixtures("clean_environment")


def test_no_turn_of_a_service_is_resumed() -> None:
    """Its client has seen what came, and nothing can be taken back; all else is as the client has it."""
    client = onplan.AsyncClient(resume=True)
    contexts, own = TurnContexts(client), context_of(client)
    assert own.resume
    assert contexts.of(is_conversation=True) == replace(own, resume=False)


def test_a_single_question_opens_no_websocket() -> None:
    """A conversation goes over one, if the client speaks it."""
    client = onplan.AsyncClient()
    contexts, own = TurnContexts(client), context_of(client)
    assert own.fallback is not None
    assert contexts.of(is_conversation=True).fallback is own.fallback
    assert contexts.of(is_conversation=False) == replace(own, resume=False, fallback=None)


def test_what_one_turn_learns_the_others_know() -> None:
    """All share what the backend refused and what its catalogue listed."""
    client = onplan.AsyncClient()
    contexts, own = TurnContexts(client), context_of(client)
    for is_conversation in (True, False):
        context = contexts.of(is_conversation=is_conversation)
        assert context.amendments is own.amendments
        assert context.catalogue is own.catalogue
        assert contexts.of(is_conversation=is_conversation) is context


def test_parameters_that_are_not_taken_are_left_out_unless_it_is_strict() -> None:
    """Without options no model has another name; nothing changes them afterwards."""
    options = ServiceOptions()
    assert (options.strict, dict(options.aliases)) == (False, {})
    assert ServiceOptions().aliases is not options.aliases
    with pytest.raises(FrozenInstanceError):
        options.strict = True  # type: ignore[misc]
