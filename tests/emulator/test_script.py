"""Turns that the model is told to play, over every wire, and what is refused."""

from __future__ import annotations

import json

import pytest

from onplan.emulator import Call, Emulator, Limit, Options, Scenario, Turn

from .test_model import CLOCK, WEATHER, calls_of, kinds, text_of

OSLO = Call("get_weather", {"city": "Oslo", "unit": "C"})
CUSTOM = {"type": "custom", "name": "run"}
SUMMARY = {"reasoning": {"summary": "auto"}}


@pytest.fixture
def played(client):
    """Tells the model what to do, and gives the client; nothing is left to play afterwards."""

    def play(*turns):
        client.emulator.clear_turns()
        client.emulator.play(*turns)
        return client

    yield play
    client.emulator.clear_turns()


def in_chat(client, **fields):
    """A whole chat completion, and the same turn's chunks would be equal."""
    tools = [
        {"type": "function", "function": {k: tool[k] for k in ("name", "parameters")}}
        for tool in fields.pop("tools", [])
    ]
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}], **fields}
    return client.http.post(
        f"{client.emulator.urls['openai_base_url']}/chat/completions",
        json={**body, "tools": tools} if tools else body,
        headers={"authorization": "Bearer sk-x"},
    )


def test_turns_are_played_in_order_and_then_the_small_model_answers(played):
    """Each request takes one; after the last one the answer is an echo again."""
    client = played(Turn(text="One."), Turn(text="Two."))
    assert [text_of(client.completed()) for _ in range(3)] == ["One.", "Two.", "You said: hi"]
    assert client.emulator.turns_left == 0


def test_text_thinking_and_calls_in_one_turn(played):
    """They come as items in that order; the arguments are the JSON text of what was given."""
    client = played(Turn(thinking="Where is it?", text="Let me see.", tool_calls=[OSLO, Call("get_time")]))
    response = client.completed(tools=[WEATHER, CLOCK], **SUMMARY)
    assert [item["type"] for item in response["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    assert response["output"][0]["summary"][0]["text"] == "Where is it?"
    assert [(call["name"], call["arguments"]) for call in calls_of(response)] == [
        ("get_weather", '{"city":"Oslo","unit":"C"}'),
        ("get_time", "{}"),
    ]


def test_thinking_is_shown_only_where_a_summary_is_asked_for(played):
    """As at the services; without thinking of its own a turn shows none."""
    client = played(Turn(thinking="Hm.", text="One."), Turn(text="Two."))
    assert client.completed()["output"][0]["summary"] == []
    assert client.completed(**SUMMARY)["output"][0]["summary"] == []


def test_arguments_that_are_no_json_are_sent_as_they_are(played):
    """So a program's answer to broken arguments can be tested; custom tools take text anyway."""
    client = played(Turn(tool_calls=[Call("get_time", "{not json")]), Turn(tool_calls=[Call("run", "ls")]))
    (call,) = calls_of(client.completed(tools=[CLOCK]))
    assert call["arguments"] == "{not json"
    custom = client.completed(tools=[CUSTOM])["output"][-1]
    assert (custom["type"], custom["input"]) == ("custom_tool_call", "ls")


def test_turns_are_played_over_a_websocket(played):
    """And the beginning that is only to be remembered takes none."""
    client = played(Turn(tool_calls=[Call("get_time")]), Turn(text="It is noon."))
    with client.websocket() as socket:
        socket.create("hi", tools=[CLOCK], generate=False)
        first = socket.create("hi", tools=[CLOCK])[-1]["response"]
        (call,) = calls_of(first)
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "12:00"}
        events = socket.create(result, tools=[CLOCK], previous_response_id=first["id"])
        assert text_of(events[-1]["response"]) == "It is noon."


def test_turns_are_played_by_chat_completions(played):
    """Whole and in chunks; thinking is not sent, as the platform does not send it."""
    turn = Turn(thinking="Hm.", text="Let me see.", tool_calls=[OSLO])
    client = played(turn, turn)
    choice = in_chat(client, tools=[WEATHER]).json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "Let me see.")
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo","unit":"C"}'}
    streamed = in_chat(client, tools=[WEATHER], stream=True).text
    assert '"content":"Let"' in streamed
    assert '"name":"get_weather"' in streamed


