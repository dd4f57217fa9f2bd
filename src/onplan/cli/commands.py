"""The command group for click. Its help needs none of the commands; each is imported when it is used."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

import click

from onplan._version import __version__
from onplan.cli import COMMANDS
from onplan.cli.session import Session, pass_session

# What people type for something that another command does.
_OTHER_NAMES = {"search": "ask --search", "edit": "image --edit", "limits": "usage", "whoami": "status"}


class _LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table; after them, what another program has added."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = row[0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that ``args`` begin with. Raises UsageError, naming one with a similar name."""
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, (*known, *_OTHER_NAMES, "help"), 1)
            meant = _OTHER_NAMES.get(near[0], near[0]) if near else ""
            question = f" Did you mean `{ctx.command_path} {meant}`?" if meant else ""
            raise click.UsageError(f"There is no command {name!r}.{question}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, without importing anything."""
        added = [(name, command.get_short_help_str()) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl([*((name, text) for name, (_, text) in COMMANDS.items()), *added])


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="onplan %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens to stderr, without secrets.")
@pass_session
@click.pass_context
def cli(context: click.Context, session: Session, verbose: bool) -> None:
    """Run your own Python programs on the ChatGPT plan you already pay for."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    if verbose:
        from onplan.cli.logs import log_to_stderr

        session.verbose = True
        log_to_stderr()
