"""JPEG images under names without folders, and lists of which image is in which set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from segstudio.formats.base import LabelledImage
from segstudio.formats.names import flat_stems, renamed_warning
from segstudio.formats.options import SHORT_SPLITS, TEST
from segstudio.formats.writer import Finished, FormatWriter

SPLITS_FOLDER: Final = "splits"


class FlatJpegWriter(FormatWriter):
    """Writes a format of VOC's kind: JPEG images, known by their names without folders and suffix."""

    image_formats = frozenset({"JPEG"})

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """Those names, with folders or numbers where two would be one."""
        names = flat_stems([image.name for image in images])
        self.notes += renamed_warning([PurePosixPath(image.name).stem for image in images], names)
        return names


def write_lists(folder: Path, images: Sequence[Finished]) -> None:
    """Leaves ``train.txt``, ``val.txt`` and ``trainval.txt`` in `folder`, and ``test.txt`` where it lists any."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = {short: [i.name for i in images if i.split == split] for split, short in SHORT_SPLITS.items()}
    sets["trainval"] = [i.name for i in images if i.split != TEST]
    for title, names in sets.items():
        if names or title != SHORT_SPLITS[TEST]:
            (folder / f"{title}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
