"""The sections in which the chooser lists cards: a person's own first, then what is ready, then by network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from segstudio.core.paths import user_data_dir
from segstudio.imaging.scan import natural_key
from segstudio.nets.card_model import ModelCard

RUNS: Final = "Your runs"
IMPORTED: Final = "Imported"
READY: Final = "Ready to use"
OTHERS: Final = "Other networks"

# The order is the order of the sections.
FAMILY_SECTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unet": "U-Net",
        "unet-original": "U-Net",
        "fcn": "FCN",
        "parsenet": "ParseNet",
        "deconvnet": "DeconvNet",
        "edeconvnet": "DeconvNet",
        "hypercolumn": "Hypercolumns",
        "deeplabv1": "DeepLab v1",
        "deeplabv2": "DeepLab v2",
        "deeplabv3": "DeepLab v3",
        "deeplabv3plus": "DeepLab v3+",
        "torchvision": "torchvision",
        "smp": "segmentation_models.pytorch",
    }
)
_ORDER: Final = (RUNS, IMPORTED, READY, *dict.fromkeys(FAMILY_SECTIONS.values()), OTHERS)


def section_of(card: ModelCard, project: Path) -> str:
    """The section of a card in the window of a project (its folder)."""
    path = card.path
    if path is not None and path.is_relative_to(project):
        return RUNS
    if card.origin or (path is not None and path.is_relative_to(user_data_dir())):
        return IMPORTED
    return READY if card.trained else FAMILY_SECTIONS.get(card.family, OTHERS)


def place_of(card: ModelCard, section: str, *, knows_classes: bool) -> tuple[object, ...]:
    """Sorts cards by section; within one those that have learnt the project's classes come first, then by title."""
    return _ORDER.index(section), not knows_classes, natural_key(card.title or card.id)
