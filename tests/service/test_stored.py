"""Responses that are kept: ``previous_response_id``, references to items, and their own paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator
from onplan.service.response_folder import FolderStore
from onplan.service.response_stores import MemoryStore, ResponseStore

from .conftest import Asking, serving

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResponseStore]:
    """Each store: what one process keeps, and what several share."""
    if request.param == "memory":
        return MemoryStore()
    return FolderStore(tmp_path)


def asked_of(emulator: Emulator) -> list[Any]:
    """The inputs that the backend got."""
    rows = [row for row in emulator.journal() if row["path"].endswith("/responses") and row["body"]]
    return [row["body"]["input"] for row in rows]


def said(item: Any) -> tuple[str, str]:
    return item["role"], item["content"][0]["text"]


def test_a_request_goes_on_from_a_response(signed_in: Emulator, store: ResponseStore) -> None:
    """The backend gets the earlier input, the answer and the new input; no instructions are inherited."""

    async def use(asking: Asking) -> None:
        first = await asking.create(input="One", instructions="Be brief")
        second = await asking.create(input="Two", previous_response_id=first.json["id"])
        third = await asking.create(input="Three", previous_response_id=second.json["id"], stream=True)
        assert second.json["previous_response_id"] == first.json["id"]
        assert third.events[-1]["response"]["previous_response_id"] == second.json["id"]

    serving(use, store=store, transport="sse")
    one, two, three = asked_of(signed_in)
    assert [said(item) for item in one] == [("developer", "Be brief"), ("user", "One")]
    texts = [said(item) for item in three if item["type"] == "message"]
    assert [role for role, _ in texts] == ["user", "assistant", "user", "assistant", "user"]
    assert [text for role, text in texts if role == "user"] == ["One", "Two", "Three"]
    assert three[: len(two)] == two


def test_a_chain_goes_over_a_websocket_that_is_sent_only_what_is_new(signed_in: Emulator) -> None:
    """From the second turn on, when it is known to be a conversation."""

    async def use(asking: Asking) -> None:
        response_id = None
        for text in ("One", "Two", "Three", "Four"):
            response = await asking.create(input=text, previous_response_id=response_id)
            response_id = response.json["id"]

    serving(use)
    assert [len(items) for items in asked_of(signed_in)] == [1, 4, 1, 1]


def test_all_turns_of_a_chain_have_one_name_at_the_backend(signed_in: Emulator) -> None:
    """So the backend finds the prompt in its cache; another chain has another name."""

    async def use(asking: Asking) -> None:
        first = await asking.create(input="One", instructions="Be brief")
        await asking.create(input="Two", previous_response_id=first.json["id"])
        await asking.create(input="Two")

    serving(use)
    rows = [row for row in signed_in.journal() if row["path"].endswith("/responses") and row["body"]]
    names = [row["body"]["prompt_cache_key"] for row in rows]
    assert names[0] == names[1] != names[2]


def test_what_is_not_stored_cannot_be_gone_on_from(signed_in: Emulator, store: ResponseStore) -> None:
    """With ``store: false`` a response is not kept; the error is the one that clients know."""

    async def use(asking: Asking) -> None:
        first = await asking.create(input="One", store=False)
        again = await asking.create(input="Two", previous_response_id=first.json["id"])
        assert (again.status, again.error["code"]) == (400, "previous_response_not_found")
        assert again.error["param"] == "previous_response_id"
        assert (await asking.ask("GET", f"/v1/responses/{first.json['id']}")).status == 404

    serving(use, store=store)


def test_an_item_is_no_response_to_go_on_from(signed_in: Emulator, store: ResponseStore) -> None:
    """Nor is it shown as one, or deleted."""

    async def use(asking: Asking) -> None:
        item_id = (await asking.create(input="One")).json["output"][0]["id"]
        again = await asking.create(input="Two", previous_response_id=item_id)
        assert (again.status, again.error["code"]) == (400, "previous_response_not_found")
        for method in ("GET", "DELETE"):
            assert (await asking.ask(method, f"/v1/responses/{item_id}")).status == 404

    serving(use, store=store)


def test_another_caller_sees_nothing(signed_in: Emulator, store: ResponseStore) -> None:
    """Not the response, nor its input or its items; it can neither go on from it nor delete it."""

    async def use(asking: Asking) -> None:
        mine = (await asking.create(input="One", caller="alice")).json
        path = f"/v1/responses/{mine['id']}"
        for method, at in (("GET", path), ("GET", f"{path}/input_items"), ("DELETE", path)):
            assert (await asking.ask(method, at, caller="bob")).status == 404
        theirs = await asking.create(input="Two", previous_response_id=mine["id"], caller="bob")
        assert theirs.error["code"] == "previous_response_not_found"
        item = {"type": "item_reference", "id": mine["output"][0]["id"]}
        theirs = await asking.create(input=[item], caller="bob")
        assert theirs.error["code"] == "item_not_found"
        assert (await asking.ask("GET", path, caller="alice")).json == mine

    serving(use, store=store)


def test_a_response_is_shown_and_deleted(signed_in: Emulator, store: ResponseStore) -> None:
    """``GET`` gives what the client had got; after ``DELETE`` there is nothing left of it."""

    async def use(asking: Asking) -> None:
        made = (await asking.create(input="One", metadata={"a": "b"})).json
        path = f"/v1/responses/{made['id']}"
        assert (await asking.ask("GET", path)).json == made
        assert (await asking.ask("GET", f"{path}?stream=true")).error["param"] == "stream"
        deleted = await asking.ask("DELETE", path)
        assert deleted.json == {"id": made["id"], "object": "response", "deleted": True}
        for method in ("GET", "DELETE"):
            gone = await asking.ask(method, path)
            assert gone.status == 404
            assert gone.error["message"] == f"Response with id '{made['id']}' not found."
        reference = {"type": "item_reference", "id": made["output"][0]["id"]}
        assert (await asking.create(input=[reference])).error["code"] == "item_not_found"
        assert (await asking.ask("POST", path)).status == 405
        assert (await asking.ask("POST", f"{path}/cancel")).status == 404
        assert (await asking.ask("POST", "/v1/responses/compact")).status == 404

    serving(use, store=store)


def test_references_stand_for_items(signed_in: Emulator, store: ResponseStore) -> None:
    """As the AI SDK sends its second step: a reference to the call, and the call's result."""

    async def use(asking: Asking) -> None:
        asked = {"role": "user", "content": "Weather?"}
        first = await asking.create(input=[asked], tools=[TOOL])
        [call] = [item for item in first.json["output"] if item["type"] == "function_call"]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "Rain"}
        for reference in ({"type": "item_reference", "id": call["id"]}, {"id": call["id"]}):
            second = await asking.create(input=[asked, reference, result], tools=[TOOL])
            assert second.status == 200

    serving(use, store=store, transport="sse")
    for sent in asked_of(signed_in)[1:]:
        assert [item["type"] for item in sent] == ["message", "function_call", "function_call_output"]
        assert "id" not in sent[1]


