"""The models that a client may ask: the backend's catalogue, and the one of a request that names none."""

from __future__ import annotations

from onplan.answers.catalogue import catalogue_request, models_of
from onplan.errors import NotSignedInError, OnplanError, SignInAgainError
from onplan.turn.attempts import Attempt, json_reply, persist
from onplan.turn.catalogue_cache import Listing, account_of
from onplan.turn.context import Context
from onplan.turn.retry import RetryPolicy
from onplan.turn.steps import Authorize, Flow, ListModels
from onplan.types import Credential, ModelInfo


def known_model(model: str, context: Context) -> ModelInfo | None:
    """What is known of a model without asking."""
    built_in = (known for known in context.backend.fallback_models if known.id == model)
    return context.catalogue.named(model) or next(built_in, None)


def default_model(context: Context) -> Flow[str]:
    """The model of a request that names none: the best one of the catalogue, which is kept for an hour."""
    attempts = context.catalogue.attempts
    credential: Credential = yield Authorize()
    models = context.catalogue.models(context.now(), account_of(credential))
    if not models:
        listing: Listing = yield ListModels(attempts)
        models = listing.models
    return models[0].id


def another_default_model(model: str, context: Context) -> Flow[str | None]:
    """The default model by the catalogue as it is now; None if that is ``model``, which is not available."""
    context.catalogue.forget()
    try:
        latest = yield from default_model(context)
    except OnplanError:
        return None
    return None if latest == model else latest


def listing(context: Context) -> Flow[Listing]:
    """The models that the backend lists now, or the built-in ones if it has some and cannot be asked.

    Raises:
        NotSignedInError, SignInAgainError: never hidden by the built-in list.
        OnplanError: there is no built-in list.
    """
    asking = _Catalogue(context, None)
    try:
        models = yield from persist(asking, context)
    except OnplanError as error:
        is_about_sign_in = isinstance(error, NotSignedInError | SignInAgainError)
        if is_about_sign_in or not context.backend.fallback_models:
            context.catalogue.ended(error, context.now())
            raise
        outcome = Listing(context.backend.fallback_models, error)
        context.catalogue.ended(outcome, context.now())
    else:
        outcome = Listing(models)
        context.catalogue.ended(outcome, context.now(), asking.account)
    return outcome


def catalogue(
    context: Context, policy: RetryPolicy | None = None, timeout: float | None = None
) -> Flow[list[ModelInfo]]:
    """The models that the backend lists for this credential, best first.

    ``timeout``: seconds for each of head and body; without it, the client's own limits.
    """
    return (yield from persist(_Catalogue(context, timeout), context, policy))


class _Catalogue(Attempt[list[ModelInfo]]):
    """``account``: whose models were asked for last, as ``account_of`` tells."""

    def __init__(self, context: Context, timeout: float | None) -> None:
        self._context, self._timeout = context, timeout
        self.account: str | None = None

    def run(self, credentials: Credential) -> Flow[list[ModelInfo]]:
        self.account = account_of(credentials)
        backend, now = self._context.backend, self._context.now
        request = catalogue_request(backend, self._context.base_url, credentials)
        body, _ = yield from json_reply(request, now, self._timeout)
        return models_of(body, backend)
