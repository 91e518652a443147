"""The option `--model`: a card's id or path, or a checkpoint file, of which a model is made first."""

from __future__ import annotations

from segstudio.cli.console import err
from segstudio.engine.base import Engine
from segstudio.services.importing_models import card_for_checkpoint


def model_named(running: Engine, given: str | None) -> str | None:
    """The id or path of the card a person means; what a checkpoint turned out to be is told.

    Raises:
        UserError: The file is no checkpoint that can be read.
    """
    found = card_for_checkpoint(running, given) if given is not None else None
    if found is None:
        return given
    for sentence in found.sentences:
        err.print(sentence, markup=False)
    return found.card
