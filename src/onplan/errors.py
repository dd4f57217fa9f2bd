"""Every error that onplan raises, with its code, its exit code and the next command to run.

An error is built where a failure occurs; this module has no I/O. The tree, with each class's ``code``
(stable, for programs) and ``exit_code`` (of the CLI)::

    OnplanError                            error                  1
    ├── ConfigurationError                 configuration          2
    │   └── MissingExtraError              missing_extra          2
    ├── InvalidRequestError                invalid_request       10   the request must change
    │   ├── ModelNotAvailableError         model_not_available   11
    │   ├── ContextLengthError             context_length        12
    │   ├── ContentPolicyError             content_policy        13
    │   ├── InvalidImageError              invalid_image         14
    │   └── EncryptedReasoningError        encrypted_reasoning   15   left out and asked again, once
    ├── CredentialError                    credential             9
    │   ├── NotSignedInError               not_signed_in          3
    │   ├── SignInAgainError               sign_in_again          4
    │   ├── SignInError                    sign_in_failed         5
    │   ├── PlanNotPermittedError          plan_not_permitted    62   signed in, but this use was declined
    │   ├── RefreshError                   refresh_failed         6   temporary: nothing is lost
    │   │   └── RefreshOutcomeUnknownError refresh_unknown       60   sent, and no usable answer came
    │   └── StoreError                     store                  7
    │       ├── StoreConflictError         store_conflict         8   another writer was faster
    │       └── StoreDamagedError          store_damaged         61   what is kept there cannot be understood
    ├── LimitError                         limit                 29
    │   ├── UsageLimitError                usage_limit           20   the plan's allowance: never retried
    │   ├── RateLimitError                 rate_limit            21   too fast: retried
    │   ├── NotIncludedError               not_included          22   the plan does not cover it
    │   └── BudgetError                    budget                23   what the program allowed itself
    ├── BackendError                       backend               39   the other side's turn
    │   ├── ServerError                    server_error          30   retried
    │   │   └── OverloadedError            overloaded            31
    │   ├── BlockedError                   blocked               32   a firewall's page, not a sign-in problem
    │   └── UnexpectedReplyError           unexpected_reply      33   HTML, a proxy's notice, a captive portal
    ├── TransportError                     transport             49
    │   ├── ConnectError                   connect               40   retried
    │   │   ├── CertificateError           certificate           43   the other side is not who it should be
    │   │   └── ProxyError                 proxy                 44   the proxy does not let us through
    │   ├── DisconnectError                disconnect            41   retried before the first chunk
    │   ├── IdleTimeoutError               idle_timeout          42
    │   └── TotalTimeoutError              total_timeout         45   the program's limit for a turn
    ├── OutputError                        output                80   the answer is not what was asked for
    │   ├── OutputRefusedError             output_refused        81   the model declines to answer
    │   └── OutputTruncatedError           output_truncated      82   the answer was cut off
    ├── RunLimitError                      run_limit            90   the program's limit for a run of tools
    ├── ConversationFileError              conversation_file     63   a conversation cannot be read or written
    └── StreamError                        stream                59
        ├── StreamTruncatedError           stream_truncated      50   ended without a terminal event
        ├── StreamFailedError              stream_failed         51   the model's turn failed inside a 200
        └── StreamCorruptError             stream_corrupt        52   the parts contradict each other

Interrupted by Ctrl-C, the CLI exits with 130.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from onplan.secret import without_secrets

# The exit code for a defect of onplan itself: EX_SOFTWARE of sysexits.h.
INTERNAL = 70
# Where a person sees and limits what the plan is used for.
USAGE_PAGE = "https://chatgpt.com/settings/usage"


def utc_time(unix_seconds: float | None) -> datetime | None:
    """A time in Unix seconds as an aware datetime; None if it is unknown or too far away."""
    if unix_seconds is None or not 0 <= unix_seconds < LATEST_TIME:
        return None
    return datetime.fromtimestamp(unix_seconds, UTC)


LATEST_TIME = 3e10
"""Unix seconds in the year 2920; a later time is a mistake. Windows has no local time after 3000."""


class OnplanError(Exception):
    """The root. ``str(error)`` is one short sentence without any secret.

    Attributes:
        code: stable name of the failure, for programs and JSON.
        exit_code: what the CLI exits with.
        hint: what to do next, with the command to run if there is one.
        retryable: whether the same request may succeed if it is sent again.
        request_id: the backend's identifier of the request, to quote in a report; else the one that onplan
            sent.
        status_code: the HTTP status of the response that failed, if there was one.
        retry_after: seconds that the server asked to wait, if it did.
        resets_at: when a limit resets, Unix seconds, if known; ``reset_time`` is the same as a datetime.
        parts: content parts that were complete before a stream broke.
        run: what ``run`` did before the error, an ``onplan.Run``; None for other calls.
    """

    code = "error"
    exit_code = 1
    hint = "Run `onplan --help`."
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        resets_at: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint
        self.status_code = status_code
        self.request_id = request_id
        self.retry_after = retry_after
        self.resets_at = resets_at
        self.parts: Sequence[Any] = ()  # of content parts; types.py stands above this module
        self.run: Any = None
        self._other_notes: list[str] = []

    @property
    def __notes__(self) -> list[str]:
        """What stands below a traceback: the hint as it is now, and the notes that others added."""
        return [*([self.hint] if self.hint else ()), *self._other_notes]

    @__notes__.setter
    def __notes__(self, notes: list[str]) -> None:
        # tblib sets it, by which Dask brings errors from one process to another.
        self._other_notes = [note for note in notes if note != self.hint]

    def add_note(self, note: str) -> None:
        """As ``BaseException.add_note``."""
        self._other_notes.append(note)

    def __reduce__(self) -> tuple[Any, ...]:
        """Whatever its class is made from, an error of another process arrives as it was."""
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def reset_time(self) -> datetime | None:
        """``resets_at`` as an aware datetime in UTC; ``.astimezone()`` makes it local."""
        return utc_time(self.resets_at)

    def hide(self, *secrets: str | None) -> None:
        """Take ``secrets`` out of the message and the hint, in case the other side has repeated one."""
        self.message = without_secrets(self.message, *secrets)
        self.hint = without_secrets(self.hint, *secrets)
        self.args = (self.message,)

    def to_dict(self) -> dict[str, Any]:
        """The JSON shape of every error: ``code``, ``message``, ``hint``, and what else is known."""
        known = {
            name: value
            for name in ("status_code", "request_id", "retry_after", "resets_at", "window_minutes")
            if (value := getattr(self, name, None)) is not None
        }
        return {"code": self.code, "message": self.message, "hint": self.hint, **known}


def _restored(kind: type[OnplanError], arguments: tuple[Any, ...], state: dict[str, Any]) -> OnplanError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class ConfigurationError(OnplanError):
    """A flag, environment variable, configuration file or argument cannot be used."""

    code, exit_code = "configuration", 2
    hint = "Correct the setting and run the command again."


class MissingExtraError(ConfigurationError):
    """An optional dependency is not installed.

    Args:
        extra: name of the optional part, as in ``onplan[extra]``.
        purpose: what needs it.
        command: what to type to install it (``config.installation``).
    """

    code = "missing_extra"

    def __init__(self, extra: str, purpose: str, command: str | None = None) -> None:
        command = command or f"pip install 'onplan[{extra}]'"
        super().__init__(
            f"{purpose} needs the optional part `{extra}`, which is not installed.",
            hint=f"Run `{command}`.",
        )


class InvalidRequestError(OnplanError):
    """The request cannot be sent, or was refused, as it is: the program must change it."""

    code, exit_code = "invalid_request", 10
    hint = "Change the request; sending it again unchanged will fail again."


class ModelNotAvailableError(InvalidRequestError):
    """The backend does not serve this model to this plan or to this client version."""

    code, exit_code = "model_not_available", 11
    hint = "Run `onplan models` to see which models the plan has."


class ContextLengthError(InvalidRequestError):
    """The conversation is longer than the model's context window."""

    code, exit_code = "context_length", 12
    hint = "Shorten the conversation, or choose a model with a larger window: `onplan models`."


