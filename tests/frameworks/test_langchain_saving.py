"""LangChain's chat model saved, cached and traced: no secret is written."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import json
import logging
import pickle
import traceback

import pytest

import onplan
from onplan.emulator import Emulator

pytest.importorskip("langchain_core")

from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps, load
from langchain_core.runnables import ConfigurableField

from onplan.integrations.langchain import ChatOnplan

from .langchain_model import MODEL, allowing, bodies, model  # noqa: F401

KEY = "sk-never-shown-0123456789"


def test_no_secret_is_written(signed_in: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a token nor a key is in what is printed, saved or logged, or in a traceback's variables."""
    caplog.set_level(logging.DEBUG)
    model = ChatOnplan(model=MODEL, api_key=KEY)
    model.invoke("x")
    token = onplan.Client().credentials().access_token
    signed_in.arm("content_policy", 9)
    with pytest.raises(onplan.ContentPolicyError) as raised:
        model.invoke("x")
    trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    trace.stack[:] = [frame for frame in trace.stack if frame.filename != __file__]
    texts = [repr(model), str(model), dumps(model), json.dumps(model.model_dump(mode="json")), caplog.text]
    texts += ["".join(trace.format()), str(model._identifying_params), str(model._get_ls_params())]
    texts.append(pickle.dumps(ChatOnplan(model=MODEL)).decode("latin-1"))
    for text in texts:
        assert token not in text
        assert KEY not in text
    assert "takes no API key" in caplog.text
    assert KEY not in json.dumps(signed_in.journal())


def test_a_model_with_a_secret_is_not_pickled(signed_in: Emulator) -> None:
    """As for the clients: it says what to do instead."""
    model = ChatOnplan(model=MODEL, backend="openai", api_key=KEY)
    with pytest.raises(onplan.ConfigurationError, match="api_key is a secret"):
        pickle.dumps(model)


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_a_model_that_is_written_down_and_loaded(model: ChatOnplan) -> None:
    """LangChain's ``dumps`` and ``load``, with the class allowed."""
    written = json.loads(dumps(ChatOnplan(model=MODEL, temperature=0.5, account="default")))
    loaded = load(written, valid_namespaces=["onplan"], **allowing([ChatOnplan]))
    assert isinstance(loaded, ChatOnplan)
    assert (loaded.model_name, loaded.temperature, loaded.account) == (MODEL, 0.5, "default")
    assert loaded.invoke("x").content == "You said: x"


def test_an_answer_from_the_cache(signed_in: Emulator) -> None:
    """The same question to the same model is asked once; to another model, or another way, again."""
    cache = InMemoryCache()
    model = ChatOnplan(model=MODEL, cache=cache)
    first, second = model.invoke("x"), model.invoke("x")
    assert first.content == second.content
    assert second.additional_kwargs["onplan"] == first.additional_kwargs["onplan"]
    assert len(bodies(signed_in)) == 1
    model.invoke("x", max_tokens=100)
    ChatOnplan(model="gpt-6-sol", cache=cache).invoke("x")
    ChatOnplan(model=MODEL, cache=cache).invoke("x")
    assert len(bodies(signed_in)) == 3


def test_tracing_parameters(model: ChatOnplan) -> None:
    """LangSmith is told provider, model and parameters; a call's own model counts."""
    bound = ChatOnplan(model=MODEL, temperature=0.1, max_tokens=9, stop="a")
    assert bound._get_ls_params() == {
        "ls_provider": "onplan",
        "ls_model_name": MODEL,
        "ls_model_type": "chat",
        "ls_temperature": 0.1,
        "ls_max_tokens": 9,
        "ls_stop": ["a"],
    }
    assert model._get_ls_params(model="other", stop=["b"])["ls_model_name"] == "other"


def test_configurable_fields_share_connections(model: ChatOnplan) -> None:
    """LangChain makes a new model for each call with them; it has the clients of the first."""
    configurable = model.configurable_fields(model_name=ConfigurableField(id="model"))
    answer = configurable.invoke("x", config={"configurable": {"model": "gpt-6-sol"}})
    assert answer.response_metadata["model_name"] == "gpt-6-sol"
    made, _ = configurable.with_config(configurable={"model": "gpt-6-sol"})._prepare()  # type: ignore[attr-defined]
    assert made.clients is model.clients
    assert model.model_copy(update={"account": "other"})._made_clients() is not model.clients
