"""One turn, from its first step to its answer or its error."""

from __future__ import annotations

import json
from dataclasses import replace
from email.utils import formatdate

import pytest
from msgspec.structs import replace as replace_struct
from rich.pretty import pretty_repr

from onplan.backends import COMPATIBLE, OPENAI_CODEX, Backend
from onplan.chat import request as chat
from onplan.errors import (
    BlockedError,
    ConnectError,
    DisconnectError,
    IdleTimeoutError,
    InvalidRequestError,
    ModelNotAvailableError,
    OnplanError,
    OutputError,
    OverloadedError,
    RateLimitError,
    RefreshError,
    ServerError,
    SignInAgainError,
    StreamCorruptError,
    StreamFailedError,
    StreamTruncatedError,
    TotalTimeoutError,
    UnexpectedReplyError,
    UsageLimitError,
)
from onplan.responses.request import prepare
from onplan.turn.catalogue_cache import Listing, account_of
from onplan.turn.fallback import Fallback
from onplan.turn.flows import asked, completion, preparation
from onplan.turn.flows import prepare as prepare_in
from onplan.turn.models import catalogue, listing
from onplan.turn.retry import RetryPolicy
from onplan.turn.steps import (
    Authorize,
    Head,
    Join,
    Joined,
    ListModels,
    Prepare,
    ReadBody,
    ReadEvents,
    Refresh,
    Send,
    SendMessage,
    Sleep,
)
from onplan.types import (
    APIKey,
    CompletionRequest,
    Message,
    ModelInfo,
    OAuthCredentials,
    Resumed,
    Text,
    ToolCall,
)

from .driven import (
    COMPLETED,
    END,
    FIRST,
    SECOND,
    STREAM,
    UPGRADED,
    Clock,
    Turn,
    context,
    delta,
    failed,
    item,
    joined,
    payloads,
    refused,
    token,
)


@pytest.fixture
def turn():
    """A completion that is about to begin."""
    call = prepare(CompletionRequest(messages="Hi"), OPENAI_CODEX, "https://example.org", "gpt-5.5")
    clock = Clock()
    return Turn(asked(call, context(clock)), clock)


class TestAnAnswer:
    def test_from_first_byte_to_done(self, turn):
        """A turn authorizes, sends, reads until the end, and emits every chunk once."""
        assert Authorize() == turn.step
        assert "Bearer secret-1" == token(turn.tell(FIRST))
        assert isinstance(turn.tell(STREAM), ReadEvents)
        assert isinstance(turn.tell(payloads(delta("Hel"))), ReadEvents)
        turn.tell(payloads(delta("lo"), COMPLETED))

        assert turn.ended
        assert ["text", "text", "part_done", "done"] == [chunk.type for chunk in turn.emitted]
        assert "Hello" == turn.text

    def test_nothing_is_read_after_the_end(self, turn):
        """The terminal event ends the turn, also where the connection stays open."""
        turn.tell(FIRST, STREAM, payloads(delta("Hi"), COMPLETED))

        assert turn.ended

    def test_reads_without_events_are_no_end(self, turn):
        """A read that completes no event, or unknown ones, is followed by another read."""
        turn.tell(FIRST, STREAM, [], payloads({"type": "response.sparkle"}))

        assert isinstance(turn.step, ReadEvents)
        assert [] == turn.emitted

    def test_a_missing_content_type_is_no_failure(self, turn):
        """Some answers do not say what they are."""
        assert isinstance(turn.tell(FIRST, Head(200, {})), ReadEvents)

    def test_secrets_are_not_printed(self, turn):
        """The printed form of a step shows no token, and rich's neither."""
        assert "secret" not in repr(turn.tell(FIRST))
        for step, printed in (
            (Refresh("secret-1", again=True), "Refresh(again=True)"),
            (SendMessage(b"secret"), "SendMessage()"),
        ):
            assert repr(step) == pretty_repr(step) == printed


class TestARefusedToken:
    def test_it_is_replaced_once_and_the_request_repeated(self, turn):
        """After a 401 that very token is replaced, and the request goes out again at once."""
        assert ReadBody() == turn.tell(FIRST, Head(401, {}))
        assert Refresh("secret-1") == turn.tell(b"")
        assert "Bearer secret-2" == token(turn.tell(SECOND))

        turn.tell(STREAM, payloads(item("Hi"), COMPLETED))
        assert turn.ended
        assert "Hi" == turn.text

    def test_a_replacement_may_be_no_better(self, turn):
        """What somebody else had stored may be refused too; then the backend's own words count."""
        asked = turn.tell(FIRST, Head(401, {}), b"", SECOND, Head(401, {}), b"")
        assert Refresh("secret-2", again=True) == asked

        with pytest.raises(SignInAgainError, match="does not accept the credential"):
            turn.tell(SignInAgainError("not even refreshed", status_code=401))

    def test_a_third_refusal_is_final(self, turn):
        """However many replacements there might be, a turn asks for two."""
        turn.tell(FIRST, Head(401, {}), b"", SECOND, Head(401, {}), b"", FIRST, Head(401, {}))

        with pytest.raises(SignInAgainError) as caught:
            turn.tell(b"")
        assert 401 == caught.value.status_code

    def test_it_does_not_count_as_a_retry(self, turn):
        """After a replaced token there are as many tries as without."""
        turn.tell(FIRST, Head(401, {}), b"", SECOND)
        for _ in range(2):
            assert isinstance(turn.tell(Head(500, {}), b""), Sleep)
            turn.tell(None, SECOND)

        turn.tell(Head(500, {}))
        with pytest.raises(ServerError):
            turn.tell(b"")

    def test_a_refresh_that_fails_ends_the_turn(self, turn):
        """What the token manager says about a refresh is what the program hears."""
        turn.tell(FIRST, Head(401, {}), b"")

        with pytest.raises(RefreshError, match="later"):
            turn.tell(RefreshError("later"))

    def test_a_page_is_no_refusal_of_a_token(self, turn):
        """A firewall's 403 page is reported as such; no token is replaced for it."""
        turn.tell(FIRST, Head(403, {"content-type": "text/html"}))

        with pytest.raises(BlockedError):
            turn.tell(b"<html>")

    @pytest.mark.parametrize(("own", "expected"), [(None, "req-1"), ("req-2", "req-2")])
    def test_a_final_refusal_names_a_request(self, turn, own, expected):
        """That of the token endpoint, if it has an id; else the one whose token was refused."""
        turn.tell(FIRST, Head(401, {"x-request-id": "req-1"}), b"")

        with pytest.raises(SignInAgainError) as caught:
            turn.tell(SignInAgainError("over", request_id=own))
        assert expected == caught.value.request_id

    def test_it_may_be_told_inside_the_stream(self, turn):
        """An error event of status 401 before the first chunk replaces the token as well."""
        event = {"type": "error", "status": 401, "error": {"message": "Expired."}}

        assert Refresh("secret-1") == turn.tell(FIRST, STREAM, payloads(event))

    def test_it_may_be_told_without_a_status(self, turn):
        """An error event that names this kind of error and no status replaces the token as well."""
        event = {"type": "error", "error": {"type": "authentication_error", "message": "Expired."}}

        assert Refresh("secret-1") == turn.tell(FIRST, STREAM, payloads(event))

    @pytest.mark.parametrize("status", [400, 403])
    def test_another_problem_of_the_sign_in_replaces_no_token(self, turn, status):
        """What another token would not change is told at once."""
        body = {"error": {"code": "subscription_sharing_invalid_user", "message": "Whose?"}}

        with pytest.raises(SignInAgainError):
            turn.tell(FIRST, *refused(status, body))

    def test_an_api_key_is_not_replaced(self):
        """There is no other key to ask with: a refused one is told at once, inside an answer as well."""
        call = chat.prepare(CompletionRequest(messages="Hi"), COMPATIBLE, "https://example.org", "m")
        clock = Clock()
        turn = Turn(asked(call, context(clock)), clock)
        error = {"error": {"code": 401, "message": "Incorrect API key provided."}}

        with pytest.raises(SignInAgainError) as caught:
            turn.tell(APIKey("key-1"), STREAM, payloads(error))
        assert caught.value.token_refused


