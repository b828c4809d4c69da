"""The command line, `spinbench`. Errors that a user can correct are one line with exit code 1 (arguments: 2)."""

from __future__ import annotations

import importlib.metadata
import io
import logging
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from foundation import SpinbenchError, one_line
from spinbench import (
    catalogue,
    check,
    checkpoints,
    clean,
    collect,
    export,
    networks,
    new,
    pictures,
    report,
    reproduce,
    runs,
    speed,
    status,
    tensorboard,
    training,
    validation,
)
from spinbench.console import complain, output, say
from spinbench.options import UsageError


class _Commands(TyperGroup):
    """An interrupted command ends with its own line, of which typer would say nothing."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            if not output.error:
                say(str(error) or "interrupted; finished work is kept, and the same command goes on")
            elif str(error):  # what was saved; after `list | head` there is nothing to tell
                complain(str(error))
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=_Commands,
    help="Reproducible benchmark and ablation suite for lightweight image super-resolution around SPIN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (
    new, validation, runs, training, status, report, catalogue, networks, checkpoints, export, speed, check,
    tensorboard, clean, collect, reproduce,
):  # fmt: skip
    app.add_typer(part.app)
app.add_typer(pictures.app, name="picture")


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            say(f"spin-bench {importlib.metadata.version('spin-bench')}")
        except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
            say("spin-bench, of an unknown version: it is not installed")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    command = context.invoked_subcommand
    if "TORCHELASTIC_RUN_ID" in os.environ and command != "train":
        if os.environ.get("RANK") != "0":
            raise typer.Exit
        raise UsageError(
            f"torchrun is for `spinbench train`, which several processes do together; start `spinbench {command}` "
            "without it"
        )


class _Shown(logging.Handler):
    """Prints the log messages of the library, above the progress bars if there are any."""

    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        say(f"{level}{record.getMessage()}")


def main() -> None:
    """Entry point of `spinbench`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # signs that a terminal's encoding lacks are written out
            stream.reconfigure(errors="backslashreplace")
    output.error = None
    log = logging.getLogger("benchmarks")
    log.setLevel(logging.INFO)
    log.handlers = [_Shown()]
    try:
        app()
    except (SpinbenchError, OSError) as error:
        complain(f"error: {one_line(error)}")
        sys.exit(1)
    except SystemExit as end:
        output.flush()
        if output.error is None:
            raise
        output.discard()
        if not end.code:
            complain(f"error: not all of the output could be written: {output.error.strerror}; the work is done")
            sys.exit(1)
        raise
