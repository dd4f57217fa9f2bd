"""How a failure is told: what happened, and the next thing to type. Never a traceback, never a token."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from onplan.config.hints import complete_commands
from onplan.errors import OnplanError

if TYPE_CHECKING:
    from onplan.cli.session import Session

_INTERRUPTED = 130  # 128 + SIGINT, as shells count
_INTERNAL = 70  # EX_SOFTWARE of sysexits.h
_INPUT_OUTPUT = 74  # EX_IOERR
# What becomes of output on a disk that is full, broken or at its limit.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def report(error: Exception, session: Session) -> int:
    """Tell ``error`` on stderr and return the exit code it stands for."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        return _INTERRUPTED
    if _reader_has_left(error) or _output_failed(error):
        # Stdout cannot be written. Python would complain once more when it flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if _reader_has_left(error):
        return 0
    if isinstance(error, OnplanError):
        with suppress(OnplanError):  # the settings may be what is wrong
            complete_commands(error, session.settings())
    told, exit_code = _told(error)
    if session.as_json:
        click.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
    else:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {told['message']}", err=True)
        if told.get("request_id"):
            click.echo(f"       request id {told['request_id']}", err=True)
        click.echo(f"       {told['hint']}", err=True)
    return exit_code


def _reader_has_left(error: Exception) -> bool:
    return isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and error.errno == errno.EPIPE)


def _output_failed(error: Exception) -> bool:
    return isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE


def _told(error: Exception) -> tuple[dict[str, object], int]:
    if isinstance(error, OnplanError):
        return error.to_dict(), error.exit_code
    if isinstance(error, click.ClickException):
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "onplan"
        hint = f"Run `{command} --help`."
        return {"code": "usage", "message": error.format_message(), "hint": hint}, error.exit_code
    if isinstance(error, OSError) and (error.filename or _output_failed(error)):
        what = f"{error.filename} cannot be used" if error.filename else "The output cannot be written"
        told = {"code": "input_output", "message": f"{what}: {error.strerror}."}
        return {**told, "hint": "Put that right and run the command again."}, _INPUT_OUTPUT
    logging.getLogger("onplan").debug("internal error", exc_info=error)
    return {
        "code": "internal",
        "message": f"An unexpected {type(error).__name__} in onplan.",
        "hint": "Run the command again with `onplan -v …` and report what it prints.",
    }, _INTERNAL
