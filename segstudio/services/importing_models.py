"""Published checkpoints become models a person can choose; for commands and the window alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from segstudio.core.catalog import PALETTES, Catalog
from segstudio.core.errors import ModelError
from segstudio.core.jobs import Progress
from segstudio.core.paths import user_data_dir
from segstudio.engine.base import Engine
from segstudio.engine.protocol import Imported, ImportSpec
from segstudio.nets.card import find_card, list_cards
from segstudio.services.blocking import wait_for
from segstudio.services.models import card_folders


def import_question(file: Path, model: str = "") -> ImportSpec:
    """What to ask the engine: `file` as a card among the person's own.

    `model` is the id of the card, or the family, that the person says it is; "" lets the file tell.
    """
    return ImportSpec(str(file.expanduser().absolute()), str(user_data_dir() / "cards"), model)


def import_model(
    engine: Engine, file: Path, *, model: str = "", on_progress: Callable[[Progress], None] | None = None
) -> Imported:
    """Where the new card is, with sentences on what was recognised; waits for the engine.

    Raises:
        UserError: The file is no checkpoint that can be read, or not what was said.
    """
    if not file.expanduser().exists():
        raise ModelError(f"There is no file {file}.", "Check the path.")
    question = import_question(file, model)
    result = wait_for(lambda listener: engine.ask(question, listener), on_progress)
    assert isinstance(result, Imported)
    return result


def card_for_checkpoint(engine: Engine, name: str) -> Imported | None:
    """The card of a checkpoint file: the one beside it, else imported; None where `name` is no file or a card itself.

    Raises:
        UserError: The file is no checkpoint that can be read.
    """
    file = Path(name).expanduser()
    if file.suffix == ".toml" or not file.is_file():
        return None
    for card in list_cards(file.parent).cards:
        if card.weights is not None and card.weights.file == file.name:
            return Imported(str(card.path), ())
    return import_model(engine, file)


def classes_of_model(name: str) -> Catalog:
    """The classes of a trained model, for a new project; a published set keeps its colours.

    Raises:
        ModelError: There is no such model, or it takes any classes.
    """
    card = find_card(name, [folder for folder in card_folders() if folder.is_dir()])
    if not card.classes:
        raise ModelError(
            f"The model {card.id} has no classes of its own.", "Choose a trained one, or give --classes or --palette."
        )
    published = (Catalog.from_palette(palette) for palette in PALETTES)
    return next((found for found in published if found.sorted_names == card.classes), Catalog.from_names(card.classes))