class ContentPolicyError(InvalidRequestError):
    """The prompt was refused by the service's content policy."""

    code, exit_code = "content_policy", 13
    hint = "Rephrase the prompt."


class InvalidImageError(InvalidRequestError):
    """An image could not be read by the backend."""

    code, exit_code = "invalid_image", 14
    hint = "Send a PNG, JPEG, WebP or GIF image, or a URL that the service can reach."


class EncryptedReasoningError(InvalidRequestError):
    """The encrypted reasoning of an earlier turn is another account's, model's or backend's."""

    code, exit_code = "encrypted_reasoning", 15
    hint = "Leave the `Thinking` parts out of the messages."


class CredentialError(OnplanError):
    """A problem with the sign-in or where it is stored."""

    code, exit_code = "credential", 9
    hint = "Run `onplan status`."


class NotSignedInError(CredentialError):
    """There are no credentials in the store."""

    code, exit_code = "not_signed_in", 3
    hint = "Run `onplan login`."


class SignInAgainError(CredentialError):
    """The server no longer accepts the stored credentials. They are kept nevertheless.

    Attributes:
        token_refused: whether an API refused the token or key that a request was sent with, so that another
            token may help. A turn then refreshes it and asks once more before it raises the error.
    """

    code, exit_code = "sign_in_again", 4
    hint = "Run `onplan login`."
    token_refused = False


