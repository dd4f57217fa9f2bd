"""``onplan image``: generates an image from a prompt, or from other images, and saves it."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.answer_file import save_or_keep
from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.images.response import ImageResponse

_STDOUT = "-"
_LONGEST_NAME = 40  # characters of a file's name that are taken from the prompt


class _Command(click.Command):
    """Names --edit to people who try the options with which `onplan ask` takes an image."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments. Raises UsageError."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in ("--image", "-i"):
                raise
            raise click.UsageError(f"{error.message} Did you mean '--edit'?", ctx) from None


@click.command(cls=_Command)
@click.argument("prompt")
@click.option(
    "-o", "--output", metavar="FILE", help="Where to save it; - is stdout (default: a name from the prompt)."
)
@click.option(
    "--edit",
    "references",
    metavar="FILE",
    multiple=True,
    help="An image to begin with; repeatable.",
)
@click.option("-m", "--model", metavar="ID", help="The image model (default: gpt-image-2).")
@click.option(
    "--size", metavar="WIDTHxHEIGHT", help="In pixels, such as 1024x1536. The service may choose another."
)
@click.option("--quality", metavar="WORD", help="auto, low, medium or high.")
@click.option("--background", metavar="WORD", help="opaque, transparent or auto.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@target_options
@json_option
@pass_session
def image(
    session: Session,
    prompt: str,
    output: str | None,
    references: tuple[str, ...],
    model: str | None,
    size: str | None,
    quality: str | None,
    background: str | None,
    force: bool,
) -> None:
    """Generate an image from a prompt, or from other images.

    PROMPT says what the image shows, or, with --edit, what to change; "-" reads it from stdin. It takes a
    minute or two. The image's path is printed; with --json one object: the path, what was requested, and
    what came.
    """
    prompt = _text(prompt)
    if output == _STDOUT and (sys.stdout.isatty() or session.as_json):
        raise click.UsageError("An image is not for a terminal or JSON: give --output a file, or pipe it.")
    folder = Path()
    if output is not None and output != _STDOUT and os.path.isdir(output):  # noqa: PTH112 - it may hold a NUL
        folder, output = Path(output), None
    if output is not None and output != _STDOUT and not force:
        from onplan.images.saving import require_free

        require_free(output)
    wanted = {"model": model, "size": size, "quality": quality, "background": background}
    response = _made(session, prompt, references, wanted)
    if output == _STDOUT:
        sys.stdout.buffer.write(response.data)
        sys.stdout.buffer.flush()
        return
    path = save_or_keep(
        response.images[0], output or folder / _name(prompt), numbered=output is None, force=force
    )
    if session.as_json:
        click.echo(json.dumps(_facts(response, path), ensure_ascii=False))
        return
    _note(response)
    click.echo(path)


def _text(prompt: str) -> str:
    """The prompt as UTF-8, whatever the locale's encoding; from stdin if it is "-"."""
    data = sys.stdin.buffer.read() if prompt == _STDOUT else os.fsencode(prompt)
    text = data.decode("utf-8", "replace").strip()
    if not text:
        raise click.UsageError("The prompt is empty.")
    return text


def _made(
    session: Session, prompt: str, references: tuple[str, ...], wanted: dict[str, str | None]
) -> ImageResponse:
    from onplan.cli.terminal import Spinner

    options: Any = {name: value for name, value in wanted.items() if value is not None}
    with (
        session.client() as client,
        Spinner("drawing, which takes a minute or two", wanted=not session.verbose, alone=True),
    ):
        made = (
            client.images.edit(prompt, references, **options)
            if references
            else client.images.generate(prompt, **options)
        )
        session.note_limits(client, made.limits)
    return made


def _name(prompt: str) -> str:
    """A file's name from the first words of a prompt."""
    words = re.sub(r"[^\w]+", "-", prompt.lower()).strip("-_")
    if len(words) > _LONGEST_NAME:
        words = words[:_LONGEST_NAME].rpartition("-")[0] or words[:_LONGEST_NAME]
    return words or "image"


def _facts(response: ImageResponse, path: Path) -> dict[str, Any]:
    import msgspec

    made = response.images[0]
    width, height = made.size or (None, None)
    facts = {
        "path": str(path),
        "mime_type": made.mime_type,
        "width": width,
        "height": height,
        "bytes": len(made.data),
        "revised_prompt": made.revised_prompt,
        "requested": msgspec.to_builtins(response.requested),
        "reported": msgspec.to_builtins(response.reported),
        "request_id": response.request_id,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _note(response: ImageResponse) -> None:
    """Say in what the image differs from what was requested."""
    size = response.images[0].size
    came = {"size": f"{size[0]}x{size[1]}" if size else None, "quality": response.reported.quality}
    other = [
        f"{name} {value}, not {asked}"
        for name, value in came.items()
        if value and (asked := getattr(response.requested, name)) not in (None, "auto", value)
    ]
    if other:
        say(f"note: the service made it with {' and '.join(other)}")
