"""One request from first byte to done, as decisions: 401, retry, resume, give up.

A turn is a flow: it yields steps (steps.py) and is sent their outcomes; the two clients carry the steps
out and decide nothing. Failures are thrown in at the step that failed. Knows nothing of sockets, files or
event loops; what time it is comes in as ``now``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from onplan.answers.catalogue import advice_on_models, catalogue_request, models_of
from onplan.answers.failures import failure_of_response
from onplan.backends import Backend
from onplan.chat import request as chat_request
from onplan.errors import InvalidRequestError, ModelNotAvailableError, OnplanError, SignInAgainError
from onplan.flow import Response
from onplan.responses import request as responses_request
from onplan.secret import SecretText
from onplan.turn.amendments import Call, Remembered
from onplan.turn.completion import Completion, opened
from onplan.turn.fallback import Fallback
from onplan.turn.retry import RetryPolicy, next_delay
from onplan.turn.steps import Authorize, Flow, Now, ReadBody, Refresh, Sleep
from onplan.types import CompletionRequest, Credential, ModelInfo, OAuthCredentials

T = TypeVar("T")

_REFRESHES = 2
_ONCE = RetryPolicy(attempts=1)
_ADVICE_SECONDS = 10.0  # what an error may wait for its hint


def prepare(
    request: CompletionRequest, backend: Backend, base_url: str, model: str, *, raise_unsupported: bool
) -> Call:
    """Make a request ready to send, for the row's API. Raises InvalidRequestError."""
    build = _PREPARATIONS[backend.api]
    try:
        return build(request, backend, base_url, model, raise_unsupported=raise_unsupported)
    except UnicodeEncodeError:
        raise InvalidRequestError(
            "The request holds half of a character (a lone surrogate), which cannot be sent.",
            hint='Where the text comes from bytes, decode them with errors="replace".',
        ) from None


_PREPARATIONS: Mapping[str, Callable[..., Call]] = {
    "responses": responses_request.prepare,
    "chat": chat_request.prepare,
}


def completion(
    call: Call,
    policy: RetryPolicy,
    now: Now,
    fallback: Fallback | None = None,
    *,
    resume: bool = False,
    remembered: Remembered | None = None,
) -> Flow[None]:
    """One completion. Emits chunks, the last of which is the one ``Done``, or raises an OnplanError.

    Once a chunk was emitted, and the program has seen it, nothing is asked again, unless it is to
    ``resume``. It goes over a WebSocket where there is a ``fallback`` that does not say otherwise. What a
    server refuses of it although it was not asked for is left out, and ``remembered`` for later requests.
    """
    asking = Completion(call, now, fallback, resume=resume, remembered=remembered)
    try:
        yield from _persist(asking.attempt, call.backend, policy, now, asking)
    except ModelNotAvailableError as error:
        models = list(call.backend.fallback_models)
        with suppress(OnplanError):
            models = yield from catalogue(call.backend, call.base_url, _ONCE, now, _ADVICE_SECONDS)
        error.hint = advice_on_models(call.model, models, call.backend)
        raise


def preparation(
    call: Call, policy: RetryPolicy, now: Now, fallback: Fallback, remembered: Remembered | None = None
) -> Flow[None]:
    """Have a WebSocket at hand that has heard ``call``, so that what follows it has less to say.

    Nothing is answered to it. Where SSE is to be used, nothing is done.
    """
    asking = Completion(call, now, fallback, generate=False, remembered=remembered)
    yield from _persist(asking.attempt, call.backend, policy, now, asking)


def catalogue(
    backend: Backend, base_url: str, policy: RetryPolicy, now: Now, timeout: float | None = None
) -> Flow[list[ModelInfo]]:
    """The models that the backend lists for this credential, best first.

    ``timeout``: seconds for each of head and body; without it, the client's own limits.
    """

    def attempt(credentials: Credential) -> Flow[list[ModelInfo]]:
        head = yield from opened(catalogue_request(backend, base_url, credentials), now, timeout)
        response = Response(head.status, head.headers, (yield ReadBody(timeout)))
        body = response.json()
        if body is None:
            raise failure_of_response(response, now())
        return models_of(body, backend)

    return (yield from _persist(attempt, backend, policy, now))


def _persist(
    attempt: Callable[[Credential], Flow[T]],
    backend: Backend,
    policy: RetryPolicy,
    now: Now,
    asking: Completion | None = None,
) -> Flow[T]:
    """Carry out ``attempt`` until it succeeds or there is no sense in it.

    A refused access token is replaced, and that does not count as a retry. Twice at most: the first
    replacement may be one that somebody else stored, and no better. One that this process has just got from
    the server is not replaced again; then the backend's own words count.

    What is lost when a seen answer broke off is not the time that it took: the budget begins anew.
    """
    began, tries, refreshes = now(), 0, 0
    credentials: Credential = yield Authorize()
    while True:
        try:
            return (yield from attempt(credentials))
        except SignInAgainError as error:
            _tell(error, backend, credentials)
            refreshable = isinstance(credentials, OAuthCredentials)
            if (
                not refreshable
                or error.status_code != 401
                or refreshes == _REFRESHES
                or (asking and asking.seen)
            ):
                raise
            try:
                credentials = yield Refresh(SecretText(credentials.access_token), again=refreshes > 0)
            except SignInAgainError as ended:
                ended.request_id = ended.request_id or error.request_id
                raise error if refreshes else ended from None
            refreshes += 1
        except OnplanError as error:
            _tell(error, backend, credentials)
            if asking and asking.amends(error):
                yield Sleep(0.0, error)
                continue
            tries += 1
            if asking and asking.seen:
                began = now()
            may_retry = asking is None or asking.may_retry()
            delay = next_delay(policy, tries, error, now() - began) if may_retry else None
            if delay is None:
                raise
            yield Sleep(delay, error)
            credentials = yield Authorize()


def _tell(error: OnplanError, backend: Backend, credentials: Credential) -> None:
    """Say nothing of the credential, and advise what helps with this backend."""
    error.hide(credentials.access_token)
    error.hint = backend.advice.get(error.code, error.hint)