class SignInError(CredentialError):
    """A sign-in did not succeed. Credentials that were stored before are unchanged."""

    code, exit_code = "sign_in_failed", 5
    hint = "Run `onplan login` to try again."


class PlanNotPermittedError(CredentialError):
    """The person who is signed in did not permit the use of the plan."""

    code, exit_code = "plan_not_permitted", 62
    hint = "Run `onplan login --consent` to be asked again."


class RefreshError(CredentialError):
    """The access token could not be refreshed for now. The credentials are kept.

    Attributes:
        unanswered: whether the sign-in service was not reached, or the connection to it broke.
    """

    code, exit_code, retryable = "refresh_failed", 6, True
    hint = "Nothing is lost; try again in a moment."
    unanswered = False


class RefreshOutcomeUnknownError(RefreshError):
    """The refresh token was sent and no usable answer came, so it may be spent or not."""

    code, exit_code = "refresh_unknown", 60
    hint = "Try again in a moment; the next error says whether `onplan login` is needed."


class StoreError(CredentialError):
    """The credential store could not be read or written."""

    code, exit_code = "store", 7
    hint = "Make the store readable and writable, then run the command again."


class StoreConflictError(StoreError):
    """Another program has changed the stored record; load it again."""

    code, exit_code = "store_conflict", 8
    hint = "Run the command again."


