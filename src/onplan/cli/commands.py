"""The command group for click. Its help needs none of the commands; each is imported when it is used."""

from __future__ import annotations

from importlib import import_module

import click

from onplan._version import __version__
from onplan.cli import COMMANDS


class _LazyGroup(click.Group):
    """A group whose commands are imported on use; its help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        module, _, name = row[0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="onplan %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens to stderr, without secrets.")
def cli(verbose: bool) -> None:
    """Run your own Python programs on the ChatGPT plan you already pay for."""
    if verbose:
        from onplan.cli.logs import log_to_stderr

        log_to_stderr()
