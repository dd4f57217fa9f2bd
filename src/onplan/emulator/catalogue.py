"""The models that the Codex backend lists, and to which client versions."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

EFFORT_DESCRIPTIONS = {
    "low": "Fast responses with lighter reasoning",
    "medium": "Balances speed and reasoning depth for everyday tasks",
    "high": "Greater reasoning depth for complex problems",
    "xhigh": "Extra high reasoning depth for complex problems",
    "max": "Maximum reasoning depth for the hardest problems",
    "ultra": "Maximum reasoning with automatic task delegation",
}
EFFORTS = tuple(EFFORT_DESCRIPTIONS)

# slug, name, priority, visibility, context, largest context (in thousands), default effort, highest effort,
# speed of the "priority" tier (None: no such tier), oldest client version. The rows are those of
# `codex debug models --bundled` of 0.171.0. The list depends on the client's version; the oldest versions
# given here are the emulator's own.
ROWS = (
    ("gpt-6.2-sol", "GPT-6.2-Sol", 1, "list", 500, 872, "low", "ultra", "2x", "0.171.0"),
    ("gpt-6.2-astra", "GPT-6.2-Astra", 2, "list", 272, 872, "low", "ultra", "2x", "0.171.0"),
    ("gpt-6.1-terra", "GPT-6.1 Terra", 3, "list", 500, 872, "low", "ultra", "1.5x", "0.160.0"),
    ("gpt-6.1-sol", "GPT-6.1-Sol", 4, "list", 500, 872, "low", "ultra", "2x", "0.160.0"),
    ("gpt-6-astra", "GPT-6-Astra", 5, "list", 272, 872, "low", "ultra", "2x", "0.150.0"),
    ("gpt-6-sol", "GPT-6-Sol", 6, "list", 272, 872, "medium", "ultra", "1.5x", "0.150.0"),
    ("gpt-6-luna", "GPT-6-Luna", 7, "list", 272, 872, "medium", "max", "1.5x", "0.150.0"),
    ("gpt-5.6-sol", "GPT-5.6-Sol", 8, "list", 272, 872, "low", "ultra", "1.5x", "0.130.0"),
    ("gpt-5.6-terra", "GPT-5.6-Terra", 9, "list", 272, 872, "medium", "ultra", "1.5x", "0.130.0"),
    ("gpt-5.6-luna", "GPT-5.6-Luna", 10, "list", 272, 872, "medium", "max", "1.5x", "0.130.0"),
    ("gpt-daybreak-blue-latest", "Daybreak Blue", 11, "hide", 272, 872, "low", "ultra", None, "0.160.0"),
    ("gpt-daybreak-red-latest", "Daybreak Red", 12, "hide", 372, 372, "medium", "ultra", None, "0.160.0"),
    ("gpt-5.5", "GPT-5.5", 13, "list", 272, 272, "medium", "xhigh", "1.5x", "0.0.0"),
    ("codex-auto-review", "Codex Auto Review", 43, "hide", 272, 872, "medium", "max", "1.5x", "0.130.0"),
)

# "lite" models take their tools inside `input`.
PLAIN_MODELS = frozenset({"gpt-5.5"})
LOUD_MODELS = {"gpt-daybreak-red-latest": "high"}
# Models whose effort may change within a turn.
EFFORT_UPDATES = frozenset({"gpt-6.2-sol", "gpt-6.2-astra", "gpt-6.1-terra", "gpt-6.1-sol", "gpt-6-astra"})
FIRST_MULTI_AGENT = frozenset({"gpt-5.6-luna", "codex-auto-review"})
# Fields of every model.
COMMON: dict[str, Any] = {
    "shell_type": "unified_exec",
    "supported_in_api": True,
    "availability_nux": None,
    "upgrade": None,
    "base_instructions": "You are Codex, played by the onplan emulator.",
    "default_reasoning_summary": "none",
    "support_verbosity": True,
    "apply_patch_tool_type": "freeform",
    "web_search_tool_type": "text_and_image",
    "truncation_policy": {"mode": "tokens", "limit": 10_000},
    "supports_image_detail_original": True,
    "effective_context_window_percent": 95,
    "experimental_supported_tools": [],
    "input_modalities": ["text", "image"],
    "supports_search_tool": True,
}
LITE = {"use_responses_lite": True, "comp_hash": "3000", "tool_mode": "code_mode_only"}
PLAIN = {
    "use_responses_lite": False,
    "comp_hash": "2911",
    "include_skills_usage_instructions": True,
    "include_plugin_usage_instructions": True,
    "include_apps_usage_instructions": True,
}


def _entry(  # noqa: PLR0917 - a row of the table
    slug: str,
    name: str,
    priority: int,
    visibility: str,
    context: int,
    largest_context: int,
    default_effort: str,
    highest_effort: str,
    speed: str | None,
    minimal_client_version: str,
) -> dict[str, Any]:
    efforts = EFFORTS[: EFFORTS.index(highest_effort) + 1]
    tier = {"id": "priority", "name": "Fast", "description": f"{speed} speed, increased usage"}
    return {
        "slug": slug,
        "display_name": name,
        "description": f"{name}, as played by the onplan emulator.",
        "priority": priority,
        "visibility": visibility,
        "minimal_client_version": minimal_client_version,
        "default_reasoning_level": default_effort,
        "supported_reasoning_levels": [
            {"effort": effort, "description": EFFORT_DESCRIPTIONS[effort]} for effort in efforts
        ],
        "additional_speed_tiers": ["fast"] if speed else [],
        "service_tiers": [tier] if speed else [],
        "default_verbosity": LOUD_MODELS.get(slug, "low"),
        "context_window": context * 1000,
        "max_context_window": largest_context * 1000,
        "supports_reasoning_effort_updates": slug in EFFORT_UPDATES,
        **COMMON,
        **(PLAIN if slug in PLAIN_MODELS else _lite(slug)),
    }


def _lite(slug: str) -> dict[str, Any]:
    return {**LITE, "multi_agent_version": "v1" if slug in FIRST_MULTI_AGENT else "v2"}


CATALOGUE: tuple[dict[str, Any], ...] = tuple(_entry(*row) for row in ROWS)


def etag(models: tuple[dict[str, Any], ...]) -> str:
    """The catalogue's entity tag, which every reply of the model carries too."""
    return f'W/"{hashlib.sha256(msgspec.json.encode(models)).hexdigest()[:16]}"'


def version_key(version: str) -> tuple[int, ...]:
    """A version as numbers that can be compared."""
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])


def serves(model: dict[str, Any], client_version: str | None) -> bool:
    """Whether a client of this version may use a model; a client that states no version may."""
    if client_version is None:
        return True
    return version_key(client_version) >= version_key(model.get("minimal_client_version", "0.0.0"))


def efforts_of(model: dict[str, Any]) -> tuple[str, ...]:
    """The reasoning efforts a model knows."""
    return tuple(level["effort"] for level in model.get("supported_reasoning_levels", ())) or EFFORTS