class StoreDamagedError(StoreError):
    """The stored content is not a record, or not a complete one.

    Attributes:
        version: the version of that content, which a ``save`` must be given to replace it.
    """

    code, exit_code = "store_damaged", 61

    def __init__(self, message: str, *, version: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.version = version


class LimitError(OnplanError):
    """A limit of the plan, account or API has been reached."""

    code, exit_code = "limit", 29


class UsageLimitError(LimitError):
    """The plan's allowance is used up until ``resets_at``. Retrying does not help before.

    Attributes:
        window_minutes: length of the window that is used up, if known: 300 for five hours, 10,080 for a week.
    """

    code, exit_code = "usage_limit", 20
    hint = f"Wait until the limit resets, or see {USAGE_PAGE}."
    window_minutes: int | None = None


class RateLimitError(LimitError):
    """Too many requests in a short time."""

    code, exit_code, retryable = "rate_limit", 21, True
    hint = "Wait a moment and try again."


class NotIncludedError(LimitError):
    """The plan, account or region does not include this use."""

    code, exit_code = "not_included", 22
    hint = f"See what the plan includes: {USAGE_PAGE}."


class BudgetError(LimitError):
    """The client has used as much of a usage window as the program allows it: ``max_window_share``.

    Attributes:
        window_minutes: length of that window, if known: 300 for five hours, 10,080 for a week.
    """

    code, exit_code = "budget", 23
    hint = "Wait with `client.wait_until_available()`, or allow more: `Client(max_window_share=…)`."
    window_minutes: int | None = None


class BackendError(OnplanError):
    """The backend failed, and the request is not the reason."""

    code, exit_code = "backend", 39
    hint = "Try again later."


class ServerError(BackendError):
    """The backend had an internal failure."""

    code, exit_code, retryable = "server_error", 30, True
    hint = "The service is having trouble; try again in a moment."


class OverloadedError(ServerError):
    """The backend or the chosen model is at capacity."""

    code, exit_code = "overloaded", 31
    hint = "Try again in a moment, or choose another model: `onplan models`."


class BlockedError(BackendError):
    """A firewall in front of the backend refused the connection; the sign-in is valid."""

    code, exit_code = "blocked", 32
    hint = "The sign-in is valid. Try from another network, without a VPN or data-centre address."


class UnexpectedReplyError(BackendError):
    """The reply does not follow the protocol: a web page, a proxy's notice, malformed JSON."""

    code, exit_code = "unexpected_reply", 33
    hint = "Check for a proxy or captive portal, and the base URL if you set one."


class TransportError(OnplanError):
    """A request or its answer was not transmitted."""

    code, exit_code = "transport", 49
    hint = "Check the network connection and try again."


class ConnectError(TransportError):
    """No connection could be made."""

    code, exit_code, retryable = "connect", 40, True


class CertificateError(ConnectError):
    """The server's certificate is not trusted by this machine."""

    code, exit_code, retryable = "certificate", 43, False
    hint = (
        "Run `onplan doctor` to see who issued it. If your own proxy did, trust its authority: "
        "`export SSL_CERT_FILE=FILE`, or `Client(ca_file=…)`."
    )


class ProxyError(ConnectError):
    """The proxy does not answer, refuses the connection, or cannot reach the server."""

    code, exit_code = "proxy", 44
    hint = "Run `onplan doctor` to see which proxy is in effect."


class DisconnectError(TransportError):
    """The connection broke.

    Attributes:
        close_code: the code with which the server closed a WebSocket (RFC 6455 §7.4), if it did.
    """

    code, exit_code, retryable = "disconnect", 41, True
    close_code: int | None = None


class IdleTimeoutError(TransportError):
    """Nothing arrived for longer than the idle timeout."""

    code, exit_code, retryable = "idle_timeout", 42, True
    hint = "Try again; if the model thinks for longer, allow it: `Client(timeout=onplan.Timeouts(idle=…))`."


class TotalTimeoutError(TransportError):
    """A turn took longer in total than the program allows."""

    code, exit_code = "total_timeout", 45
    hint = "Allow more time: `Client(timeout=onplan.Timeouts(total=…))`."


class OutputError(OnplanError):
    """An answer is whole, but is not what the request's ``response_format`` asks for.

    Attributes:
        text: the answer's text, as it came. It is no part of ``str(error)``.
        path: where it does not fit, as a JSON path such as ``$.birds[0].age``; ``$`` is the whole value.
        problem: what is wrong there, as the end of a sentence. A model can be told so.
    """

    code, exit_code = "output", 80
    hint = "Ask again, or let the model correct itself: `client.complete(…, repairs=1)`."

    def __init__(
        self, message: str, *, hint: str | None = None, text: str = "", path: str = "$", problem: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.text, self.path, self.problem = text, path, problem


class OutputRefusedError(OutputError):
    """The model declined to answer, or its answer was filtered. ``text`` is what it said instead."""

    code, exit_code = "output_refused", 81
    hint = "Rephrase the prompt."


class OutputTruncatedError(OutputError):
    """The answer was cut off at the limit of tokens. ``text`` is what came of it."""

    code, exit_code = "output_truncated", 82
    hint = "Allow a longer answer, or ask for less at a time."


class RunLimitError(OnplanError):
    """A run of tools has reached a limit that the program gave it, and the model still calls tools.

    ``run`` is what it did so far. Its last calls were not carried out: ``client.run(error.run.messages, …)``
    begins with them.

    Attributes:
        limit: ``max_turns`` or ``token_budget``.
    """

    code, exit_code = "run_limit", 90
    hint = "Allow more, or go on: `client.run(error.run.messages, tools=…)`."

    def __init__(self, message: str, *, limit: str = "max_turns") -> None:
        super().__init__(message)
        self.limit = limit


class ConversationFileError(OnplanError):
    """The file of a conversation cannot be read or written. What it held before is unchanged."""

    code, exit_code = "conversation_file", 63
    hint = "Check the path."


class StreamError(OnplanError):
    """An answer began and did not end properly: what arrived is not the whole answer.

    ``parts`` holds the content parts that were complete.
    """

    code, exit_code = "stream", 59
    hint = "Ask again; what has arrived is not the whole answer."


class StreamTruncatedError(StreamError):
    """The stream ended, or its connection broke, before a terminal event."""

    code, exit_code, retryable = "stream_truncated", 50, True


class StreamFailedError(StreamError):
    """The backend reported, inside a 200 response, that the turn failed."""

    code, exit_code, retryable = "stream_failed", 51, True


class StreamCorruptError(StreamError):
    """The stream contradicts itself, or an event is malformed or too large."""

    code, exit_code = "stream_corrupt", 52
