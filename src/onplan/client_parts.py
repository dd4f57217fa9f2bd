"""What onplan's commands, checks and integrations use of a client besides its public methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onplan.client import Client
from onplan.config.settings import Settings
from onplan.conversation.conversations import Conversation
from onplan.errors import OnplanError
from onplan.plan import account
from onplan.plan.account import Redemption
from onplan.plan.usage_reply import ResetCredit
from onplan.tokens.api_key import KeyHolder
from onplan.tokens.manager import TokenManager
from onplan.turn.catalogue_cache import CatalogueCache, Listing
from onplan.turn.context import Context
from onplan.turn.models import default_model
from onplan.types import CompletionRequest, ModelInfo


def context_of(client: Client) -> Context:
    """What all turns of ``client`` have in common."""
    return client._context


def listing_of(client: Client) -> Listing:
    """Ask the backend for its models now; unlike ``list_models``, the result says why they are built-in ones.

    Raises as ``list_models``.
    """
    return client._list_models()


def keep_catalogue(client: Client, cache_for: Callable[[Settings], CatalogueCache]) -> None:
    """Keep the models of ``client`` in ``cache_for(settings)``; to be called before its first request.

    Compatible servers list first the model that is loaded now, so theirs are not kept.
    """
    settings = client._assembly.settings
    if not settings.backend.is_compatible:
        client._context = replace(client._context, catalogue=cache_for(settings))


def takes_hosted_search(client: Client, model: str | None) -> bool:
    """Whether a request to ``model``, or to the default one, may have the hosted web search.

    Where the backend has a search of its own, a model of which nothing is known is not offered the hosted
    one. Raises OnplanError if the default model cannot be found out.
    """
    context = client._context
    if context.backend.search_path is None:
        return True
    model = model or context.model or client._run(default_model(context))
    built_in = next((each for each in context.backend.fallback_models if each.id == model), None)
    said = [known.supports_web_search for known in (context.catalogue.named(model), built_in) if known]
    return next((supports for supports in said if supports is not None), False)


def settings_of(talk: Conversation) -> CompletionRequest:
    """What the requests of a conversation have besides messages."""
    return talk._settings


def tokens_of(client: Client) -> TokenManager | KeyHolder:
    """What hands out the credentials of ``client``."""
    return client._assembly.tokens


def reset_credits_of(client: Client) -> list[ResetCredit]:
    """The reset credits of the account. Raises as ``client.limits``."""
    return client._run(account.reset_credits(client._context))


def spend_reset_credit(
    client: Client, request_id: str, credit_id: str | None, account_id: str | None
) -> Redemption:
    """Spend one reset credit (``plan.account``). Not a method: it cannot be undone."""
    return client._run(account.spend_reset_credit(client._context, request_id, credit_id, account_id))


def known_model(client: Client, model: str | None) -> tuple[ModelInfo | None, bool]:
    """What is known of ``model``, or of the one that requests get which name none; and whether that is all.

    The backend is asked for its catalogue only about a model that neither an earlier answer of it nor the
    built-in list has. A failure is not raised: the next request will say what is wrong.
    """
    context = client._context
    model = model or context.model
    built_in = {each.id: each for each in context.backend.fallback_models}
    found = (context.catalogue.named(model) or built_in.get(model)) if model else None
    if found is not None:
        return found, True
    try:
        listed = client.list_models()
    except OnplanError:
        return None, False
    return next((each for each in listed if each.id == (model or listed[0].id)), None), True
