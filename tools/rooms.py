"""Which modules must be tested to the last line by tests of their own, and where those are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What is run without arguments: what decides, and the way of the credentials.
MODULES = (
    "answers/",
    "request/",
    "structured/",
    "parameters.py",
    "flow.py",
    "oauth/",
    "responses/",
    "chat/",
    "tools/",
    "turn/",
    "plan/",
    "batches/",
    "images/",
    "search/",
    "streams.py",
    "telemetry/attributes.py",
    "telemetry/contents.py",
    "conversation/file_format.py",
    "conversation/history.py",
    "conversation/partial_answer.py",
    "types/citations.py",
    "types/dicts.py",
    "types/limits.py",
    "types/markdown_links.py",
    "types/message.py",
    "types/request.py",
    "types/request_fields.py",
    "types/shapes.py",
    "types/web_search.py",
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
# Where a room's tests are, if not only in the folder of its name; the longest beginning counts.
TESTS: dict[str, tuple[str, ...]] = {
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