RETRIED = {
    "500": (*refused(500),),
    "503, overloaded": (*refused(503, {"error": {"code": "server_is_overloaded"}}),),
    "no connection": (ConnectError("x"),),
    "disconnected before the head": (DisconnectError("x"),),
    "disconnected before the first chunk": (STREAM, DisconnectError("x")),
    "silent before the first chunk": (STREAM, IdleTimeoutError("x")),
    "ended before the first chunk": (STREAM, END),
    "failed before the first chunk": (STREAM, payloads(failed("server_is_overloaded"))),
    "ended in the middle of a line": (STREAM, StreamTruncatedError("x")),
    "disconnected in the body of a refusal": (Head(500, {}), DisconnectError("x")),
}


@pytest.mark.parametrize("outcomes", RETRIED.values(), ids=RETRIED)
class TestRetry:
    def test_before_the_first_chunk(self, turn, outcomes):
        """What may pass is tried again, as long as the program has heard nothing."""
        assert isinstance(turn.tell(FIRST, *outcomes), Sleep)
        assert Authorize() == turn.tell(None)

        turn.tell(SECOND, STREAM, payloads(item("Hi"), COMPLETED))
        assert turn.ended
        assert "Hi" == turn.text

    def test_not_for_ever(self, turn, outcomes):
        """After the policy's number of tries the last failure is the program's."""
        turn.tell(FIRST)
        for _ in range(2):
            assert isinstance(turn.tell(*outcomes), Sleep)
            turn.tell(None, FIRST)

        with pytest.raises(OnplanError):
            turn.tell(*outcomes)


class TestTheWait:
    def test_it_is_what_the_server_asks_for(self, turn):
        """A wait told in a header, or in words inside the stream, is kept exactly."""
        head, body = refused(429, retry_after="7")
        step = turn.tell(FIRST, head, body)
        assert 7.0 == step.seconds
        assert isinstance(step.error, RateLimitError)

        event = {"type": "error", "code": "rate_limit_exceeded", "message": "Please try again in 250ms."}
        assert 0.25 == turn.tell(None, FIRST, STREAM, payloads(event)).seconds

    def test_otherwise_it_grows_within_its_bounds(self, turn):
        """Without a request of the server's the waits lie within the policy's growing bounds."""
        assert 0 <= turn.tell(FIRST, ConnectError("x")).seconds <= 0.2
        assert 0 <= turn.tell(None, FIRST, ConnectError("x")).seconds <= 0.4

    def test_time_that_has_passed_counts(self, turn):
        """No new try begins when the budget is used up."""
        turn.tell(FIRST)
        turn._clock.now += 1000

        with pytest.raises(ConnectError):
            turn.tell(ConnectError("x"))


FINAL = {
    "usage limit": (
        (*refused(429, {"error": {"type": "usage_limit_reached"}}, retry_after="1"),),
        UsageLimitError,
    ),
    "usage limit as 404": ((*refused(404, {"error": {"type": "usage_limit_reached"}}),), UsageLimitError),
    "usage limit in the stream": ((STREAM, payloads(failed("usage_limit_reached"))), UsageLimitError),
    "400": ((*refused(400, {"detail": "Bad."}),), InvalidRequestError),
    "a page of status 200": ((Head(200, {"content-type": "text/html"}), b"<html>"), UnexpectedReplyError),
    "a page of status 200, in capitals": (
        (Head(200, {"content-type": "Text/HTML"}), b"<html>"),
        UnexpectedReplyError,
    ),
    "a redirect": ((*refused(302),), UnexpectedReplyError),
    "broken JSON": ((STREAM, [b"{broken"]), StreamCorruptError),
    "a wait that is not worth it": ((*refused(429, retry_after="3600"),), RateLimitError),
}


@pytest.mark.parametrize(("outcomes", "error"), FINAL.values(), ids=FINAL)
def test_what_will_not_pass_is_not_tried_again(turn, outcomes, error):
    """A failure that another try would only repeat is raised at once."""
    with pytest.raises(error):
        turn.tell(FIRST, *outcomes)


BROKEN = {
    "ended": (END, StreamTruncatedError),
    "disconnected": (DisconnectError("x"), StreamTruncatedError),
    "cut in the middle of a line": (StreamTruncatedError("x"), StreamTruncatedError),
    "silent": (IdleTimeoutError("x"), IdleTimeoutError),
    "failed": (payloads(failed("server_error")), ServerError),
    "overloaded": (payloads(failed("server_is_overloaded")), OverloadedError),
    "failed for an unknown reason": (payloads(failed("moonrise")), StreamFailedError),
    "token refused": (payloads({"type": "error", "status": 401}), SignInAgainError),
    "too large": (StreamCorruptError("x"), StreamCorruptError),
    "broken JSON": ([b"{broken"], StreamCorruptError),
}


