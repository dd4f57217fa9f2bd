"""``onplan emulator``: runs local imitations of the services."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onplan.cli.session import Session, json_option, pass_session
from onplan.errors import ConfigurationError

if TYPE_CHECKING:
    from onplan.emulator import Options


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; one that is not loopback lets other machines in.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    show_default="any free one",
    help="The port to listen on.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    help="Write the URLs to this file, as JSON, once it listens.",
)
@click.option(
    "--scenario", type=click.Path(path_type=Path), help="A JSON file with answers, faults and lifetimes."
)
@click.option(
    "--public-url",
    metavar="URL",
    help="The URL that clients use, if they reach it through a proxy or from outside a container.",
)
@click.option("--env", is_flag=True, help="Print `export` lines instead of JSON.")
@click.option(
    "--interactive", is_flag=True, help="Show a page with a button instead of approving each sign-in at once."
)
@click.option(
    "--reuse",
    type=click.Choice(["refuse", "revoke-family"]),
    help="What happens to a spent refresh token: refuse it, or revoke its whole family.",
)
@click.option(
    "--access-token-lifetime",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long access tokens last.",
)
@click.option(
    "--codex-home",
    type=click.Path(path_type=Path),
    help="Write a config.toml for the Codex CLI to this folder.",
)
@click.option("--codex-auth", is_flag=True, help="With --codex-home: write a signed-in auth.json as well.")
@click.option("--faults", is_flag=True, help="List the faults, and exit.")
@json_option
@pass_session
def emulator(
    session: Session,
    host: str,
    port: int,
    ready_file: Path | None,
    scenario: Path | None,
    public_url: str | None,
    env: bool,
    interactive: bool,
    reuse: str | None,
    access_token_lifetime: float | None,
    codex_home: Path | None,
    codex_auth: bool,
    faults: bool,
) -> None:
    """Run local imitations of the services, for tests.

    The issuer and the backends listen on one port, so that a program can be tested without using a plan.
    Prints the addresses as JSON and runs until Ctrl-C.
    """
    try:
        from onplan.emulator import Options, Scenario, serve
    except ModuleNotFoundError:
        from onplan.config.installation import missing_extra

        raise missing_extra("emulator", "The emulator") from None
    if faults:
        _list_faults(as_json=session.as_json)
        return
    if codex_auth and codex_home is None:
        raise click.UsageError("--codex-auth needs --codex-home, the folder to write to.")
    try:
        played = Scenario.from_file(scenario) if scenario else Scenario()
    except ValueError as error:
        raise ConfigurationError(str(error), hint="Correct the scenario file.") from None
    lifetime = played.access_token_lifetime if access_token_lifetime is None else access_token_lifetime
    try:
        options = Options(
            host=host,
            port=port,
            ready_file=ready_file,
            interactive=interactive,
            scenario=played,
            public_url=public_url,
            codex_home=codex_home,
            codex_auth=codex_auth,
            reuse=reuse or played.reuse or Options.reuse,
            access_token_lifetime=Options.access_token_lifetime if lifetime is None else lifetime,
        )
    except ValueError as error:
        raise ConfigurationError(
            str(error), hint="Give it as `--public-url https://emulator.example`."
        ) from None
    try:
        serve(options, env=env, announce=click.echo)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _cannot_start(error, options) from None


def _cannot_start(error: OSError, options: Options) -> ConfigurationError:
    where = error.filename or f"{options.host}:{options.port}"
    return ConfigurationError(
        f"The emulator cannot start at {where}: {error.strerror}.",
        hint="Choose another `--port`, or a file in a folder that you can write.",
    )


def _list_faults(*, as_json: bool) -> None:
    from onplan.emulator.faults.register import FAULTS

    if as_json:
        rows = [{"name": fault.name, "line": fault.line, "where": fault.where} for fault in FAULTS.values()]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    width = max(map(len, FAULTS))
    for fault in FAULTS.values():
        click.echo(f"{fault.name:<{width}}  {fault.line}")
