"""The rules that tell what another project's checkpoint is, in the order they are asked.

How to add a project:

1. Write `importers/<project>.py` with a function ``read(contents: Contents) -> Recognised | None`` and a line
   ``RULE = Rule("its networks, in words", read)``. The function looks at the names and shapes in `contents` (wrappers
   and prefixes are gone already, `contents.prefix` says which) and gives None for a file of anybody else. It tests for
   a tensor that only this project has, counts the classes at the last classifier, and translates every name with
   `renamed`; passing on ``dropped=contents.dropped`` keeps what the person is told complete. A tensor that has no place
   here (an auxiliary head, for instance) is taken out and added to `dropped`, with a sentence where that matters.
2. Put ``<project>.RULE`` into `RULES` below. The first rule that recognises a file wins, so a rule that tests for more
   comes before one that tests for less.
3. A file that may be two networks gets a `doubt` from `ambiguous`, which names the two card ids for ``--as``; what the
   person said is `contents.card`.
4. Missing, unknown and mis-shaped tensors need no thought in a rule: loading names them.
5. Add the file's keys to `tests/unit/nets/test_importers.py`, and a parity case to `tests/nets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from segstudio.core.errors import ModelError
from segstudio.nets.base import MAX_CLASSES
from segstudio.nets.card_model import ModelCard
from segstudio.nets.importers import (
    classification,
    isht7,
    jfzhang95,
    kazuto_v1,
    kazuto_v2,
    kazuto_v3,
    milesial,
    pytorch_fcn,
    smp,
    torchvision_files,
    vainf,
)
from segstudio.nets.importers.contents import Recognised, Rule
from segstudio.nets.importers.unwrap import unwrapped

RULES: Final[tuple[Rule, ...]] = (
    kazuto_v2.RULE,
    kazuto_v1.RULE,
    isht7.RULE,
    pytorch_fcn.RULE,
    milesial.RULE,
    kazuto_v3.RULE,
    vainf.RULE,
    jfzhang95.RULE,
    torchvision_files.RULE,
    smp.RULE,
    classification.RULE,
)


def recognise(data: Mapping[Any, Any], path: Path, card: ModelCard | None = None) -> Recognised:
    """What a loaded checkpoint of another project is; `card` is what the person says it is.

    Raises:
        ModelError: No rule fits, several networks fit alike, or it has more or fewer classes than a network here.
    """
    contents = unwrapped(data, path, card)
    for rule in RULES:
        found = rule.read(contents)
        if found is None:
            continue
        if not 2 <= found.classes <= MAX_CLASSES:
            raise ModelError(
                f"{path.name} has {found.classes} output channel{'s' * (found.classes != 1)}; "
                f"a network here has 2 to {MAX_CLASSES} classes.",
                "Choose a checkpoint with fewer classes." if found.classes > 1 else "Choose another checkpoint.",
            )
        return found
    raise ModelError(
        f"{path.name} is not a checkpoint of a known network.",
        f"Known are checkpoints of SegStudio and of {known_networks()}.",
    )


def known_networks() -> str:
    """The networks of all rules, in words."""
    return "; ".join(rule.networks for rule in RULES if rule.networks)