@pytest.mark.parametrize(("outcome", "error"), BROKEN.values(), ids=BROKEN)
class TestAnAnswerThatBreaks:
    def test_it_is_never_asked_for_again(self, turn, outcome, error):
        """Once the program has heard something, nothing is repeated, and what was whole is kept."""
        turn.tell(FIRST, STREAM, payloads(item("Hi")))

        with pytest.raises(error) as caught:
            turn.tell(outcome)
        assert error is type(caught.value)
        assert [Text("Hi")] == list(caught.value.parts)
        assert "Hi" == turn.text

    def test_what_was_not_whole_is_not_kept(self, turn, outcome, error):
        """Text that was still arriving is no finished part."""
        turn.tell(FIRST, STREAM, payloads(delta("H")))

        with pytest.raises(error) as caught:
            turn.tell(outcome)
        assert [] == list(caught.value.parts)


def test_chunks_in_the_same_read_as_the_failure_are_emitted(turn):
    """What arrived with a failure, before it, reaches the program before the error does."""
    turn.tell(FIRST, STREAM)

    with pytest.raises(ServerError) as caught:
        turn.tell(payloads(item("Hi"), failed("server_error")))
    assert "Hi" == turn.text
    assert [Text("Hi")] == list(caught.value.parts)
    assert "req-1" == caught.value.request_id


@pytest.mark.parametrize("outcomes", [(), (STREAM, payloads(item("Hi")))], ids=["no answer", "an answer"])
def test_an_error_names_its_request(turn, outcomes):
    """By the id in the answer's head; before that, by the one that was sent."""
    sent = turn.tell(FIRST).request.headers["x-client-request-id"]
    turn.tell(*outcomes)
    turn._clock.now += 1000

    with pytest.raises(OnplanError) as caught:
        turn.tell(DisconnectError("x"))
    assert ("req-1" if outcomes else sent) == caught.value.request_id


def test_the_hint_is_the_backends():
    """Where the hint for a plan does not apply, the row's own is given."""
    clock = Clock()
    call = chat.prepare(CompletionRequest(messages="Hi"), COMPATIBLE, "https://example.org", "m")
    turn = Turn(asked(call, replace(context(clock), backend=COMPATIBLE)), clock)

    with pytest.raises(SignInAgainError) as caught:
        turn.tell(APIKey("secret-1"), Head(401, {}), b"")
    assert COMPATIBLE.advice["sign_in_again"] == caught.value.hint


def test_not_signed_in_is_told_at_once(turn):
    """What the token manager raises before the first request ends the turn."""
    with pytest.raises(SignInAgainError):
        turn.tell(SignInAgainError("x", status_code=401))


class TestResuming:
    """What the program has seen is kept, or said to be void, and the turn is asked again."""

    @pytest.fixture
    def turn(self):
        call = prepare(CompletionRequest(messages="Hi"), OPENAI_CODEX, "https://example.org", "gpt-5.5")
        clock = Clock()
        return Turn(asked(call, context(clock, resume=True)), clock)

    def test_finished_parts_are_told_the_model(self, turn):
        """The next request ends in what was finished, and the answer begins with it."""
        turn.tell(FIRST, STREAM, payloads(item("Hi")))
        assert isinstance(turn.tell(END), Sleep)
        step = turn.tell(None, FIRST)
        said = json.loads(step.request.body)["input"][-1]
        assert ("assistant", "Hi") == (said["role"], said["content"][0]["text"])

        turn.tell(STREAM, payloads(item("Lo"), COMPLETED))
        assert [Resumed([Text("Hi")])] == [chunk for chunk in turn.emitted if chunk.type == "resumed"]
        assert [Text("Hi"), Text("Lo")] == turn.emitted[-1].response.message.content

    def test_what_was_not_finished_is_void(self, turn):
        """A text that broke off is not told, and comes anew."""
        turn.tell(FIRST, STREAM, payloads(delta("H")), DisconnectError("x"))
        step = turn.tell(None, FIRST)
        assert ["user"] == [item["role"] for item in json.loads(step.request.body)["input"]]

        turn.tell(STREAM, payloads(item("Hi"), COMPLETED))
        assert [Text("Hi")] == turn.emitted[-1].response.message.content

    def test_a_long_answer_uses_up_no_budget(self, turn):
        """The budget is for waiting; an answer that took an hour may be resumed nevertheless."""
        turn.tell(FIRST, STREAM, payloads(delta("H")))
        turn._clock.now += 3600

        assert isinstance(turn.tell(DisconnectError("x")), Sleep)

    def test_it_is_said_once_for_each_time(self, turn):
        """A try that brought nothing new has nothing to take back."""
        turn.tell(FIRST, STREAM, payloads(item("Hi")), END, None, FIRST, ConnectError("x"))
        turn.tell(None, FIRST, STREAM, payloads(item("Lo"), COMPLETED))

        assert 1 == len([chunk for chunk in turn.emitted if chunk.type == "resumed"])
        assert [Text("Hi"), Text("Lo")] == turn.emitted[-1].response.message.content


class TestTheCatalogue:
    BODY = json.dumps({"models": [{"slug": "gpt-5.5", "visibility": "list"}]}).encode()

    @pytest.fixture
    def asking(self):
        """A catalogue flow that is about to begin."""
        clock = Clock()
        return Turn(catalogue(context(clock, policy=RetryPolicy(attempts=2))), clock)

    def test_it_lists_the_models(self, asking):
        """The catalogue is asked for under the credential, and read."""
        step = asking.tell(FIRST)
        assert "Bearer secret-1" == token(step)
        assert step.request.url.startswith("https://example.org/models?client_version=")

        assert ReadBody() == asking.tell(Head(200, {}))
        asking.tell(self.BODY)
        assert ["gpt-5.5"] == [model.id for model in asking.result]

    def test_a_refused_token_is_replaced(self, asking):
        """After a 401 the token is replaced and the catalogue asked for again."""
        assert Refresh("secret-1") == asking.tell(FIRST, Head(401, {}), b"")
        asking.tell(SECOND, Head(200, {}), self.BODY)

        assert asking.ended

    def test_it_is_tried_again(self, asking):
        """A failure that may pass is tried again, also one in the middle of the body."""
        assert isinstance(asking.tell(FIRST, Head(200, {}), DisconnectError("x")), Sleep)
        asking.tell(None, FIRST, Head(200, {}), self.BODY)

        assert asking.ended

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b"{}", b"\xff", b'{"models": [], "x": "\xff"}'], ids=repr
    )
    def test_what_is_no_catalogue_is_an_error(self, asking, body):
        """A reply that lists no models is not an empty catalogue."""
        asking.tell(FIRST, Head(200, {}))

        with pytest.raises(UnexpectedReplyError):
            asking.tell(body)


