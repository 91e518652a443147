"""What files of DeepLab v3 and v3+ do not say in their tensors, from elsewhere."""

from __future__ import annotations

import re
from typing import Final

from segstudio.core.catalog import Catalog
from segstudio.nets.importers.contents import Contents

_STRIDE: Final = re.compile(r"(?<![a-z])os[-_]?(8|16)(?!\d)")
_DEFAULT_STRIDE: Final = 16
_DEEP_BLOCK: Final = "layer3.22.conv1.weight"


def output_stride(contents: Contents) -> tuple[int, tuple[str, ...]]:
    """(8 or 16, what the person should know): what they say, the file's name says, or all these projects train with."""
    said = contents.card.options.get("output_stride") if contents.card is not None else None
    if isinstance(said, int):
        return said, ()
    found = _STRIDE.search(contents.path.name.lower())
    if found is not None:
        return int(found.group(1)), (f"Its name says output stride {found.group(1)}.",)
    return _DEFAULT_STRIDE, (
        f"It does not say its output stride, so {_DEFAULT_STRIDE} is assumed; with os8 in its name it is read as 8.",
    )


def resnet_name(contents: Contents, prefix: str) -> str:
    """resnet50 or resnet101, by the depth of the third stage below `prefix`."""
    return "resnet101" if contents.has(prefix + _DEEP_BLOCK) else "resnet50"


def data_set_names(classes: int) -> tuple[str, ...]:
    """The names of the data set these projects train on that has as many classes; none where there is no such."""
    for palette in ("voc", "cityscapes"):
        names = Catalog.from_palette(palette).sorted_names
        if len(names) == classes:
            return names
    return ()
