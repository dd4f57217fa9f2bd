"""Which modules must be tested to the last line by tests of their own, and where those are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What is run without arguments: what decides, and the way of the credentials.
# tests/test_pure_modules.py sees that nothing that decides is forgotten.
MODULES = (
    "header_lines.py",
    "lazy_pattern.py",
    "printed_form.py",
    "secret.py",
    "errors.py",
    "field_types.py",
    "types/",
    "backends.py",
    "answers/",
    "request/",
    "structured/",
    "parameters.py",
    "flow.py",
    "oauth/",
    "responses/",
    "chat/",
    "dialects/",
    "tools/",
    "turn/",
    "plan/",
    "batches/",
    "images/",
    "search/",
    "streams.py",
    "telemetry/attributes.py",
    "telemetry/contents.py",
    "telemetry/options.py",
    "config/descriptions.py",
    "config/file_errors.py",
    "config/store_schemes.py",
    "conversation/file_format.py",
    "conversation/history.py",
    "conversation/partial_answer.py",
    "integrations/answer_facts.py",
    "integrations/arguments.py",
    "integrations/call_arguments.py",
    "integrations/divided_options.py",
    "integrations/growing_arguments.py",
    "integrations/hints.py",
    "integrations/kept_parts.py",
    "integrations/merged_parts.py",
    "integrations/missing.py",
    "integrations/told_errors.py",
    "service/bodies.py",
    "service/contexts.py",
    "service/observed.py",
    "service/options.py",
    "server/asgi.py",
    "server/bodies.py",
    "server/openapi/",
    "server/options.py",
    "server/sharing.py",
    "server/variables.py",
    "cli/chat/typed.py",
    "cli/control_characters.py",
    "cli/markdown/blocks.py",
    "transports/answer_parser.py",
    "transports/request_head.py",
    "transports/silence.py",
    "transports/decompression.py",
    "transports/websocket_messages.py",
    "transports/websocket_upgrade.py",
    "tokens/",
    "stores/__init__.py",
    "stores/file.py",
    "stores/lock.py",
    "mapping.py",
    "mapping_async.py",
)
# What decides for an adapter and can only be imported beside its framework: the row of tools/frameworks.py
# whose environment has it, and whose tests are its own.
IN_FRAMEWORKS: dict[str, str] = {
    "integrations/dspy/failures.py": "dspy",
    "integrations/dspy/parts.py": "dspy",
    "integrations/dspy/responses.py": "dspy",
    "integrations/haystack/chunks.py": "haystack",
    "integrations/haystack/messages.py": "haystack",
    "integrations/haystack/parameters.py": "haystack",
    "integrations/langchain/answers.py": "langchain",
    "integrations/langchain/blocks.py": "langchain",
    "integrations/langchain/content.py": "langchain",
    "integrations/langchain/errors.py": "langchain",
    "integrations/langchain/kept.py": "langchain",
    "integrations/langchain/messages.py": "langchain",
    "integrations/langchain/structured.py": "langchain",
    "integrations/langchain/tools.py": "langchain",
    "integrations/litellm/errors.py": "litellm",
    "integrations/litellm/request.py": "litellm",
    "integrations/llm/events.py": "llm",
    "integrations/llm/kept.py": "llm",
}
# Where a room's tests are, if not only in the folder of its name; the longest beginning counts.
TESTS: dict[str, tuple[str, ...]] = {
    "config/descriptions.py": ("tests/config/test_descriptions.py",),
    "config/file_errors.py": ("tests/config/test_file_errors.py",),
    "config/store_schemes.py": ("tests/config/test_store_schemes.py",),
    "errors.py": ("tests/test_errors.py", "tests/test_redaction.py"),
    "integrations/answer_facts.py": ("tests/integrations/test_answer_facts.py",),
    "integrations/arguments.py": ("tests/integrations/test_arguments.py",),
    "integrations/divided_options.py": ("tests/integrations/test_divided_options.py",),
    "integrations/hints.py": ("tests/integrations/test_hints.py",),
    "integrations/told_errors.py": ("tests/integrations/test_told_errors.py",),
    "integrations/growing_arguments.py": ("tests/integrations/test_growing_arguments.py",),
    "integrations/call_arguments.py": (
        "tests/integrations/test_merged_parts.py",
        "tests/integrations/test_kept_parts.py",
    ),
    "integrations/kept_parts.py": ("tests/integrations/test_kept_parts.py",),
    "integrations/merged_parts.py": ("tests/integrations/test_merged_parts.py",),
    "integrations/missing.py": ("tests/integrations/test_missing.py",),
    "service/bodies.py": ("tests/service/test_bodies.py",),
    "service/contexts.py": ("tests/service/test_contexts.py",),
    "service/observed.py": ("tests/service/test_observed.py",),
    "service/options.py": ("tests/service/test_contexts.py",),
    "server/asgi.py": ("tests/server/test_bodies.py",),
    "server/bodies.py": ("tests/server/test_bodies.py",),
    "server/openapi/": ("tests/server/test_openapi.py",),
    "server/options.py": ("tests/server/test_options.py",),
    "server/sharing.py": ("tests/server/test_sharing.py",),
    "server/variables.py": ("tests/server/test_variables.py",),
    "cli/chat/typed.py": ("tests/cli/test_chat_typed.py",),
    "cli/control_characters.py": ("tests/cli/test_control_characters.py",),
    "cli/markdown/blocks.py": ("tests/cli/markdown/test_blocks.py",),
    "transports/answer_parser.py": ("tests/transports/test_answer_parser.py",),
    "transports/request_head.py": ("tests/transports/test_request_head.py",),
    # Their tests compare with what is assembled event by event, also in the form that clients get.
    "responses/answer_stream.py": ("tests/responses", "tests/dialects/openai_chat/test_usual_answers.py"),
    "responses/usual_answer.py": ("tests/responses", "tests/dialects/openai_chat/test_usual_answers.py"),
    "images/images.py": ("tests/clients/test_images.py",),
    "search/": ("tests/clients/test_search.py",),
    "stores/__init__.py": ("tests/stores/test_records.py", "tests/stores/test_file.py"),
    "stores/file.py": (
        "tests/stores/test_file.py",
        "tests/stores/test_contract.py",
        "tests/stores/test_mounted.py",
    ),
    "stores/lock.py": ("tests/stores/test_locks.py", "tests/stores/test_file.py"),
    "conversation/file_format.py": ("tests/conversation/test_file_format.py",),
    "conversation/history.py": ("tests/conversation/test_history.py",),
    "conversation/partial_answer.py": ("tests/conversation/test_partial_answer.py",),
    "telemetry/": ("tests/telemetry/test_attributes.py",),
    "telemetry/options.py": ("tests/telemetry/test_options.py",),
    "mapping.py": ("tests/clients/test_map.py",),
    "mapping_async.py": ("tests/clients/test_map.py",),
    "types/limits.py": ("tests/plan/test_values.py",),
    "types/": ("tests/types", "tests/test_types.py"),
    "transports/silence.py": ("tests/transports/test_silence.py",),
    "transports/decompression.py": ("tests/clients/test_decompression.py",),
    "transports/websocket_messages.py": ("tests/clients/test_websocket_messages.py",),
    "transports/websocket_upgrade.py": ("tests/clients/test_websocket_upgrade.py",),
}
# Their tests start no other programs, so a test that does not run a line here cannot notice a change to it.
PURE = (
    "header_lines.py",
    "lazy_pattern.py",
    "printed_form.py",
    "secret.py",
    "field_types.py",
    "types/",
    "backends.py",
    "dialects/",
    "integrations/answer_facts.py",
    "integrations/call_arguments.py",
    "integrations/divided_options.py",
    "integrations/growing_arguments.py",
    "integrations/kept_parts.py",
    "integrations/merged_parts.py",
    "answers/",
    "request/",
    "parameters.py",
    "flow.py",
    "oauth/",
    "responses/",
    "chat/",
    "turn/",
    "plan/",
    "batches/",
    "streams.py",
    "images/response.py",
    "images/settings.py",
    "telemetry/attributes.py",
    "telemetry/contents.py",
    "conversation/file_format.py",
    "conversation/history.py",
    "conversation/partial_answer.py",
    "structured/",
    "transports/silence.py",
)
# Tests that start many processes, or measure memory, and take long: not run here.
SLOW = (
    "tests/chat/test_many.py::test_ten_times_as_much_is_ten_times_the_memory",
    "tests/chat/test_many.py::test_ten_times_as_much_is_ten_times_the_work",
    "tests/responses/test_bounds.py::test_ten_times_as_much_takes_about_ten_times_the_memory",
    "tests/clients/test_websocket_messages.py::test_many_fragments_are_no_more_work_each_than_few",
    "tests/clients/test_websocket_messages.py::test_a_large_frame_may_come_byte_by_byte",
    "tests/tokens/test_kills.py",
    "tests/tokens/test_machines.py",
    "tests/tokens/test_races.py",
    "tests/tokens/test_vault_tokens.py",
    "tests/tokens/test_forks.py",
    "tests/tokens/test_unsaved.py",
    "tests/tokens/test_strangers.py",
)


def without_slow() -> list[str]:
    """The options of pytest that leave out the tests in `SLOW`."""
    return [f"--{'deselect' if '::' in each else 'ignore'}={each}" for each in SLOW]


def tests_of(module: str) -> tuple[str, ...]:
    """The tests of a module, by its path below `src/onplan`."""
    named = max((each for each in TESTS if module.startswith(each)), key=len, default=None)
    room = module.partition("/")[0] if "/" in module else f"test_{module}"
    places = TESTS[named] if named else (f"tests/{room}",)
    return tuple(place for place in places if (ROOT / place).exists())


def room_of(module: str) -> str:
    """The folder of a module that is in one; else the module."""
    return module.partition("/")[0]


def modules_named(wanted: list[str]) -> list[str]:
    """The modules with these paths or below these folders; without any, those of `MODULES`."""
    every = sorted(
        path.relative_to(ROOT / "src" / "onplan").as_posix()
        for path in (ROOT / "src" / "onplan").rglob("*.py")
    )
    names = [each.removeprefix("src/onplan/") for each in wanted] or list(MODULES)
    chosen = [
        each
        for each in every
        if any(each == name or each.startswith(f"{name.rstrip('/')}/") for name in names)
    ]
    if not chosen:
        raise SystemExit(f"There is no module {' or '.join(names)} below src/onplan.")
    return chosen
