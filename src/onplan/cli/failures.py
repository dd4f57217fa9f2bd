"""How a failure is told: what happened, and the next thing to type. Never a traceback, never a token."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys

import click

from onplan.errors import OnplanError

_INTERRUPTED = 130  # 128 + SIGINT, as shells count
_INTERNAL = 70  # EX_SOFTWARE of sysexits.h


def report(error: Exception, *, as_json: bool) -> int:
    """Tell ``error`` on stderr and return the exit code it stands for."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        return _INTERRUPTED
    if _reader_has_left(error):
        # Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    told, exit_code = _told(error)
    if as_json:
        click.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
    else:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {told['message']}", err=True)
        if told.get("request_id"):
            click.echo(f"       request id {told['request_id']}", err=True)
        click.echo(f"       {told['hint']}", err=True)
    return exit_code


def _reader_has_left(error: Exception) -> bool:
    return isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and error.errno == errno.EPIPE)


def _told(error: Exception) -> tuple[dict[str, object], int]:
    if isinstance(error, OnplanError):
        return error.to_dict(), error.exit_code
    if isinstance(error, click.ClickException):
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "onplan"
        hint = f"Run `{command} --help`."
        return {"code": "usage", "message": error.format_message(), "hint": hint}, error.exit_code
    logging.getLogger("onplan").debug("internal error", exc_info=error)
    return {
        "code": "internal",
        "message": f"An unexpected {type(error).__name__} in onplan.",
        "hint": "Run the command again with `onplan -v …` and report what it prints.",
    }, _INTERNAL
