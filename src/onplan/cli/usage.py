"""``onplan usage``: what the plan has left, and when it resets; spends a reset credit when told to."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import as_typed, colour, say
from onplan.cli.usage_view import Screen, View, lines

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.plan.usage_reply import ResetCredit


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Show it again and again until Ctrl-C.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="How often, with --watch.",
)
@click.option("--reset", is_flag=True, help="Spend a reset credit, which resets the windows now.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a reset credit is spent.")
@target_options
@json_option
@pass_session
def usage(session: Session, watch: bool, interval: float, reset: bool, yes: bool) -> None:
    """Show what the plan has left, and when it resets.

    The backend is asked, which uses nothing of the plan. The pace is that of the last hour where it is known,
    else that since the window began.
    """
    if reset and watch:
        raise click.UsageError("--reset happens once; leave out --watch.")
    with session.client() as client:
        if reset:
            from onplan.cli.usage_reset import spend_reset_credit

            spend_reset_credit(session, client, read_view(session, client), sure=yes)
        view = read_view(session, client)
        printed = _show(session, view, 0)
        while watch:
            time.sleep(interval)
            printed = _again(session, client, printed)


def read_view(session: Session, client: Client) -> View:
    """Ask the backend. The reset credits are listed if there are some, and if that fails only counted."""
    from onplan.plan.forecast import forecast

    limits = client.limits()
    readings = session.note_limits(client, limits)
    resets = _list_resets(client) if limits.reset_credits else []
    return View(limits, forecast(readings or limits), resets, limits.read_at or time.time())


def _list_resets(client: Client) -> list[ResetCredit]:
    from onplan.client_parts import reset_credits_of
    from onplan.errors import OnplanError

    try:
        return reset_credits_of(client)
    except OnplanError as error:
        say(f"The reset credits could not be listed. {error}")
        return []


def _again(session: Session, client: Client, printed: int) -> int:
    """Ask once more and show it; a failure that may pass by itself is shown instead."""
    from onplan.errors import OnplanError

    try:
        view = read_view(session, client)
    except OnplanError as error:
        if not error.retryable:
            raise
        say(f"{time.strftime('%H:%M')} {error}")
        return 0
    return _show(session, view, printed)


def _show(session: Session, view: View, printed: int) -> int:
    """Print the view, at a terminal in the place of the ``printed`` lines before; how many lines it has."""
    if session.as_json:
        click.echo(json.dumps(as_json(view), ensure_ascii=False))
        return 0
    screen = screen_of_stdout()
    shown = lines(view, screen)
    if printed and screen.width is not None:
        sys.stdout.write(f"\x1b[{printed}F\x1b[J")  # click would take it out where there are to be no colours
    click.echo(as_typed("\n".join(shown)), color=colour())
    return len(shown)


def screen_of_stdout() -> Screen:
    """What stdout is."""
    from onplan.config.environment import environment_variable

    if not sys.stdout.isatty() or environment_variable("TERM") == "dumb":
        return Screen(None, colour=False, blocks=_can_write("█░·"))
    try:
        width = os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        width = 80
    return Screen(width, colour=colour() is None, blocks=_can_write("█░·"))


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def as_json(view: View) -> dict[str, Any]:
    """The view for programs: the fields of ``Limits`` with names, times and forecasts beside them."""
    import msgspec

    from onplan.types import Window

    def named(window: Window) -> dict[str, Any]:
        time_ = window.reset_time.isoformat() if window.reset_time else None
        return {"name": window.name, **msgspec.to_builtins(window), "reset_time": time_}

    limits: dict[str, Any] = msgspec.to_builtins(view.limits)
    limits["windows"] = [
        {
            **named(forecast.window),
            "percent_per_hour": forecast.percent_per_hour,
            "runs_out_at": forecast.runs_out_at,
            "run_out_time": forecast.run_out_time.isoformat() if forecast.run_out_time else None,
        }
        for forecast in view.forecasts
    ]
    limits["meters"] = [
        {"id": meter.id, "name": meter.name, "windows": [named(window) for window in meter.windows]}
        for meter in view.limits.meters
    ]
    limits["is_available"] = view.limits.is_available
    limits["reset_credit_list"] = msgspec.to_builtins(list(view.resets))
    return limits
