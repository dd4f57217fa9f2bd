"""onplan's hints in the words of a framework, whose users have neither onplan's clients nor its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Words(NamedTuple):
    """How a framework's users say what hints name.

    Attributes:
        option: how an option of the clients is given, by its name and value; None where it cannot be, and
            ``phrases`` has all that says so.
        phrases: what stands in place of onplan's phrases.
    """

    option: Callable[[str, str], str] | None
    phrases: Mapping[str, str]


def in_words(hint: str, words: Words) -> str:
    """``hint`` for the users of the framework that has these ``words``."""
    for ours, theirs in (*words.phrases.items(), *FOR_ALL.items()):
        hint = hint.replace(ours, theirs)
    option = words.option
    return _OPTION.sub(lambda found: f"`{option(found[1], found[2])}`", hint) if option else hint


_OPTION = re.compile(r"`Client\((\w+)=([^`]*)\)`")
# What only programs do that call onplan itself.
FOR_ALL: Mapping[str, str] = {
    "Wait with `client.wait_until_available()`": "Wait until that window resets",
    "Ask again, or let the model correct itself: `client.complete(…, repairs=1)`.": "Ask again.",
    "Leave the `Thinking` parts out of the messages.": "Leave the reasoning out of the earlier messages.",
    "`str` makes a string of it; bytes are `Image(data=…)` or `File(data=…)`.": "`str` makes a string of it.",
    "give it `tools=[client.search.tool()]` with `run` or ": "",
    "choose a model with `supports_web_search`: `client.list_models()`": (
        "choose another model: `onplan models`"
    ),
    "Give them as a message: `Message.system(…)`. A conversation takes `system=`.": "Give a system message.",
    "Give it as a message: `Message.system(…)`. A conversation takes it when it begins.": (
        "Give a system message."
    ),
    "Write `messages=`, or give it first, without a name.": "Give it as a message of the user.",
    "A file on this machine is named with `path=`.": "Give it a string.",
    "It is an argument of `complete`.": "Leave it out.",
    "Write `concurrency=`, which is an argument of `map`.": "Leave it out.",
    "It is an argument of the client: ": "It is no field of a request: ",
    "Give it strings, `Image(…)` and the like; or give the whole message as a dict.": (
        "Give it a text, or a list of the framework's own parts."
    ),
    "Only `run` takes functions. Here, wrap it: `onplan.tool(function)`.": (
        "Make a tool of the function first, as the framework does it."
    ),
    "Give it a list of ToolDefinition, CustomTool and HostedTool objects, or of dicts.": (
        "Give it a list of the framework's tools, or of dicts."
    ),
    "For one particular tool give it `ToolChoice(NAME)`.": (
        'For one particular tool give it `{"type": "function", "name": NAME}`.'
    ),
}


def _local(kind: str) -> str:
    """What onplan says of a path where a URL must stand."""
    return f"A file on this machine is `{kind}(path=…)`, and its content `{kind}(data=…)`."


_DOCUMENT = "Give a document as onplan.File."
_STREAM = "Call `complete_stream`."

# What ChatOnplan has an argument of its own for.
_LANGCHAINS_OWN = ("api_key", "backend", "base_url", "store", "timeout", "unsupported")
_BASE64 = '`{{"type": "{}", "base64": …, "mime_type": "{}"}}`'


def _langchain_option(name: str, value: str) -> str:
    if name in _LANGCHAINS_OWN:
        return f"ChatOnplan({name}={value})"
    return f'ChatOnplan(client_options={{"{name}": {value}}})'


LANGCHAIN = Words(
    _langchain_option,
    {
        _local("Image"): f"Give the content of the file: {_BASE64.format('image', 'image/png')}.",
        _local("File"): f"Give the content of the file: {_BASE64.format('file', 'application/pdf')}.",
        _DOCUMENT: f"Give a document as {_BASE64.format('file', 'application/pdf')}.",
        _STREAM: "Call `.stream(…)`.",
        "For one particular tool give it `ToolChoice(NAME)`.": (
            "For one particular tool give its name to `bind_tools(…, tool_choice=…)`."
        ),
    },
)
HAYSTACK = Words(
    lambda name, value: f"OnplanChatGenerator({name}={value})",
    {
        _local("Image"): "A file on this machine is `ImageContent.from_file_path(…)`.",
        _local("File"): "A file on this machine is `FileContent.from_file_path(…)`.",
        _DOCUMENT: "Give a document as `FileContent.from_file_path(…)`.",
        _STREAM: "Give a `streaming_callback` instead.",
    },
)
LLAMA_INDEX = Words(
    lambda name, value: f"Onplan({name}={value})",
    {
        _local("Image"): "A file on this machine is `ImageBlock(path=…)`.",
        _local("File"): "A file on this machine is `DocumentBlock(path=…)`.",
        _DOCUMENT: "Give a document as `DocumentBlock(path=…)`.",
        _STREAM: "Call `stream_chat`.",
    },
)
DSPY = Words(
    lambda name, value: f"lm(…, {name}={value})",
    {
        _local("Image"): "A file on this machine is `dspy.Image(PATH)`, or `lm15.ImagePart(path=…)`.",
        _local(
            "File"
        ): "A file on this machine is `dspy.File.from_path(PATH)`, or `lm15.DocumentPart(path=…)`.",
        _DOCUMENT: "Give a document as `dspy.File.from_path(PATH)`, or `lm15.DocumentPart(path=…)`.",
        _STREAM: "Use `dspy.streamify`.",
    },
)
LITELLM = Words(
    lambda name, value: f"register({name}={value})",
    {
        _local("Image"): "Give the content of a file as a data URL: `data:image/png;base64,…`.",
        _local("File"): "Give the content of a file as `file_data`: `data:application/pdf;base64,…`.",
        _DOCUMENT: 'Give a document as `{"type": "file", "file": {"file_data": …}}`.',
        _STREAM: "Give `stream=True` to LiteLLM.",
    },
)
LLM = Words(
    None,
    {
        _local("Image"): "A file on this machine is `-a PATH`, or `llm.Attachment(path=…)`.",
        _local("File"): "A file on this machine is `-a PATH`, or `llm.Attachment(path=…)`.",
        _DOCUMENT: "Give a document with its type: `--at PATH application/pdf`.",
        _STREAM: "Leave it out.",
        ", or `Client(ca_file=…)`": "",
        ", or allow more: `Client(max_window_share=…)`": "",
        ', or have it left out and listed: `Client(unsupported="report")`': "",
        "; if the model thinks for longer, allow it: `Client(timeout=onplan.Timeouts(idle=…))`": "",
        "Allow more time: `Client(timeout=onplan.Timeouts(total=…))`.": "Ask again, or for less at a time.",
        "It is an argument of the client: `Client(timeout=…)`.": "Leave it out.",
        'Use `Client(api="responses")` where': "Set `ONPLAN_API=responses` where",
        "For one particular tool give it `ToolChoice(NAME)`.": "Use one of those.",
        "To search, give it `tools=[client.search.tool()]` with `run` or choose a model with "
        "`supports_web_search`: `client.list_models()`.": (
            "Use `-T OnplanSearch` instead, which every model takes, or onplan/gpt-5.5."
        ),
        "`onplan ": "`llm onplan ",
    },
)
FRAMEWORKS: Mapping[str, Words] = {
    "dspy": DSPY,
    "haystack": HAYSTACK,
    "langchain": LANGCHAIN,
    "litellm": LITELLM,
    "llama_index": LLAMA_INDEX,
    "llm": LLM,
}
