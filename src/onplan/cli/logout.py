"""``onplan logout``: signs out one profile, or all of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.config.settings import Settings
    from onplan.errors import OnplanError
    from onplan.sign_in.sign_out import SignOut, StoreSignOut


@click.command()
@click.option("--all", "all_", is_flag=True, help="Sign out every profile.")
@click.option(
    "--force",
    is_flag=True,
    help="Also delete damaged credentials, and onplan's registration at chatgpt-plan.",
)
@target_options
@json_option
@pass_session
def logout(session: Session, all_: bool, force: bool) -> None:
    """Sign out: revoke the tokens and delete them.

    The tokens are deleted here even if the server cannot be reached; the command then says so. A borrowed
    token is deleted and not revoked, because it belongs to another program.
    """
    from onplan.errors import OnplanError
    from onplan.sign_in.sign_out import StoreSignOut, sign_out, sign_out_everywhere

    settings = session.settings
    if all_:
        if session.profile or session.store_spec:
            raise click.UsageError("--all means every profile and store; leave out --profile and --store.")
        outcomes = sign_out_everywhere(settings, force=force)
    else:
        outcome = sign_out(settings, session.store, force=force)
        outcomes = [StoreSignOut((settings.profile,), settings.store, outcome)]
    if session.as_json:
        rows = [_facts(row) for row in outcomes]
        click.echo(json.dumps(rows if all_ else rows[0], ensure_ascii=False))
    else:
        for row in outcomes:
            prefix = f"{', '.join(row.profiles)}: " if all_ else ""
            say(_sentence(row), label=prefix)
        if not all_:
            _say_what_is_left(settings, outcome)
    failed = [row.outcome for row in outcomes if isinstance(row.outcome, OnplanError)]
    if failed:
        click.get_current_context().exit(failed[0].exit_code)


def _say_what_is_left(settings: Settings, outcome: SignOut) -> None:
    from onplan.config.environment import environment_variable

    variable = settings.backend.api_key_variable
    if outcome.api_key and variable and environment_variable(variable):
        say(f"The variable {variable} is still set, so its key is used from now on.")


def _facts(row: StoreSignOut) -> dict[str, Any]:
    from onplan.errors import OnplanError

    facts: dict[str, Any] = {"profiles": row.profiles, "store": row.store}
    if isinstance(row.outcome, OnplanError):
        return {**facts, "removed": False, "error": row.outcome.to_dict()}
    return {
        **facts,
        "removed": True,
        "was_signed_in": row.outcome.was_signed_in,
        "revoked": row.outcome.confirmed,
        "borrowed_from": row.outcome.borrowed_from,
    }


def _sentence(row: StoreSignOut) -> str:
    from onplan.errors import OnplanError

    if isinstance(row.outcome, OnplanError):
        return _failed(row.outcome)
    if row.outcome.registration:
        return _done_here(row.outcome)
    if row.store.partition(":")[0] != "codex":
        return _done(row.outcome, ", such as the Codex CLI's")
    shared = " The Codex CLI used the same sign-in, so it is signed out as well."
    return _done(row.outcome) + (shared if row.outcome.was_signed_in else "")


def _failed(error: OnplanError) -> str:
    return f"error: {error.message} {error.hint}"


def _done_here(outcome: SignOut) -> str:
    """The sentence for a sign-in whose registered client stays."""
    if not outcome.was_signed_in:
        return "Not signed in; nothing to do."
    if outcome.confirmed:
        return "Signed out; the tokens no longer work. onplan stays listed in ChatGPT's settings."
    return (
        "Signed out here, but the server did not confirm that the tokens no longer work. To be sure, "
        "disconnect onplan in ChatGPT's settings (Security and login, Sign in with ChatGPT)."
    )


def _done(outcome: SignOut, such_as: str = "") -> str:
    if not outcome.was_signed_in:
        return "Not signed in; nothing to do."
    if outcome.api_key:
        return (
            "The API key is deleted here. It keeps working until you delete it on the page where it was made."
        )
    if outcome.lender_signed_out:
        return (
            f"The borrowed token is deleted here; {outcome.borrowed_from}, its source, is signed out as well."
        )
    if outcome.borrowed_from:
        return f"The borrowed token is deleted here; it keeps working in {outcome.borrowed_from}, its source."
    if outcome.confirmed:
        return (
            "Signed out; the tokens no longer work. "
            f"OpenAI may have ended other sign-ins of this account with them{such_as}."
        )
    return (
        "Signed out here, but the server did not confirm that the tokens no longer work. "
        "To be sure, sign out of all devices at https://chatgpt.com/#settings/Security."
    )
