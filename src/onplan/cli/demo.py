"""``onplan demo``: everything from sign-in to usage, over real sockets, with the emulator as the services.

It prints what the public API returns. The emulator's model has its answers from a scenario.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.emulator import Emulator
    from onplan.emulator.options import Scenario
    from onplan.oauth.authorization_code import AuthorizationRequest
    from onplan.types import Usage


@click.command()
def demo() -> None:
    """Show everything at work, with the emulator.

    Signs in, lists models, streams an answer, makes a tool call, refreshes the token and counts tokens. Uses
    no network but this machine's own, and none of your sign-ins.
    """
    click.echo("Everything below happens on this machine: no account, no network, no plan is used.")
    try:
        from onplan.emulator import Emulator, Options
    except ModuleNotFoundError:
        from onplan.config.installation import missing_extra

        raise missing_extra("emulator", "The demo") from None

    with Emulator(Options(scenario=_scenario())) as emulator, tempfile.TemporaryDirectory() as folder:
        _title("The services", f"imitated by the emulator at {emulator.issuer}")
        with _sign_in(emulator, Path(folder)) as client:
            spent = [step(client, emulator) for step in (_models, _stream, _tools, _refresh)]
        _title("Usage", "what would have counted against the plan")
        for usage in filter(None, spent):
            click.echo(f"  {usage.prompt_tokens} tokens in, {usage.completion_tokens} out")
        click.echo(f"  {sum(usage.total_tokens for usage in spent if usage)} in all")


_BIRDS = "Name three birds"
_WEATHER = "What is the weather in Lisbon?"
_STILL_THERE = "Still there?"
_MODELS_SHOWN = 4


def _scenario() -> Scenario:
    """What the emulator's model answers; at a terminal with pauses, as models do."""
    from onplan.emulator.options import Answer, Scenario

    answers = {
        _BIRDS: "Robin, wren and kingfisher.",
        _WEATHER: "It is sunny in Lisbon, 24 °C.",
        _STILL_THERE: "Yes, still here.",
    }
    return Scenario(answers=answers, answer=Answer(interval=0.05 if sys.stdout.isatty() else 0.0))


def _title(what: str, how: str) -> None:
    click.echo(f"\n{click.style(what, bold=True)}  {click.style(how, dim=True)}")


def _sign_in(emulator: Emulator, folder: Path) -> Client:
    """Sign in through the real redirect, with a thread instead of a browser."""
    from onplan.client import Client
    from onplan.config.settings import load_settings
    from onplan.sign_in.login import sign_in_with_browser
    from onplan.stores import open_store

    # Any application can be pointed at an emulator like this, from outside: see `onplan emulator --env`.
    for name in [name for name in os.environ if name.startswith("ONPLAN_")]:
        del os.environ[name]
    os.environ |= {
        "ONPLAN_HOME": str(folder),
        "ONPLAN_ISSUER": emulator.issuer,
        "ONPLAN_CODEX_BASE_URL": emulator.codex_base_url,
    }
    settings = load_settings()
    _title("Sign in", "authorization code with PKCE, through a redirect to this machine")
    credentials = sign_in_with_browser(settings, open_store(settings.store), _announce, browse=_visit)
    click.echo(f"  signed in as {credentials.email}, ChatGPT {(credentials.plan or 'plan').capitalize()}")
    return Client()


def _announce(started: AuthorizationRequest) -> None:
    click.echo(
        f"  the browser opens {started.url.partition('?')[0]} and comes back to port {started.redirect_port}"
    )


def _visit(url: str) -> None:
    """What a browser would do: open the address and follow the redirects."""

    def visit() -> None:
        import urllib.request

        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(url, timeout=30).close()

    threading.Thread(target=visit, daemon=True).start()


def _models(client: Client, emulator: Emulator) -> Usage | None:
    _title("Models", "from the plan's catalogue")
    listed = client.list_models()
    for model in listed[:_MODELS_SHOWN]:
        click.echo(f"  {model.id:<16} {model.context_window:>7,}  {' '.join(model.reasoning_efforts)}")
    click.echo(f"  … and {len(listed) - _MODELS_SHOWN} more")
    return None


def _stream(client: Client, emulator: Emulator) -> Usage | None:
    _title("Ask", 'client.complete_stream("Name three birds")')
    usage = None
    for chunk in client.complete_stream(_BIRDS):
        if chunk.type in ("text", "thinking"):
            text = chunk.text.replace("**", "")  # summaries have Markdown headings
            click.echo(click.style(text, dim=chunk.type == "thinking"), nl=False)
        elif chunk.type == "part_done":
            click.echo()
        elif chunk.type == "done":
            usage = chunk.usage
    return usage


def _tools(client: Client, emulator: Emulator) -> Usage | None:
    from onplan.types import CompletionRequest, Message, ToolDefinition

    weather = ToolDefinition(
        name="weather",
        description="The weather in a city",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Lisbon"]}},
            "required": ["city"],
        },
    )
    _title("Tools", "the model calls a function, the program answers, the model goes on")
    messages = [Message.user(_WEATHER)]
    calling = client.complete(CompletionRequest(messages=messages, tools=[weather]))
    messages.append(calling.message)
    for call in calling.tool_calls:
        click.echo(f"  the model calls {call.name}({call.arguments})")
        click.echo('  the program answers "sunny, 24 °C"')
        messages.append(Message.tool(call.id, "sunny, 24 °C"))
    answer = client.complete(CompletionRequest(messages=messages, tools=[weather]))
    click.echo(f"  {answer.text}")
    return answer.usage


def _refresh(client: Client, emulator: Emulator) -> Usage | None:
    _title("Refresh", "the services stop accepting the access token; the program does not notice")
    emulator.expire_access_tokens()
    emulator.clear_journal()
    click.echo(f'  client.complete("{_STILL_THERE}") makes these requests:')
    answer = client.complete(_STILL_THERE)
    for row in emulator.journal():
        click.echo(f"    {row['method']} {row['path']}  {row['status']}")
    click.echo(f"  {answer.text}")
    return answer.usage