class TestOverWebSocket:
    @pytest.fixture
    def fallback(self):
        return Fallback()

    @pytest.fixture
    def turn(self, fallback):
        """A completion that may go over a WebSocket, and is authorized."""
        call = prepare(CompletionRequest(messages="Hi"), OPENAI_CODEX, "https://example.org", "gpt-5.5")
        clock = Clock()
        turn = Turn(asked(call, context(clock, fallback=fallback)), clock)
        turn.tell(FIRST)
        return turn

    def test_from_the_upgrade_to_done(self, turn):
        """It joins under the credential, says all, reads, and leaves a settled connection."""
        step, socket = turn.step, joined()
        assert isinstance(step, Join)
        assert ("GET", "Bearer secret-1") == (step.request.method, step.request.headers["authorization"])
        assert "secret" not in repr(step)
        said = turn.tell(socket)
        assert "Hi" == json.loads(said.data)["input"][0]["content"][0]["text"]
        assert isinstance(turn.tell(None), ReadEvents)
        assert not socket.seen.settled
        turn.tell(payloads(delta("Hel"), item("Hello"), COMPLETED))

        assert turn.ended
        assert "Hello" == turn.text
        assert socket.seen.settled

    @pytest.mark.parametrize(
        "outcomes",
        [
            (Joined(Head(426, {})), b""),
            (Joined(Head(403, {"content-type": "text/html"})), b"<html>"),
            (Joined(Head(500, {})), b""),
            (IdleTimeoutError("x"),),
            (DisconnectError("x"),),
        ],
    )
    def test_a_refused_upgrade_is_no_failure(self, turn, outcomes):
        """The request goes over HTTP at once."""
        assert "Bearer secret-1" == token(turn.tell(*outcomes))
        turn.tell(STREAM, payloads(item("Hi"), COMPLETED))

        assert "Hi" == turn.text

    def test_what_http_would_repeat_is_told_at_once(self, turn):
        """A limit that the upgrade reports is a limit."""
        head, body = refused(429, {"error": {"type": "usage_limit_reached"}})
        with pytest.raises(UsageLimitError):
            turn.tell(Joined(head), body)

    @pytest.mark.parametrize("body", [b"", b'{"error": {"code": "token_expired", "message": "x"}}'])
    def test_an_upgrade_may_refuse_the_token(self, turn, fallback, body):
        """The token is replaced, and the turn stays on the WebSocket."""
        assert Refresh("secret-1") == turn.tell(Joined(Head(401, {})), body)
        assert isinstance(turn.tell(SECOND), Join)
        assert "Bearer secret-2" == turn.step.request.headers["authorization"]
        assert not fallback.applies(turn.step.session_id)

    def test_a_page_with_401_before_the_upgrade_is_no_refused_token(self, turn):
        """A page that the backend did not send says nothing about the token: the turn goes over HTTP."""
        head = Head(401, {"content-type": "text/html"})
        assert "Bearer secret-1" == token(turn.tell(Joined(head), b"<html>"))

    def test_no_connection_at_all_is_tried_again(self, turn):
        """Where HTTP would not get through either, WebSocket is not to blame."""
        assert isinstance(turn.tell(ConnectError("x")), Sleep)
        assert isinstance(turn.tell(None, FIRST), Join)

    def test_a_connection_that_went_away_is_replaced(self, turn):
        """One that had been open is no failure, once; a new one that breaks is."""
        step = turn.tell(joined(warm=True), DisconnectError("x"))
        assert (True, Join) == (step.fresh, type(step))
        assert isinstance(turn.tell(joined(), None, DisconnectError("x")), Sleep)

    def test_one_that_had_answered_is_no_connection_that_went_away(self, turn):
        """Something was heard on it, so it was open: that it breaks is a failure."""
        created = {"type": "response.created", "response": {"id": "resp_1"}}
        assert isinstance(turn.tell(joined(warm=True), None, payloads(created), DisconnectError("x")), Sleep)

    def test_an_answer_forgives_a_break(self, turn, fallback):
        """Breaks count in a row: one before an answer and one after it are not too many."""
        session = turn.step.session_id
        turn.tell(joined(), None, DisconnectError("x"), None, FIRST)
        turn.tell(joined(), None, payloads(item("Hi"), COMPLETED))
        assert turn.ended
        again = self.saying("Hi", fallback)
        again.tell(joined(), None, DisconnectError("x"))

        assert not fallback.applies(session)

    def test_the_end_of_the_answer_before_ends_nothing(self, turn, fallback):
        """What a connection says again of an earlier response is not the next one's end."""
        socket = joined()
        turn.tell(socket, None, payloads(item("Hi"), COMPLETED))
        again = self.saying("Hi", fallback)
        again.tell(Joined(UPGRADED, socket.seen, True), None, payloads(COMPLETED))

        assert (turn.ended, again.ended, again.emitted) == (True, False, [])

    def test_two_that_break_are_enough(self, turn):
        """Then the session is asked over HTTP, within the policy's tries."""
        for _ in range(2):
            assert isinstance(turn.tell(joined(), None, DisconnectError("x")), Sleep)
            turn.tell(None, FIRST)
        assert isinstance(turn.step, Send)

    @pytest.mark.parametrize("code", ["websocket_connection_limit_reached", "previous_response_not_found"])
    def test_a_connection_that_is_over_is_replaced(self, turn, code):
        """Once at once; a new one of which the same is said is given up for HTTP."""
        over = payloads({"type": "error", "status": 400, "error": {"code": code}})
        assert turn.tell(joined(), None, over).fresh
        assert isinstance(turn.tell(joined(), None, over), Send)

    def test_an_error_message_is_the_response_that_it_stands_for(self, turn):
        """Its status, headers and body mean what they mean over HTTP."""
        date = formatdate(turn._clock.now + 7, usegmt=True)
        error = {"type": "error", "status": 429, "error": {"code": "rate_limit_exceeded"}}
        step = turn.tell(joined(), None, payloads({**error, "headers": {"Retry-After": date}}))
        assert (7.0, "req-1") == (step.seconds, step.error.request_id)

        expired = {"type": "error", "status": 401, "error": {"detail": "Unauthorized"}}
        assert Refresh("secret-1") == turn.tell(None, FIRST, joined(), None, payloads(expired))
        step = turn.tell(SECOND)
        assert "Bearer secret-2" == step.request.headers["authorization"]

    def test_what_is_refused_unasked_is_left_out_of_the_next_message(self, turn):
        """A refusal in a frame is met as one over HTTP is, and the turn stays on the WebSocket."""
        error = {"message": "Unsupported parameter: prompt_cache_key", "param": "prompt_cache_key"}
        assert b"prompt_cache_key" in turn.tell(joined()).data
        step = turn.tell(None, payloads({"type": "error", "status": 400, "error": error}))

        assert (Sleep, 0.0) == (type(step), step.seconds)
        assert isinstance(turn.tell(None), Join)
        assert b"prompt_cache_key" not in turn.tell(joined()).data

    def test_a_call_whose_arguments_are_no_json_is_gone_on_from(self, turn):
        """What is sent of such a call is what the connection is taken to have seen."""
        socket = joined()
        said = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"p":"abc'}
        done = {"type": "response.output_item.done", "output_index": 0, "item": {**said, "id": "fc"}}
        turn.tell(socket, None, payloads(done, COMPLETED))
        response = turn.emitted[-1].response
        history = [Message.user("Hi"), response.message, Message.tool("c", "no JSON")]
        following = prepare(
            CompletionRequest(messages=history), OPENAI_CODEX, "https://example.org", "gpt-5.5"
        )

        assert socket.seen.fits(following.create())

    LARGE = 16 * 1024 * 1024

    def saying(self, text, fallback, **options):
        """A turn with this question, authorized."""
        request = CompletionRequest(messages=text)
        call = prepare(request, OPENAI_CODEX, "https://example.org", "gpt-5.5")
        clock = Clock()
        turn = Turn(asked(call, context(clock, fallback=fallback, **options)), clock)
        turn.tell(FIRST)
        return turn

    def test_a_message_that_is_too_large_goes_over_http(self, fallback):
        """A connection is joined only if it can be continued on, and then less is to be said."""
        turn = self.saying("x" * self.LARGE, fallback)
        assert turn.step.fitting

        assert isinstance(turn.tell(None), Send)
        assert not fallback.applies("another")

    def test_so_does_what_is_too_large_beside_what_was_seen(self, fallback):
        """A connection that fits may still be told too much."""
        turn = self.saying("x" * self.LARGE, fallback)

        assert isinstance(turn.tell(joined()), Send)

    def test_a_server_that_takes_less_is_believed(self, turn, fallback):
        """After a close with 1009 this request and later ones as large go over HTTP."""
        said = turn.tell(joined())
        too_big = DisconnectError("too big")
        too_big.close_code = 1009
        assert isinstance(turn.tell(None, too_big), Send)

        assert not fallback.takes(len(said.data))
        assert fallback.takes(len(said.data) - 1)

    @pytest.mark.parametrize("outcome", [None, joined()], ids=["none that fits", "one that fits"])
    def test_where_falling_back_is_not_wanted_too_large_is_an_error(self, outcome):
        """It names the size and the option that would help; no request is sent."""
        turn = self.saying("x" * self.LARGE, Fallback(allowed=False))

        with pytest.raises(InvalidRequestError, match="too large for a WebSocket") as caught:
            turn.tell(outcome)
        assert 'transport="auto"' in str(caught.value.hint)

    @pytest.mark.parametrize("outcome", [IdleTimeoutError("x"), DisconnectError("x")])
    def test_where_falling_back_is_not_wanted_silence_is_told(self, outcome):
        """A WebSocket that does not answer is the failure of the turn."""
        turn = self.saying("Hi", Fallback(allowed=False), policy=RetryPolicy(attempts=1))

        with pytest.raises(type(outcome)):
            turn.tell(outcome)

    def test_a_result_of_a_tool_carries_the_state_of_its_turn(self, fallback):
        """What the backend sent with the call goes back with the result, on the same connection."""
        history = [Message.user("Hi"), Message.assistant(ToolCall("c", "f", "{}")), Message.tool("c", "1")]
        turn = self.saying(history, fallback)
        socket = joined(warm=True)
        socket.seen.turn_state = "ts_1"

        said = turn.tell(socket)
        assert {"x-codex-turn-state": "ts_1"} == json.loads(said.data)["client_metadata"]

    def test_a_question_does_not(self, turn):
        """A turn that begins has no state yet."""
        socket = joined(warm=True)
        socket.seen.turn_state = "ts_1"

        assert "client_metadata" not in json.loads(turn.tell(socket).data)

    def test_the_state_of_a_turn_survives_its_connection(self, turn):
        """What the backend wants to hear again it hears on the next connection too."""
        state = {"type": "response.metadata", "headers": {"x-codex-turn-state": "ts_1"}}
        turn.tell(joined(), None, payloads(state), DisconnectError("x"))
        said = turn.tell(None, FIRST, joined())
        assert {"x-codex-turn-state": "ts_1"} == json.loads(said.data)["client_metadata"]

    def test_a_warm_connection_is_replaced_in_a_later_attempt_too(self, turn):
        """What an earlier attempt had heard says nothing about a connection that was closed meanwhile."""
        created = {"type": "response.created", "response": {"id": "resp_1"}}
        assert isinstance(turn.tell(joined(), None, payloads(created), DisconnectError("x")), Sleep)
        step = turn.tell(None, FIRST, joined(warm=True), DisconnectError("x"))
        assert (True, Join) == (step.fresh, type(step))

    def test_a_new_connection_keeps_the_state_of_the_turn(self, fallback):
        """A warm connection that is closed before it says a state does not take the state away."""
        history = [Message.user("Hi"), Message.assistant(ToolCall("c", "f", "{}")), Message.tool("c", "1")]
        turn = self.saying(history, fallback)
        socket = joined(warm=True)
        socket.seen.turn_state = "ts_1"

        said = turn.tell(socket, DisconnectError("x"), joined())
        assert {"x-codex-turn-state": "ts_1"} == json.loads(said.data)["client_metadata"]

    def test_the_programs_own_time_limit_breaks_nothing(self, turn, fallback):
        """A turn that took too long for the program says nothing about WebSockets."""
        for _ in range(2):
            session = turn.step.session_id
            with pytest.raises(TotalTimeoutError):
                turn.tell(joined(), None, TotalTimeoutError("x"))
            turn = self.saying("Hi", fallback)
        assert (session, False) == (turn.step.session_id, fallback.applies(session))

    @pytest.mark.parametrize(("outcome", "error"), BROKEN.values(), ids=BROKEN)
    def test_what_was_seen_is_never_asked_for_again(self, turn, outcome, error):
        """Over WebSocket as over SSE, and what was whole is kept."""
        turn.tell(joined(warm=True), None, payloads(item("Hi")))

        with pytest.raises(error) as caught:
            turn.tell(outcome)
        assert error is type(caught.value)
        assert [Text("Hi")] == list(caught.value.parts)

    def test_where_falling_back_is_not_wanted(self):
        """The refusal is the program's to hear."""
        call = prepare(CompletionRequest(messages="Hi"), OPENAI_CODEX, "https://example.org", "gpt-5.5")
        clock = Clock()
        turn = Turn(
            asked(call, context(clock, policy=RetryPolicy(attempts=1), fallback=Fallback(allowed=False))),
            clock,
        )
        turn.tell(FIRST, Joined(Head(500, {})))
        with pytest.raises(ServerError):
            turn.tell(b"")

    def test_a_preparation_hands_out_nothing(self, fallback):
        """It says what is coming, hears that it was heard, and nothing of it reaches a program."""
        clock = Clock()
        turn = self.preparing(context(clock, policy=RetryPolicy(attempts=1), fallback=fallback))
        said = turn.tell(FIRST, joined())
        assert json.loads(said.data)["generate"] is False
        turn.tell(None, payloads(COMPLETED))

        assert (turn.ended, turn.emitted) == (True, [])

    def test_a_session_over_sse_is_not_prepared(self, fallback):
        """Nothing is asked over HTTP for it."""
        fallback.refused("s", 426)
        turn = self.preparing(context(Clock(), fallback=fallback))
        turn.tell(FIRST)

        assert turn.ended

    @pytest.mark.parametrize("own", ["mine", None], ids=["the client's", "the best one listed"])
    def test_a_preparation_is_for_the_model_of_the_next_request(self, fallback, own):
        """That of the client; without one, the first of the catalogue."""
        request = CompletionRequest(messages="Hi", session_id="s")
        common = context(Clock(), fallback=fallback, model=own)
        turn = Turn(preparation(request, common), common.now)
        if own is None:
            turn.tell(FIRST, Listing(MODELS))

        assert turn.step == Prepare(request, own or "gpt-9")

    def preparing(self, context):
        """A preparation whose request is ready to send."""
        request = CompletionRequest(messages="Hi", session_id="s", model="gpt-5.5")
        turn = Turn(preparation(request, context), context.now)
        assert Prepare(request, "gpt-5.5") == turn.step
        turn.tell(prepare(request, OPENAI_CODEX, "https://example.org", "gpt-5.5"))
        return turn

    def test_without_websocket_nothing_is_prepared(self):
        """The flow ends before its first step; but a request without a session_id is refused there too."""
        request = CompletionRequest(messages="Hi", session_id="s", model="gpt-5.5")
        assert [] == list(preparation(request, context(Clock())))
        with pytest.raises(InvalidRequestError, match="session_id"):
            next(preparation(CompletionRequest(messages="Hi"), context(Clock())))