def test_turns_are_played_by_the_plan_api_and_the_platform(played):
    """One queue for all wires."""
    client = played(Turn(text="For the plan."), Turn(text="For a key."))
    tokens = client.emulator.issue_plan_tokens()
    body = {"model": "gpt-5.5", "stream": True, "store": False, "input": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    plan = client.http.post(f"{client.emulator.plan_base_url}/responses", json=body, headers=headers)
    assert '"text":"For the plan."' in plan.text
    key = {"authorization": "Bearer sk-x"}
    body = {"model": "gpt-5.5", "input": "hi"}
    platform = client.http.post(
        f"{client.emulator.urls['openai_base_url']}/responses", json=body, headers=key
    )
    assert text_of(platform.json()) == "For a key."


def test_a_fault_takes_the_place_of_one_turn(played):
    """The next request gets the next turn."""
    client = played(Turn(text="One."), Turn(fault="overloaded_503"), Turn(text="Two."))
    replies = [client.turn() for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 503, 200]
    assert '"text":"Two."' in replies[2].text


def test_a_fault_changes_the_turn_that_it_stands_in(played):
    """One in the middle of a stream lets the turn begin; alone, it changes the small model's answer."""
    client = played(
        Turn(text="One and more.", fault="overloaded_in_stream"), Turn(fault="response_failed_slow_down")
    )
    assert kinds(client.events())[-1] == "failed"
    assert kinds(client.events())[-1] == "failed"
    assert kinds(client.events())[-1] == "completed"


def test_a_fault_of_a_turn_waits_for_a_request_that_is_accepted(played):
    """A request that is refused, for its token, takes no turn."""
    client = played(Turn(fault="overloaded_503"))
    assert client.turn(headers={"authorization": "Bearer expired"}).status_code == 401
    assert client.turn().status_code == 503


def test_faults_have_their_form_for_chat_completions(played):
    """The same name plays the row of that API; one that it has not is refused with the places it has."""
    client = played(Turn(fault="overloaded_503"), Turn(fault="usage_limit_429"))
    assert in_chat(client).status_code == 503
    refused = in_chat(client)
    assert refused.status_code == 400
    assert "usage_limit_429 does not happen here, but at: responses" in refused.json()["error"]["message"]


def test_tokens_can_be_told(played):
    """What a turn counts as, for budgets."""
    client = played(Turn(text="One.", input_tokens=1_000, output_tokens=7))
    usage = client.completed()["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (1_000, 7, 1_007)
    assert usage["output_tokens_details"]["reasoning_tokens"] <= 7


@pytest.mark.parametrize(
    ("turn", "fields", "sentence"),
    [
        (
            Turn(tool_calls=[Call("f")]),
            {"tools": [CLOCK, WEATHER]},
            "'f', and the request lets it call: get_",
        ),
        (Turn(tool_calls=[OSLO]), {}, "lets it call: none"),
        (Turn(tool_calls=[OSLO]), {"tools": [WEATHER], "tool_choice": "none"}, "lets it call: none"),
        (
            Turn(tool_calls=[OSLO]),
            {"tools": [WEATHER, CLOCK], "tool_choice": {"type": "function", "name": "get_time"}},
            "lets it call: get_time",
        ),
        (Turn(text="No."), {"tools": [CLOCK], "tool_choice": "required"}, "tool_choice requires a call"),
        (
            Turn(tool_calls=[Call("get_time"), Call("get_time")]),
            {"tools": [CLOCK], "parallel_tool_calls": False},
            "parallel_tool_calls is false",
        ),
        (Turn(tool_calls=[Call("run", {"a": 1})]), {"tools": [CUSTOM]}, "'run' takes text"),
    ],
)
def test_what_the_request_does_not_allow_is_refused(played, turn, fields, sentence):
    """With a sentence in the error; the model of the services could not have done it."""
    reply = played(turn).turn(**fields)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "emulator_turn")
    assert sentence in error["message"]


@pytest.mark.parametrize(
    ("turn", "sentence"),
    [
        ({}, "neither text, thinking, searches, images, tool_calls nor fault"),
        ({"txt": "hi"}, "unknown field `txt`"),
        ({"tool_calls": [{"nam": "x"}]}, "unknown field `nam`"),
        ({"text": 1}, "Expected `str | null`"),
        ({"fault": "overloaded"}, "There is no fault 'overloaded'. Similar names"),
        ({"fault": "discovery_500"}, "discovery_500"),
        ({"fault": "account_header_required"}, "depends on the request"),
        ({"text": "hi", "fault": "overloaded_503"}, "instead of an answer"),
        ({"text": "hi", "seconds": 1}, "there is none"),
        ({"fault": "stall", "seconds": -1}, "negative"),
        ({"text": "hi", "output_tokens": -1}, "negative"),
    ],
)
def test_turns_that_cannot_be_played_are_refused_at_once(client, tmp_path, turn, sentence):
    """In a file and over HTTP, with the number of the turn or the field; none of the request's is added."""
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({"turns": [{"text": "fine"}, turn]}))
    with pytest.raises(ValueError, match="is not valid") as error:
        Scenario.from_file(path)
    reply = client.post("/_emulator/turns", {"turns": [{"text": "fine"}, turn]})
    assert reply.status_code == 400
    assert sentence in str(error.value)
    assert sentence in reply.json()["error"]["message"]
    assert client.emulator.turns_left == 0


