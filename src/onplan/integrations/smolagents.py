"""smolagents on your plan: a model for its agents.

>>> from smolagents import CodeAgent  # doctest: +SKIP
>>> from onplan.integrations.smolagents import OnplanModel  # doctest: +SKIP
>>> CodeAgent(tools=[], model=OnplanModel("gpt-5.5")).run("What is 17 * 23?")  # doctest: +SKIP
"""

from __future__ import annotations

import inspect
from typing import Any

from onplan.assembly import AsyncClientOptions, require_options
from onplan.errors import ConfigurationError
from onplan.integrations.missing import MissingFrameworkError
from onplan.integrations.openai import OpenAI
from onplan.transports.base import Timeouts

try:
    import openai
    from smolagents import OpenAIModel
except ImportError:
    raise MissingFrameworkError("smolagents with OpenAI's models", "'smolagents[openai]'") from None


# Options of onplan that smolagents would send with each request.
_OF_THE_CLIENT = AsyncClientOptions.__optional_keys__ - {
    "api_key",
    "retry",  # smolagents' own: whether it asks again
    *inspect.signature(openai.resources.chat.Completions.create).parameters,
}


def _is_of_the_client(name: str, value: object) -> bool:
    """By its name, or by its value where Chat Completions has a parameter of the same name."""
    is_place = name == "store" and not isinstance(value, bool | None)  # where the sign-in is kept
    return name in _OF_THE_CLIENT or is_place or isinstance(value, Timeouts)


# What smolagents takes, and what it sends with each request; a misspelt name is seen at once by that.
_KNOWN = frozenset(inspect.signature(openai.resources.chat.Completions.create).parameters).union(
    *(inspect.signature(kind.__init__).parameters for kind in OpenAIModel.__mro__[:-1])
) - {"self", "kwargs"}


class OnplanModel(OpenAIModel):
    """A model of your plan, by Chat Completions.

    Agents of smolagents stop the model at texts such as ``Observation:``. A plan takes no such texts: onplan
    looks for them, and ends the answer there.

    Args:
        model_id: of the model, such as ``gpt-5.5``.
        client: of ``onplan.integrations.openai.OpenAI``, with options of its own; without it, one of the
            default profile. It is not saved with the model.
        given: what smolagents' ``OpenAIModel`` takes. ``retry`` is False unless it is given: smolagents takes
            a usage limit for a rate limit, and would ask for minutes.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(self, model_id: str, *, client: openai.OpenAI | None = None, **given: Any) -> None:
        for name in [each for each, value in given.items() if _is_of_the_client(each, value)]:
            raise ConfigurationError(
                f"OnplanModel has no option {name!r}.",
                hint=f"Give it to the client: `OnplanModel({model_id!r}, client=OpenAI({name}=…))`.",
            )
        require_options(given, _KNOWN, "OnplanModel")
        super().__init__(model_id, client=client or OpenAI(), **{"retry": False, **given})

    @property
    def supports_stop_parameter(self) -> bool:
        """True: smolagents knows models that refuse such texts, which are not sent to them here."""
        return True
