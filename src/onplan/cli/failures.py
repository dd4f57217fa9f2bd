"""Reports errors on stderr: what happened and the next command to type; no traceback, no token."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from onplan.cli.exit_codes import INPUT_OUTPUT, INTERNAL, INTERRUPTED
from onplan.cli.talk import as_typed, say
from onplan.config.hints import complete_commands
from onplan.errors import OnplanError

if TYPE_CHECKING:
    from onplan.cli.session import Session

# Writing failed because the disk is full, over quota, at its limit or broken.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_LABEL = "error: "


def report(error: Exception, session: Session) -> int:
    """Report ``error`` on stderr and return the exit code of the command.

    A reader of stdout that has ended (EPIPE) never comes here: click exits with 1 by itself.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # a group without a command shows its help
        click.echo(error.format_message())
        return 0
    if isinstance(error, click.Abort):
        return INTERRUPTED
    if _output_failed(error):
        # Python would complain a second time when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    facts, exit_code = _described(error, session)
    facts["hint"] = as_typed(str(facts["hint"]))
    try:
        _say(facts, as_json=session.as_json)
    except OSError:  # stderr cannot be written: the exit code says all the same what happened
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return exit_code


def tell(error: Exception, session: Session) -> None:
    """Say on stderr what happened and what to do, for a command that goes on."""
    facts, _ = _described(error, session)
    _say(facts, as_json=False)


def _say(facts: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": facts}, ensure_ascii=False), err=True)
        return
    indent = len(_LABEL)
    say(str(facts["message"]), label=click.style(_LABEL.rstrip(), fg="red", bold=True) + " ", indent=indent)
    if facts.get("request_id"):
        say(f"request id {facts['request_id']}", indent=indent)
    say(str(facts["hint"]), indent=indent)


def _output_failed(error: Exception) -> bool:
    return isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE


def _described(error: Exception, session: Session) -> tuple[dict[str, object], int]:
    """The JSON form of an error (``code``, ``message``, ``hint``, …) and its exit code."""
    if isinstance(error, OnplanError):
        with suppress(OnplanError):  # the settings may be what is wrong
            complete_commands(error, session.settings)
        return error.to_dict(), error.exit_code
    if isinstance(error, click.ClickException):
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "onplan"
        hint = f"Run `{command} --help`."
        return {"code": "usage", "message": error.format_message(), "hint": hint}, error.exit_code
    if isinstance(error, OSError) and (error.filename or _output_failed(error)):
        what = f"{error.filename} cannot be used" if error.filename else "The output cannot be written"
        facts = {"code": "input_output", "message": f"{what}: {error.strerror}."}
        return {**facts, "hint": "Correct that and run the command again."}, INPUT_OUTPUT
    logging.getLogger("onplan").debug("internal error", exc_info=error)
    return {
        "code": "internal",
        "message": f"An unexpected {type(error).__name__} in onplan.",
        "hint": "Run the command again with `onplan -v …` and report what it prints.",
    }, INTERNAL
