"""What ``onplan login`` says: what is permitted, who is signed in, what requests count against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onplan.cli.talk import say
from onplan.config.descriptions import account_of

if TYPE_CHECKING:
    from onplan.config.settings import Settings
    from onplan.stores import CredentialStore
    from onplan.types import OAuthCredentials

# What each sign-in permits, and what its requests count against. README has the same lines; a test compares.
PLAN_SIGN_INS = {
    "openai-codex": (
        "the sign-in of the Codex CLI, for your own programs; they count against the plan's Codex allowance"
    ),
    "chatgpt-plan": (
        "Sign in with ChatGPT, OpenAI's official way for open-source programs; they count against the plan, "
        "up to the weekly limit that you set for onplan"
    ),
}

# The page is installed with the package, so that the link works on every machine.
_PERMITTED = Path(__file__).parent.parent / "what-is-permitted.md"


def say_what_is_permitted(backend: str) -> None:
    """Before a first sign-in: the two sign-ins, one line each, and which of them this is."""
    say("There are two ways to sign in with a ChatGPT plan:")
    width = max(map(len, PLAN_SIGN_INS))
    for name, line in PLAN_SIGN_INS.items():
        say(line, label=f"{'>' if name == backend else ' '} {name:<{width}}  ", indent=width + 4)
    other = next(name for name in PLAN_SIGN_INS if name != backend)
    command = f"onplan login --backend {other} --profile {other.partition('-')[2]}"
    say(
        f"This is {backend}. For the other, run `{command}`. "
        "Either is for your own plan and your own programs: no sharing, no pooling. What is permitted:\n"
        f"  {_PERMITTED.as_uri()}"
    )


def say_who(credentials: OAuthCredentials, before: OAuthCredentials | None, store: CredentialStore) -> None:
    """Who is signed in now, where that is stored, and whose sign-in it replaced."""
    say(f"Signed in as {account_of(credentials)}. Stored in {store.describe()}.")
    if before is None:
        return
    known = ((before.account_id, credentials.account_id), (before.email, credentials.email))
    if any(old and old != new for old, new in known):
        say(
            f"It replaced the sign-in of {before.email or before.account_id}, which was not revoked. To have "
            "both, give each a profile: `onplan login --profile NAME`."
        )


def say_whether_the_plan_is_used(
    settings: Settings, credentials: OAuthCredentials, *, is_first: bool, in_use: str
) -> None:
    """Whether the plan is used, where the person sees and limits that, and a first command to try."""
    from onplan.config.hints import login_command

    backend = settings.backend
    if not backend.is_permitted(credentials):
        say(
            "You declined the use of your ChatGPT plan, so onplan does not use it. "
            f"To be asked again, run `{login_command(settings.profile, backend.name, '--consent')}`."
        )
        return
    if backend.usage_page:
        if is_first:
            say("You're using your ChatGPT plan: what onplan asks counts against its limits.")
        say(f"Using ChatGPT plan · manage usage: {backend.usage_page}")
    of_profile = "" if settings.profile == in_use else f"--profile {settings.profile} "
    say(f'Try `onplan ask {of_profile}"Name three birds"`.')
