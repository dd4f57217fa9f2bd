"""Searches without a model, by both clients: what is sent, what comes, and how they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Options, Page, Scenario, Turn
from onplan.search.reply import SearchResponse, SearchResult
from onplan.search.tool import result_text, search_tool
from onplan.stores import open_store

from ..conftest import issued, source_locals

WREN = "https://birds.example/wren"
THRICE = onplan.RetryPolicy(attempts=3, wait_initial=0.01)
both = pytest.mark.parametrize("driver", ["sync", "async"], indirect=True)
Work = Callable[[Any], Any]


def done(driver: Any, work: Work, **options: Any) -> Any:
    """What ``work`` returns, which gets a client, and awaits nothing: it returns what a method returned."""
    client = driver(retry=THRICE, **options).client()
    if isinstance(client, onplan.Client):
        with client:
            return work(client)

    async def run() -> Any:
        async with client:
            return await work(client)

    return asyncio.run(run())


def test_the_text_for_a_model_names_the_pages_that_have_an_address() -> None:
    """Those that the text does not name itself; a page without an address has none to be told."""
    pages = [SearchResult("a", WREN, "Wren"), SearchResult("b", "", "No address")]
    assert result_text(SearchResponse("Found.", pages, "s")) == f"Found.\n\n[a] Wren {WREN}"
    assert result_text(SearchResponse(f"Found {WREN}", pages, "s")) == f"Found {WREN}"


def test_each_command_of_the_tool_is_described() -> None:
    """The model reads what each is for, and what its fields are."""
    commands = search_tool(lambda **commands: "", "web").parameters["properties"]
    assert set(commands) == {"search_query", "open", "click", "find"}
    for command in commands.values():
        assert command["description"]
        fields = command["items"]["properties"]
        assert set(command["items"]["required"]) <= set(fields)
        assert all(field["description"] for field in fields.values())


def posts(emulator: Emulator) -> list[dict[str, Any]]:
    return [row for row in emulator.journal() if row["path"].endswith("/alpha/search")]


@both
def test_a_search_finds_pages(signed_in: Emulator, driver: Any) -> None:
    """The text, the pages with their references, and the session in which they are known."""
    found = done(driver, lambda client: client.search("the wren", model="gpt-5.5"))

    assert found.results[0] == onplan.SearchResult("turn0search0", WREN, "The wren")
    assert found.text.startswith("[turn0search0] The wren")
    (row,) = posts(signed_in)
    assert row["body"] == {
        "id": found.session_id,
        "commands": {"search_query": [{"q": "the wren"}]},
        "settings": {"allowed_callers": ["direct"], "external_web_access": True},
        "max_output_tokens": 10_000,
        "model": "gpt-5.5",
    }
    assert row["headers"]["accept"] == "*/*"
    own = {"session-id", "openai-beta", "content-encoding", "x-codex-turn-state"}
    assert not own & row["headers"].keys()


@both
def test_references_live_in_their_session(signed_in: Emulator, driver: Any) -> None:
    """Open, click and find go on from what was found; without the session they are not known."""
    found = done(driver, lambda client: client.search("the wren"))
    more = {"session_id": found.session_id}
    page = done(driver, lambda client: client.search.open(found.results[0], line=2, **more))
    assert page.text.endswith("L2: It eats insects and spiders.\nL3: See [birds](https://birds.example/).")
    assert page.session_id == found.session_id
    linked = done(driver, lambda client: client.search.click(page.results[0], 1, **more))
    assert linked.results[0].url == "https://birds.example/"
    place = done(driver, lambda client: client.search.find(page.results[0].ref_id, "insects", **more))
    assert place.text == "L2: It eats insects and spiders."
    assert done(driver, lambda client: client.search.open(WREN)).results[0].url == WREN
    lost = done(driver, lambda client: client.search.open(found.results[0]))
    assert lost.text == "Error: the reference turn0search0 is not known."


def test_the_options_are_said_in_the_backends_words(signed_in: Emulator) -> None:
    """Each of them, and commands that have no method of their own."""
    with onplan.Client(model="gpt-5.5") as client:
        client.search(
            ["a", "b"],
            recency=7,
            session_id="s",
            live="indexed",
            allowed_domains=["a.example"],
            blocked_domains="b.example",
            location={"city": "Rome"},
            context_size="low",
            max_output_tokens=99,
        )
        client.search.run({"weather": [{"location": "Oslo"}], "open": []})
    first, second = (row["body"] for row in posts(signed_in))
    more = {"recency": 7}
    assert first["commands"] == {"search_query": [{"q": "a", **more}, {"q": "b", **more}]}
    assert (first["id"], first["max_output_tokens"], first["model"]) == ("s", 99, "gpt-5.5")
    assert first["settings"] == {
        "allowed_callers": ["direct"],
        "external_web_access": "indexed",
        "user_location": {"type": "approximate", "city": "Rome"},
        "search_context_size": "low",
        "filters": {"allowed_domains": ["a.example"], "blocked_domains": ["b.example"]},
    }
    assert second["commands"] == {"weather": [{"location": "Oslo"}]}


@both
@pytest.mark.parametrize(
    ("fault", "times", "error", "count"),
    [
        ("search_500", 2, None, 3),
        ("search_500", 3, onplan.ServerError, 3),
        ("search_lost", 1, None, 2),
        ("search_unauthorized", 1, None, 2),
        ("search_rate_limited", 1, onplan.RateLimitError, 1),
        ("search_404", 1, onplan.UnexpectedReplyError, 1),
        ("search_without_output", 1, onplan.UnexpectedReplyError, 1),
        ("search_html", 1, onplan.OnplanError, None),
    ],
)
def test_failures(
    signed_in: Emulator, driver: Any, fault: str, times: int, error: Any, count: int | None
) -> None:
    """What passes is tried again; what does not is an error that says so, after one request."""
    signed_in.arm(fault, times=times)

    def search(client: Any) -> Any:
        return client.search("the wren", model="gpt-5.5")

    if error is None:
        assert done(driver, search).results
    else:
        with pytest.raises(error) as caught:
            done(driver, search)
        assert "Bearer" not in str(source_locals(caught.value))
    assert count in (None, len(posts(signed_in)))


@both
def test_a_limit_of_searches_is_not_the_plans(signed_in: Emulator, driver: Any) -> None:
    """The error says whose it is, and turns are answered."""
    signed_in.arm("search_rate_limited")
    with pytest.raises(onplan.RateLimitError, match="Web search has a limit of its own") as caught:
        done(driver, lambda client: client.search("the wren", model="gpt-5.5"))
    assert "onplan usage" in str(caught.value.hint)
    assert driver().complete("hi").text == "You said: hi"


@both
def test_a_refused_search_signs_nothing_out(signed_in: Emulator, driver: Any) -> None:
    """The token is refreshed once, and the search repeated once; then its refusal is the error."""
    signed_in.arm("search_access_enforcement", times=9)
    with pytest.raises(onplan.SignInAgainError) as caught:
        done(driver, lambda client: client.search("the wren", model="gpt-5.5"))
    refreshes = [row for row in signed_in.journal() if row["path"] == "/oauth/token"]
    assert (len(posts(signed_in)), len(refreshes)) == (2, 1)
    assert "onplan ask hi" in str(caught.value.hint)
    assert driver().complete("hi").text == "You said: hi"


@both
def test_what_fails_on_the_web_is_text(signed_in: Emulator, driver: Any) -> None:
    """As the backend tells it inside a 200; and results that cannot be read are left out."""
    signed_in.arm("search_failure_in_output")
    found = done(driver, lambda client: client.search("the wren", model="gpt-5.5"))
    assert (found.text[:6], found.results) == ("Error:", [])
    signed_in.arm("search_odd_results")
    found = done(driver, lambda client: client.search("the wren", model="gpt-5.5"))
    assert [result.ref_id for result in found.results] == ["turn0search0", "turn0search1"]


def test_what_cannot_be_asked_is_refused_before_anything_is_sent(signed_in: Emulator) -> None:
    """With the field's name."""
    with onplan.Client() as client:
        wrong: list[tuple[str, Callable[[], Any]]] = [
            ("query", lambda: client.search("")),
            ("query", lambda: client.search([])),
            ("query", lambda: client.search(5)),  # type: ignore[arg-type]
            ("recency", lambda: client.search("a", recency=0)),
            ("allowed_domains", lambda: client.search("a", allowed_domains=["https://a.example"])),
            ("live", lambda: client.search("a", live="no")),  # type: ignore[arg-type]
            ("'sparkle'", lambda: client.search("a", sparkle=1)),  # type: ignore[call-arg]
            ("session_id", lambda: client.search("a", session_id=5)),  # type: ignore[arg-type]
            ("timeout", lambda: client.search("a", timeout=0, model="gpt-5.5")),
            ("max_output_tokens", lambda: client.search("a", max_output_tokens=0)),
            ("blocked_domains", lambda: client.search("a", blocked_domains=[5])),  # type: ignore[list-item]
            ("context_size", lambda: client.search("a", context_size="big")),  # type: ignore[arg-type]
            ("page", lambda: client.search.open(5)),  # type: ignore[arg-type]
            ("line", lambda: client.search.open("a", line=0)),
            ("link", lambda: client.search.click("a", -1)),
            ("found", lambda: client.search.find("a", "")),
            ("nothing to search for", lambda: client.search.run({"search_query": []})),
            ("nothing to search for", lambda: client.search.run([])),  # type: ignore[arg-type]
            ("character", lambda: client.search("\ud800", model="gpt-5.5")),
            ("live", lambda: client.search.tool(live=5)),  # type: ignore[arg-type]
            ("called", lambda: client.search.tool(name="no name")),
        ]
        for says, search in wrong:
            with pytest.raises(onplan.InvalidRequestError, match=says):
                search()
    assert posts(signed_in) == []


