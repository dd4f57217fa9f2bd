"""``onplan doctor``: checks everything that a request depends on and prints a fix for each problem."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from onplan.cli.session import Session, json_option, pass_session, target_options

if TYPE_CHECKING:
    from onplan.doctor.check import Result

_COLOURS = {"ok": "green", "problem": "red", "skipped": "yellow"}


@click.command()
@click.option("--offline", is_flag=True, help="Skip the checks that need the issuer or the backend.")
@click.option(
    "--no-request", is_flag=True, help="Skip the request to a model, which uses a little of the plan."
)
@target_options
@json_option
@pass_session
def doctor(session: Session, offline: bool, no_request: bool) -> int:
    """Check everything that a request depends on.

    Each line is ok, a problem with its fix, or skipped. The last check sends a tiny request to a model.
    Exits with 0 if there is no problem, else with the exit code of the first one.
    """
    from onplan.doctor import CHECKS, examine

    width = max(len(check.name) for check in CHECKS)
    results = []
    for result in examine(
        profile=session.profile,
        backend=session.backend,
        store=session.store_spec,
        offline=offline,
        request=not no_request,
    ):
        results.append(result)
        if not session.as_json:
            _show(result, width)
    exit_code = next((result.exit_code for result in results if result.state == "problem"), 0)
    if session.as_json:
        checks = [result.to_dict() for result in results]
        click.echo(json.dumps({"ok": exit_code == 0, "checks": checks}, ensure_ascii=False))
    return exit_code


def _show(result: Result, width: int) -> None:
    state = click.style(f"{result.state:<7}", fg=_COLOURS[result.state])
    click.echo(f"{state}  {result.name:<{width}}  {result.message}")
    if result.fix:
        click.echo(" " * (width + 11) + result.fix)