def test_another_model_does_not_get_the_encrypted_reasoning(signed_in: Emulator) -> None:
    """The header says so; the model that thought it gets it back."""

    async def use(asking: Asking) -> tuple[str, str]:
        first = await asking.create(input="One", reasoning={"effort": "high"})
        assert "reasoning" in [item["type"] for item in first.json["output"]]
        same = await asking.create(input="Two", previous_response_id=first.json["id"])
        other = await asking.create(input="Two", previous_response_id=first.json["id"], model="gpt-5.6-sol")
        told = "x-onplan-history-repairs"
        return same.headers.get(told, ""), other.headers[told]

    same, other = serving(use, transport="sse")
    assert same == ""
    assert other == "Left out 1 encrypted reasoning item(s): another model thought them."
    kinds = [{item["type"] for item in sent} for sent in asked_of(signed_in)[1:]]
    assert ["reasoning" in each for each in kinds] == [True, False]


def test_input_items_are_listed_in_pages(signed_in: Emulator, store: ResponseStore) -> None:
    """The newest first, with ids by which the next page is asked for."""

    async def use(asking: Asking) -> None:
        given = [{"role": "user", "content": text} for text in "abc"]
        made = (await asking.create(input=given, instructions="Be brief")).json
        path = f"/v1/responses/{made['id']}/input_items"

        async def page(query: str = "") -> tuple[list[str], bool, Any]:
            listed = (await asking.ask("GET", path + query)).json
            assert listed["object"] == "list"
            assert [listed["first_id"], listed["last_id"]] == [listed["data"][i]["id"] for i in (0, -1)]
            return (
                [each["content"][0]["text"] for each in listed["data"]],
                listed["has_more"],
                listed["last_id"],
            )

        assert (await page())[:2] == (["c", "b", "a"], False)
        assert (await page("?order=asc"))[:2] == (["a", "b", "c"], False)
        texts, more, last = await page("?limit=2")
        assert (texts, more) == (["c", "b"], True)
        assert (await page(f"?limit=2&after={last}"))[:2] == (["a"], False)
        for wrong in ("limit=0", "limit=101", "limit=x", "limit=99999999999", "order=up", "after=msg_x"):
            refused = await asking.ask("GET", f"{path}?{wrong}")
            assert (refused.status, refused.error["param"]) == (400, wrong.partition("=")[0])
        assert (await asking.ask("GET", f"{path}/x")).status == 404

    serving(use, store=store)