def test_an_error_of_a_search_says_how_it_is_written(signed_in: Emulator) -> None:
    """Days for a word; and sites have one name, in both kinds of search."""
    with onplan.Client() as client:
        wrong: list[tuple[str, Callable[[], Any]]] = [
            ("`recency=7`", lambda: client.search("a", recency="week")),  # type: ignore[arg-type]
            ("`recency=7`", lambda: client.search("a", recency=0)),
            ("`allowed_domains`", lambda: client.search("a", domains=["a.example"])),  # type: ignore[call-arg]
            ("`allowed_domains`", lambda: onplan.web_search(domains=["a.example"])),  # type: ignore[arg-type]
            ("allowed_domains, context_size, live", lambda: onplan.web_search(zzz=1)),  # type: ignore[arg-type]
        ]
        for hint, search in wrong:
            with pytest.raises(onplan.InvalidRequestError) as caught:
                search()
            assert hint in str(caught.value.hint)


@both
def test_a_call_that_was_forgotten_is_in_the_hint(signed_in: Emulator, driver: Any) -> None:
    """Of what makes a tool, in a run and in a request; in a list or alone."""

    def hint_of(part: Callable[[Any], Any], method: str, *, alone: bool) -> str:
        def ask(client: Any) -> Any:
            return getattr(client, method)("hi", tools=part(client) if alone else [part(client)])

        with pytest.raises(onplan.InvalidRequestError) as caught:
            done(driver, ask)
        return str(caught.value.hint)

    parts: list[tuple[str, Callable[[Any], Any]]] = [
        ("client.search.tool()", lambda client: client.search),
        ("client.search.tool()", lambda client: client.search.tool),
        ("client.images.tool()", lambda client: client.images),
        ("client.images.tool()", lambda client: client.images.tool),
        ("client.images.tool()", lambda client: client.images.generate),
        ("onplan.web_search()", lambda client: onplan.web_search),
    ]
    for call, part in parts:
        for method in ("run", "complete"):
            for alone in (True, False):
                assert hint_of(part, method, alone=alone) == f"Write `tools=[{call}]`."
    assert signed_in.journal() == []