class TestAChatAnswer:
    """Chat Completions: the finish reason ends an answer, and the usage and ``[DONE]`` may follow."""

    @pytest.fixture
    def turn(self):
        clock = Clock()
        common = replace(context(clock), backend=COMPATIBLE)
        call = chat.prepare(CompletionRequest(messages="Hi"), COMPATIBLE, "https://example.org", "m")
        turn = Turn(asked(call, common), clock)
        turn.tell(APIKey("secret-1"), STREAM)
        return turn

    @staticmethod
    def chunk(finish=None, **delta):
        return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    @pytest.mark.parametrize("outcome", [DisconnectError("x"), IdleTimeoutError("x"), END])
    def test_a_connection_that_breaks_after_the_finish_reason_does_no_harm(self, turn, outcome):
        """The answer is whole, and it is not asked for again."""
        turn.tell(payloads(self.chunk(content="Hello"), self.chunk("stop")), outcome)

        assert turn.ended
        assert "Hello" == turn.text
        assert "done" == turn.emitted[-1].type

    @pytest.mark.parametrize("outcome", [DisconnectError("x"), END])
    def test_before_it_the_answer_is_cut(self, turn, outcome):
        """What the program has seen is not asked for again, and what was missing is not made up."""
        turn.tell(payloads(self.chunk(content="Hello")))

        with pytest.raises(StreamTruncatedError):
            turn.tell(outcome)
        assert ["text"] == [chunk.type for chunk in turn.emitted]