def test_wrong_types_from_python_are_refused_at_once(client):
    """A program's own mistakes, too."""
    with pytest.raises(ValueError, match=r"turns\[0\] cannot be played: Expected `str"):
        client.emulator.play(Turn(text=5))
    with pytest.raises(ValueError, match=r"turns\[0\]"):
        Options(scenario=Scenario(turns=[Turn()]))
    with pytest.raises(ValueError, match=r"turns\[0\]"):
        Emulator(turns=[Turn()])


def test_turns_from_a_scenario_then_those_given_to_the_emulator(connect):
    """Both are played, the scenario's first, and each start plays them again."""
    emulator = Emulator(Options(scenario=Scenario(turns=[Turn(text="One.")])), turns=[Turn(text="Two.")])
    for _ in range(2):
        with emulator:
            client = connect(emulator)
            assert [text_of(client.completed()) for _ in range(2)] == ["One.", "Two."]


def test_turns_are_listed_added_and_forgotten_over_http(client):
    """As JSON that can be sent back."""
    turns = {"turns": [{"text": "One."}, {"tool_calls": [{"name": "get_time"}]}]}
    added = client.post("/_emulator/turns", turns).json()
    assert [turn["text"] for turn in added["turns"]] == ["One.", None]
    assert client.get("/_emulator/turns").json() == added
    assert client.post("/_emulator/turns", added).json()["turns"] == added["turns"] * 2
    assert client.http.delete(f"{client.emulator.issuer}/_emulator/turns").json() == {"turns": []}
    assert text_of(client.completed()) == "You said: hi"


# --- limits that fill -----------------------------------------------------------------------------------


@pytest.fixture
def limited(client):
    """Sets limits, and gives the client; they are lifted afterwards."""

    def limit(*limits):
        client.emulator.set_limits(*limits)
        return client

    yield limit
    client.emulator.set_limits()


def shares(headers):
    return [headers.get(f"x-codex-{name}-used-percent") for name in ("primary", "secondary")]


def usage_of(client):
    return client.get("/backend-api/wham/usage", headers=client.headers()).json()


def test_windows_fill_with_every_turn(limited, played):
    """The headers tell what was used before; the usage endpoint has integers; one window may be alone."""
    client = limited(Limit(minutes=300, tokens=1_000), Limit(minutes=10_080, tokens=8_000, used=800))
    played(*[Turn(text="x", input_tokens=100, output_tokens=25)] * 2)
    assert shares(client.turn().headers) == ["0", "10"]
    assert shares(client.turn().headers) == ["12.5", "11.5625"]
    rate_limit = usage_of(client)["rate_limit"]
    windows = [rate_limit[f"{name}_window"] for name in ("primary", "secondary")]
    assert [window["used_percent"] for window in windows] == [25, 13]
    assert [window["limit_window_seconds"] for window in windows] == [18_000, 604_800]
    assert (rate_limit["allowed"], rate_limit["limit_reached"]) == (True, False)