def test_a_backend_without_searches_says_which_has_them(emulator: Emulator) -> None:
    """Nothing is sent."""
    url = emulator.urls["openai_base_url"]
    with (
        onplan.Client(backend="openai", base_url=url, api_key="sk-a") as client,
        pytest.raises(onplan.ConfigurationError, match="openai has no web search") as caught,
    ):
        client.search("a")
    assert "openai-codex" in str(caught.value.hint)
    assert emulator.journal() == []


def results_in(answer: onplan.RunResponse) -> list[Any]:
    return [run.result.content for step in answer.steps for run in step.calls]


@both
def test_the_tool_searches_and_opens(signed_in: Emulator, driver: Any) -> None:
    """Calls of one tool share a session. The model is told the addresses, and its links are citations."""
    signed_in.play(
        Turn(tool_calls=[Call("search_web", {"search_query": [{"q": "the wren"}]})]),
        Turn(tool_calls=[Call("search_web", {"open": [{"ref_id": "turn0search0"}]})]),
        Turn(text=f"Insects ([wren]({WREN}))."),
    )

    def ask(client: Any) -> Any:
        return client.run("What do wrens eat?", tools=[client.search.tool()], model="gpt-6.2-sol")

    answer = done(driver, ask)
    found, page = results_in(answer)
    assert WREN in found
    assert "It eats insects" in page
    assert [(cited.url, cited.source) for cited in answer.citations] == [(WREN, "link")]
    assert len({row["body"]["id"] for row in posts(signed_in)}) == 1