def test_what_one_turn_learned_to_leave_out_later_turns_leave_out():
    """A field that was refused although the program did not ask for it is not sent again."""
    common = context(Clock())

    def turn():
        call = prepare(CompletionRequest(messages="Hi"), OPENAI_CODEX, "https://example.org", "gpt-5.5")
        turn = Turn(asked(call, common), common.now)
        turn.tell(FIRST)
        return turn

    first = turn()
    assert b"prompt_cache_key" in first.step.request.body
    error = {"message": "Unsupported parameter: prompt_cache_key", "param": "prompt_cache_key"}
    first.tell(*refused(400, {"error": error}), None)
    assert b"prompt_cache_key" in turn().step.request.body  # not yet: it may not have helped
    first.tell(STREAM, payloads(item("Hi"), COMPLETED))

    assert b"prompt_cache_key" not in turn().step.request.body


HALF = "half a character: \ud83d"


@pytest.mark.parametrize("backend", [OPENAI_CODEX, COMPATIBLE], ids=["Responses", "Chat Completions"])
@pytest.mark.parametrize(
    "messages",
    [HALF, [Message.user("a"), Message.assistant(ToolCall("c", "f", HALF)), Message.tool("c", "1")]],
    ids=["text", "arguments"],
)
def test_half_a_character_is_an_error_of_the_request(backend: Backend, messages):
    """JSON in UTF-8 cannot hold it; the error says so before anything is sent."""
    common = replace(context(Clock()), backend=backend)

    with pytest.raises(InvalidRequestError, match="half of a character"):
        prepare_in(CompletionRequest(messages=messages), common, "m")


