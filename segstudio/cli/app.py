"""The table of commands."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

import segstudio
from segstudio.cli import (
    demo,
    evaluate,
    export,
    import_labels,
    info,
    models,
    new,
    predict,
    refine,
    train,
    tune,
)
from segstudio.cli.console import err, out
from segstudio.core.errors import Cancelled, UserError

_INTERRUPTED = 130
_EPILOG = "segstudio PATH opens the window on a folder, an image or a project; segstudio alone the welcome page."

app = typer.Typer(
    name="segstudio",
    no_args_is_help=True,
    add_completion=False,
    help="Label a segmentation data set while a network learns from every correction.",
    epilog=_EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS: dict[str, Any] = {
    "demo": demo.command,
    "new": new.command,
    "import": import_labels.command,
    "export": export.command,
    "predict": predict.command,
    "train": train.command,
    "evaluate": evaluate.command,
    "refine": refine.command,
    "tune": tune.command,
    "info": info.command,
}


@app.callback(invoke_without_command=True)
def _options(
    *, version: Annotated[bool, typer.Option("--version", help="Say the version and stop.", is_eager=True)] = False
) -> None:
    if version:
        out.print(f"segstudio {segstudio.__version__}")
        raise typer.Exit


for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(models.app, name="models")


def run(arguments: list[str]) -> int:
    """Runs one command and returns the exit status: 0, 1 for a person's error, 2 for wrong usage, 130 interrupted."""
    try:
        # standalone mode would turn our errors into tracebacks of its own kind
        result = app(arguments, standalone_mode=False, prog_name="segstudio")
    except UserError as error:
        err.print(f"segstudio: {error}", markup=False)
        return 1
    except typer.Exit as stop:
        return int(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort, Cancelled):
        err.print("segstudio: stopped.")
        return _INTERRUPTED
    except Exception as error:
        if (status := _usage_error(error)) is not None:
            return status
        raise
    if result == _INTERRUPTED:  # typer turns Ctrl+C into this status before it reaches the clause above
        err.print("segstudio: stopped.")
    return result if isinstance(result, int) else 0


def _usage_error(error: Exception) -> int | None:
    """Shows an error of the command line's own kind; None where `error` is something else."""
    show, status = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is None or status is None:
        return None
    show(file=sys.stderr)
    return int(status)