def test_a_full_window_is_a_usage_limit(limited, played):
    """The turn that fills it is answered; the next one is refused until the window resets, and not played."""
    client = limited(Limit(minutes=300, tokens=100, resets_in=600))
    played(Turn(text="x", input_tokens=90, output_tokens=20), Turn(text="y"))
    assert client.turn().status_code == 200
    reply = client.turn()
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["plan_type"]) == (429, "usage_limit_reached", "plus")
    assert 590 <= error["resets_in_seconds"] <= 600
    assert shares(reply.headers) == ["100", None]
    usage = usage_of(client)
    assert usage["rate_limit_reached_type"] == {"type": "rate_limit_reached"}
    assert (usage["rate_limit"]["allowed"], usage["rate_limit"]["limit_reached"]) == (False, True)
    assert usage["rate_limit"]["secondary_window"] is None
    assert client.emulator.turns_left == 1


def test_a_window_resets(limited):
    """And then has its whole length before it."""
    client = limited(Limit(minutes=300, tokens=100, used=100, resets_in=0))
    assert client.turn().status_code == 200
    (window,) = client.get("/_emulator/limits").json()["limits"]
    assert 0 < window["used"] < 100
    assert usage_of(client)["rate_limit"]["primary_window"]["reset_after_seconds"] > 17_900


def test_limits_hold_over_a_websocket_and_at_the_plan_api(limited):
    """There as an error message and an event, here with the code that the API has; keys are not limited."""
    client = limited(Limit(minutes=300, tokens=60))
    with client.websocket() as socket:
        (event,) = [event for event in socket.create("hi") if event["type"] == "codex.rate_limits"]
        assert event["rate_limits"]["primary"]["used_percent"] == 0
        assert event["rate_limits"]["secondary"] is None
        client.emulator.set_limits(Limit(minutes=300, tokens=1, used=1))
        assert socket.create("hi")[-1]["error"]["type"] == "usage_limit_reached"
    tokens = client.emulator.issue_plan_tokens()
    body = {"model": "gpt-5.5", "stream": True, "store": False, "input": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    plan = client.http.post(f"{client.emulator.plan_base_url}/responses", json=body, headers=headers)
    code = plan.json()["error"]["code"]
    assert (plan.status_code, code) == (429, "subscription_sharing_usage_limit_exceeded")
    assert in_chat(client).status_code == 200


def test_limits_are_set_over_http(client):
    """And lifted."""
    wanted = {"limits": [{"minutes": 10_080, "tokens": 5, "used": 5}]}
    assert client.post("/_emulator/limits", wanted).json() == wanted
    assert client.turn().status_code == 429
    assert client.http.delete(f"{client.emulator.issuer}/_emulator/limits").json() == {"limits": []}
    assert shares(client.turn().headers) == ["12.5", "34"]


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ([{"minutes": 0, "tokens": 1}], "minutes must be at least 1"),
        ([{"minutes": 1, "tokens": 0}], "tokens must be at least 1"),
        ([{"minutes": 1, "tokens": 1, "used": -1}], "used must be at least 0"),
        ([{"minutes": 1, "tokens": 1.5}], "Expected `int`"),
        ([{"minutes": 1, "tokens": 1}] * 3, "there are 3"),
    ],
)
def test_limits_that_cannot_be_are_refused(client, tmp_path, limits, sentence):
    """In a file and over HTTP."""
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({"limits": limits}))
    with pytest.raises(ValueError, match="is not valid") as error:
        Scenario.from_file(path)
    reply = client.post("/_emulator/limits", {"limits": limits})
    assert sentence in str(error.value)
    assert (reply.status_code, sentence in reply.json()["error"]["message"]) == (400, True)