@pytest.mark.parametrize(
    ("backend", "path"),
    [(OPENAI_CODEX, "/responses"), (COMPATIBLE, "/chat/completions")],
    ids=["Responses", "Chat Completions"],
)
def test_the_row_decides_in_which_api_a_request_is_made(backend: Backend, path):
    """And ``raise_unsupported`` of the client counts there."""
    common = replace(context(Clock()), backend=backend)
    request = CompletionRequest(messages="Hi", metadata={"a": "b"})

    assert prepare_in(request, common, "m").url == f"https://example.org{path}"
    with pytest.raises(InvalidRequestError, match="metadata"):
        prepare_in(request, replace(common, raise_unsupported=True), "m")


@pytest.mark.parametrize("backend", [OPENAI_CODEX, COMPATIBLE], ids=["Responses", "Chat Completions"])
def test_an_effort_is_one_that_the_catalogue_lists(backend: Backend):
    """Of a model that was never listed nothing is known, and the effort stays."""
    common = replace(context(Clock()), backend=backend)
    short = ModelInfo("m", "M", backend.name, reasoning_efforts=["low"])
    common.catalogue.ended(Listing([short]), common.now(), account_of(FIRST))
    request = CompletionRequest(messages="Hi", reasoning_effort="high")

    other, listed = (prepare_in(request, common, model) for model in ("other", "m"))
    assert (other.reports.emulated, b'"high"' in other.body) == ((), True)
    assert (listed.reports.emulated, b'"high"' in listed.body) == (("reasoning_effort",), False)
    with pytest.raises(InvalidRequestError, match="does not offer"):
        prepare_in(request, replace(common, raise_unsupported=True), "m")


@pytest.mark.parametrize(("asked", "sent"), [("minimal", b'"low"'), ("high", b'"high"')])
def test_an_effort_is_one_that_is_known_of_the_model(asked, sent):
    """As long as no catalogue was read, what is built in counts."""
    known = ModelInfo("m", "M", "openai-codex", reasoning_efforts=["low", "high"])
    other = ModelInfo("other", "Other", "openai-codex", reasoning_efforts=["minimal"])
    backend = replace(OPENAI_CODEX, fallback_models=(other, known))
    common = replace(context(Clock()), backend=backend)
    call = prepare_in(CompletionRequest(messages="Hi", reasoning_effort=asked), common, "m")

    assert sent in call.body


MODELS = [ModelInfo(id="gpt-9", name="GPT-9", provider="openai-codex")]


class TestRepairs:
    """An answer that does not fit the ``response_format`` is asked for again, so often at most."""

    REQUEST = CompletionRequest(messages="Hi", model="gpt-5.5", response_format=list[int])

    def repairing(self, repairs):
        """A completion of ``REQUEST`` that may be repaired, before its first step."""
        clock = Clock()
        return Turn(completion(self.REQUEST, context(clock), repairs), clock)

    def answered(self, turn, text):
        """One answer of the model."""
        call = prepare(turn.step.request, OPENAI_CODEX, "https://example.org", turn.step.model)
        turn.tell(call, FIRST, STREAM, payloads(item(text), COMPLETED))

    @pytest.mark.parametrize(
        ("repairs", "said", "repaired", "fits"),
        [
            (2, ['{"value": [1]}'], 0, True),
            (2, ["[1]", '{"value": [1]}'], 1, True),
            (2, ["[1]", "[1]", '{"value": [1]}'], 2, True),
            (2, ["[1]", "[1]", "[1]"], 2, False),
            (1, ["[1]", "[1]"], 1, False),
            (0, ["[1]"], 0, False),
        ],
    )
    def test_until_it_fits(self, repairs, said, repaired, fits):
        """Each further turn says what was wrong; the last answer is the result, whether it fits or not."""
        turn = self.repairing(repairs)
        for number, text in enumerate(said):
            assert len(turn.step.request.messages) == 1 + 2 * number
            self.answered(turn, text)

        assert (turn.ended, turn.result.repairs) == (True, repaired)
        if fits:
            assert turn.result.parsed == [1]
        else:
            with pytest.raises(OutputError):
                assert turn.result.parsed

    def test_a_number_that_is_none(self):
        """It is refused before anything is asked."""
        with pytest.raises(InvalidRequestError, match="repairs=-1"):
            self.repairing(-1)


