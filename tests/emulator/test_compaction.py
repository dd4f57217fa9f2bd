"""Remote compaction and context windows, as the Codex backend has them."""

from __future__ import annotations

import pytest

from onplan.emulator import Emulator, Options, Scenario

USER = {"role": "user", "content": "hi"}
TRIGGER = {"type": "compaction_trigger"}
BETA = "remote_compaction_v2"


def compacted(client, **fields):
    """The item in which a conversation was compacted."""
    headers = client.headers(x_codex_beta_features=BETA)
    (item,) = client.completed(input=[USER, TRIGGER], headers=headers, **fields)["output"]
    return item


def test_a_trigger_is_answered_with_one_item_that_may_be_sent_back(client):
    """With its id or without it, and something may follow it."""
    item = compacted(client)
    assert item["type"] == "compaction"
    assert item["id"].startswith("cmp_")
    without = {name: value for name, value in item.items() if name != "id"}
    for sent in (item, without):
        assert client.completed(input=[USER, sent, USER])["status"] == "completed"


def test_a_compaction_is_bound_to_the_family_of_models(client):
    """Models of one comp_hash read it, others do not; encrypted reasoning is no compaction."""
    made = compacted(client, model="gpt-6-sol")
    assert client.turn(model="gpt-6-luna", input=[USER, made]).status_code == 200
    reasoning = client.completed(include=["reasoning.encrypted_content"])["output"][0]
    forged = {"type": "compaction", "encrypted_content": reasoning["encrypted_content"]}
    for item in (made, forged, {"type": "compaction", "encrypted_content": "gAAAAAx"}):
        refused = client.turn(model="gpt-5.5", input=[USER, item])
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_encrypted_content")


@pytest.mark.parametrize(
    ("items", "beta", "message"),
    [
        ([TRIGGER, USER], BETA, "must be the final input item"),
        ([USER, {**TRIGGER, "id": "ct_1"}], BETA, "Unknown parameter: 'input[1].id'"),
        ([USER, TRIGGER], ..., "Invalid value: 'compaction_trigger'"),
        ([USER, {"type": "compaction"}], BETA, "Missing required parameter"),
    ],
    ids=["not last", "an id", "no header", "no content"],
)
def test_what_is_no_compaction_is_refused(client, items, beta, message):
    """The trigger stands last and alone has a type, and the header says that it is understood."""
    refused = client.turn(input=items, headers=client.headers(x_codex_beta_features=beta))
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]


def test_the_endpoint_of_old_is_gone(client):
    """404, as for everyone since August 2026."""
    assert (
        client.post("/backend-api/codex/responses/compact", {}, headers=client.headers()).status_code == 404
    )


def test_a_context_window_fills(client):
    """It is that of the catalogue, counted in text; an image's length does not count."""
    window = 272_000 * 4
    assert client.turn("x" * (window - 1000)).status_code == 200
    refused = client.turn("x" * (window + 1000))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "AAAA" * (window // 4)}
    assert client.turn(input=[{"role": "user", "content": [image]}]).status_code == 200


def test_a_scenario_says_how_large_it_is():
    """For every model; a size below 1 cannot be used."""
    with Emulator(Options(scenario=Scenario(context_window=7))) as running:
        assert running.world.context_window("gpt-5.5") == 7
    with pytest.raises(ValueError, match="context_window must be at least 1"):
        Options(scenario=Scenario(context_window=0))
