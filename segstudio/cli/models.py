"""`segstudio models`: the networks there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.console import engine, out, waiting, write_json
from segstudio.nets.card import ModelCard, find_card, list_cards, load_card
from segstudio.services.importing_models import import_model
from segstudio.services.models import card_folders

_HELP = "List, show and import models.\n\nExample: segstudio models"
_OURS = "SegStudio"
app = typer.Typer(help=_HELP, no_args_is_help=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """Lists the models where no other command is given."""
    if context.invoked_subcommand is None:
        list_models(json=False)


@app.command("list")
def list_models(*, json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> int:
    """List every model by id.

    Example: segstudio models list
    """
    found = list_cards(*(f for f in card_folders() if f.is_dir()))
    if json:
        write_json([_plain(card) for card in found.cards], None)
        return 0
    widest = max((len(card.id) for card in found.cards), default=0)
    longest = max((len(card.origin or _OURS) for card in found.cards), default=0)
    for card in found.cards:
        state = "trained" if card.trained else "untrained"
        size = f"{card.parameters / 1e6:.1f} M" if card.parameters else ""
        source = card.origin or _OURS
        out.print(f"{card.id:<{widest}} {state:<9} {size:>8}  {source:<{longest}}  {card.title}", markup=False)
    for path, reason in found.problems:
        out.print(f"{path.name}: {reason}", markup=False)
    return 0


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(help="A card's id or path.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Show what a card says: paper, parameters, licence, figure of merit.

    Example: segstudio models show fcn8s
    """
    card = find_card(model, [f for f in card_folders() if f.is_dir()])
    if json:
        write_json(_plain(card), None)
        return 0
    for key, value in _plain(card).items():
        if value not in (None, "", [], {}):
            out.print(f"{key:<14} {value}", markup=False)
    return 0


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A published checkpoint: .pth, .pt or .safetensors.")],
    *,
    said: Annotated[str | None, typer.Option("--as", metavar="MODEL", help="What it is, or is to go on as.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Make a model from a published checkpoint.

    Example: segstudio models import fcn8s_from_caffe.pth
    """
    with engine() as running, waiting(f"Importing {file.name}") as shown:
        imported = import_model(running, file, model=said or "", on_progress=shown)
    card = load_card(imported.card)
    if json:
        write_json({**_plain(card), "sentences": list(imported.sentences)}, None)
        return 0
    for sentence in imported.sentences:
        out.print(sentence, markup=False)
    out.print(f"Card: {card.path}", markup=False)
    out.print(f"Next: segstudio predict photos --model {card.id} --out labels", markup=False)
    return 0


def _plain(card: ModelCard) -> dict[str, object]:
    return {
        "id": card.id,
        "title": card.title,
        "family": card.family,
        "options": dict(card.options),
        "trained": card.trained,
        "origin": card.origin,
        "classes": list(card.classes),
        "parameters": card.parameters,
        "merit": card.merit,
        "metrics": dict(card.metrics),
        "paper": card.paper,
        "license": card.license,
        "description": card.description,
        "path": str(card.path) if card.path else None,
    }