class TestTheDefaultModel:
    @pytest.fixture
    def common(self):
        """What two turns have in common."""
        return context(Clock())

    def asked_for(self, common, credential=FIRST):
        """The model of a request that names none, for the account of ``credential``."""
        turn = Turn(completion(CompletionRequest(messages="Hi"), common), common.now)
        assert Authorize() == turn.step
        turn.tell(credential)
        return turn

    def test_a_request_that_names_one_decides(self, common):
        """Neither the client's model nor the catalogue counts."""
        request = CompletionRequest(messages="Hi", model="gpt-5.5")
        step = Turn(completion(request, replace(common, model="other")), common.now).step
        assert Prepare(request, "gpt-5.5") == step

    def test_its_answer_is_the_end(self, common):
        """A turn that named its model asks for nothing else afterwards."""
        request = CompletionRequest(messages="Hi", model="gpt-5.5")
        turn = Turn(completion(request, common), common.now)
        call = prepare(request, OPENAI_CODEX, "https://example.org", "gpt-5.5")
        turn.tell(call, FIRST, STREAM, payloads(item("Hi"), COMPLETED))

        assert (turn.ended, turn.text) == (True, "Hi")

    def test_then_the_clients_own_counts(self, common):
        """The profile's model, or that of the environment, needs no catalogue."""
        turn = Turn(completion(CompletionRequest(messages="Hi"), replace(common, model="mine")), common.now)
        assert "mine" == turn.step.model

    def test_then_the_best_one_listed(self, common):
        """The catalogue is asked for."""
        turn = self.asked_for(common)
        assert ListModels(common.catalogue.attempts) == turn.step
        assert "gpt-9" == turn.tell(Listing(MODELS)).model

    def test_a_catalogue_counts_for_an_hour(self, common):
        """Within it the next turn asks for none; after it, it does."""
        common.catalogue.ended(Listing(MODELS), common.now(), account_of(FIRST))
        common.now.now += 3599
        assert "gpt-9" == self.asked_for(common).step.model
        common.now.now += 1
        assert ListModels(common.catalogue.attempts) == self.asked_for(common).step

    @pytest.mark.parametrize(
        "credential",
        [
            OAuthCredentials(access_token="secret-1", account_id="acct-2"),
            OAuthCredentials(access_token="secret-1", account_id="acct-1", plan="pro"),
            OAuthCredentials(access_token="secret-1", client_id="oaiapp_1"),
            APIKey("secret-1"),
            APIKey("secret-2"),
            APIKey("half a character \ud83d"),
        ],
        ids=["another account", "another plan", "another client", "a key", "another key", "an odd key"],
    )
    def test_a_catalogue_counts_for_its_own_account(self, common, credential):
        """Another account in the same store asks what it is offered; new tokens of the same one do not."""
        common.catalogue.ended(Listing(MODELS), common.now(), account_of(FIRST))
        assert "gpt-9" == self.asked_for(common, SECOND).step.model
        assert ListModels(common.catalogue.attempts) == self.asked_for(common, credential).step

        common.catalogue.ended(Listing(MODELS), common.now(), account_of(credential))
        assert "gpt-9" == self.asked_for(common, credential).step.model
        assert ListModels(common.catalogue.attempts) == self.asked_for(common, FIRST).step

    def test_built_in_models_are_not_kept(self, common):
        """The next turn asks the backend again."""
        common.catalogue.ended(Listing(MODELS, ServerError("x")), common.now(), account_of(FIRST))
        assert ListModels(common.catalogue.attempts) == self.asked_for(common).step

    def gone(self, turn):
        """The model is refused, and so is the catalogue that would say what there is instead."""
        turn.tell(prepare(turn.step.request, OPENAI_CODEX, "https://example.org", "gpt-9"), FIRST)
        head, body = refused(404, {"error": {"code": "model_not_found", "message": "No such model."}})
        turn.tell(head, body, FIRST)
        return turn.tell(ConnectError("x"), FIRST)

    def test_one_that_is_gone_is_replaced_by_the_best_one_now(self, common):
        """The catalogue is asked for again, and another model of it at once."""
        common.catalogue.ended(Listing(MODELS), common.now(), account_of(FIRST))
        turn = self.asked_for(common)
        assert ListModels(common.catalogue.attempts) == self.gone(turn)
        newer = replace_struct(MODELS[0], id="gpt-10")

        assert "gpt-10" == turn.tell(Listing([newer])).model

    def test_the_refusal_names_the_models_that_there_are(self, common):
        """They are asked for once, briefly; without an answer the built-in ones are named."""
        request = CompletionRequest(messages="Hi", model="gpt-5.4")
        head, body = refused(404, {"error": {"code": "model_not_found", "message": "No such model."}})
        listed = json.dumps({"models": [{"slug": "gpt-10", "visibility": "list"}]}).encode()
        for outcomes, named in (
            ((Head(200, {}), listed), "gpt-10"),
            ((ConnectError("x"),), "gpt-5.5"),
        ):
            turn = Turn(completion(request, common), common.now)
            call = prepare(request, OPENAI_CODEX, "https://example.org", "gpt-5.4")
            assert turn.tell(call, FIRST, head, body, FIRST).timeout == 10
            with pytest.raises(ModelNotAvailableError) as caught:
                turn.tell(*outcomes)
            assert named in caught.value.hint

    @pytest.mark.parametrize("outcome", [Listing(MODELS), ConnectError("x")], ids=["the same", "none"])
    def test_where_there_is_no_other_the_refusal_is_told(self, common, outcome):
        """And the next turn asks for the catalogue again."""
        common.catalogue.ended(Listing(MODELS), common.now(), account_of(FIRST))
        turn = self.asked_for(common)
        self.gone(turn)
        with pytest.raises(ModelNotAvailableError):
            turn.tell(outcome)

        assert ListModels(common.catalogue.attempts) == self.asked_for(common).step


class TestTheListing:
    @pytest.fixture
    def common(self):
        """A context whose attempts are not repeated."""
        return context(Clock(), policy=RetryPolicy(attempts=1))

    @pytest.fixture
    def asking(self, common):
        """A listing that is authorized."""
        turn = Turn(listing(common), common.now)
        turn.tell(FIRST)
        return turn

    def test_what_the_backend_lists_is_kept(self, common, asking):
        """It is the result, and decides the default model from now on."""
        asking.tell(Head(200, {}), TestTheCatalogue.BODY)

        assert ["gpt-5.5"] == [model.id for model in asking.result.models]
        assert asking.result.problem is None
        assert asking.result.models == common.catalogue.models(common.now(), account_of(FIRST))
        assert () == common.catalogue.models(common.now(), account_of(APIKey()))

    def test_without_one_there_is_the_built_in_list(self, common, asking):
        """The reason comes with it."""
        asking.tell(ConnectError("x"))

        assert list(OPENAI_CODEX.fallback_models) == list(asking.result.models)
        assert isinstance(asking.result.problem, ConnectError)

    def test_several_share_the_built_in_list_too(self, common, asking):
        """A backend that cannot be asked is not asked by each of them."""
        asking.tell(ConnectError("x"))

        assert asking.result is common.catalogue.outcome_since(0)

    def test_a_backend_without_built_in_models_must_be_asked(self, common):
        """There is nothing to take in their place; those that wait get the same error."""
        common = replace(common, backend=replace(OPENAI_CODEX, fallback_models=()))
        turn = Turn(listing(common), common.now)
        turn.tell(FIRST)

        with pytest.raises(ConnectError):
            turn.tell(ConnectError("x"))
        with pytest.raises(ConnectError):
            common.catalogue.outcome_since(0)

    def test_a_problem_with_the_sign_in_is_not_hidden(self, common):
        """The built-in list would say that all is well."""
        turn = Turn(listing(common), common.now)
        with pytest.raises(SignInAgainError):
            turn.tell(SignInAgainError("x"))

    def test_several_that_want_it_share_one_outcome(self, common, asking):
        """What ended since they began to wait is theirs, success and failure; what ended before is not."""
        before = common.catalogue.attempts
        assert common.catalogue.outcome_since(before) is None
        asking.tell(Head(200, {}), TestTheCatalogue.BODY)
        assert asking.result is common.catalogue.outcome_since(before)
        assert common.catalogue.outcome_since(common.catalogue.attempts) is None

        with pytest.raises(SignInAgainError):
            Turn(listing(common), common.now).tell(SignInAgainError("x"))
        with pytest.raises(SignInAgainError):
            common.catalogue.outcome_since(before)