@both
@pytest.mark.parametrize(
    ("fault", "arguments", "says"),
    [
        ("search_failure_in_output", {"search_query": [{"q": "a"}]}, "Error: the search could not be"),
        ("search_rate_limited", {"search_query": [{"q": "a"}]}, "RateLimitError: Web search has a limit"),
        (None, {"sparkle": [1]}, "Unknown parameter: 'commands.sparkle'"),
        (None, {"open": [{"ref_id": 5}]}, "expected string"),
        (None, {"open": [{"ref_id": "turn9search9"}]}, "Error: the reference turn9search9 is not known."),
        (None, {}, "InvalidRequestError: There is nothing to search for."),
    ],
)
def test_the_model_is_told_of_failures(
    signed_in: Emulator, driver: Any, fault: str | None, arguments: Any, says: str
) -> None:
    """As they are, and the run goes on."""
    signed_in.play(Turn(tool_calls=[Call("search_web", arguments)]), Turn(text="I cannot say."))
    if fault:
        signed_in.arm(fault)

    def ask(client: Any) -> Any:
        return client.run("What?", tools=[client.search.tool()], model="gpt-5.5")

    answer = done(driver, ask)
    assert says in str(results_in(answer)[0])
    assert answer.text == "I cannot say."


def test_the_pages_of_the_emulator_are_the_programs(point_at: Callable[[Emulator], None]) -> None:
    """A scenario says what the web is."""
    pages = [Page("https://moon.example/", "The moon", "The moon is made of cheese.")]
    with Emulator(Options(scenario=Scenario(pages=pages))) as emulator:
        point_at(emulator)
        settings = load_settings()
        open_store(settings.store).save(issued(emulator.issue_tokens(), settings.issuer), None)
        with onplan.Client(model="gpt-5.5") as client:
            found = client.search("what is the moon made of")
            assert client.search("wrens").text == "Nothing was found."
    assert [result.url for result in found.results] == ["https://moon.example/"]
