"""The command line. Data goes to stdout, talk to stderr; exit codes come from the error classes.

This module loads click and nothing else: each command's module is imported when the command is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

import click

from onplan._version import __version__
from onplan.cli.session import Session

# name: (where it is, what it does)
_COMMANDS = {
    "login": ("onplan.cli.login:login", "Sign in with a ChatGPT plan."),
    "logout": ("onplan.cli.login:logout", "Sign out: revoke the tokens and forget them."),
    "status": ("onplan.cli.status:status", "Show who is signed in, and until when."),
    "models": ("onplan.cli.models:models", "List the models that the plan has now."),
    "ask": ("onplan.cli.ask:ask", "Ask a model; the answer streams to stdout."),
    "token": ("onplan.cli.token:token", "Print a fresh access token, for other tools."),
    "emulator": ("onplan.cli.emulator:emulator", "Play the services on loopback, for tests."),
    "demo": ("onplan.cli.demo:demo", "See it all at work, against the emulator."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported on use; its help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        row = _COMMANDS.get(cmd_name)
        if row is None:
            return None
        module, _, name = row[0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="onplan %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens to stderr, without secrets.")
def cli(verbose: bool) -> None:
    """Run your own Python programs on the ChatGPT plan you already pay for."""
    if verbose:
        from onplan.cli.logs import log_to_stderr

        log_to_stderr()


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a command and exits with its code."""
    session = Session()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # an answer is not lost for a character the terminal lacks
            stream.reconfigure(errors="replace")
    try:
        sys.exit(cli.main(arguments, prog_name="onplan", standalone_mode=False, obj=session) or 0)
    except Exception as error:  # noqa: BLE001 - every failure ends in one sentence and an exit code
        from onplan.cli.failures import report

        sys.exit(report(error, as_json=session.as_json))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
