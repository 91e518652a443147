"""Index PNGs: one PNG an image whose values are class numbers, 255 = ignore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import (
    CancelCallback,
    ExportReport,
    ImportedLabel,
    ImportSource,
    LabelledImage,
    ProgressCallback,
    check_classes,
    class_numbers,
    load_for_export,
    safe_name,
    unique_names,
    walk,
)
from segstudio.formats.output import read_classes, staged_output, write_classes
from segstudio.imaging.decode import find_images, read_labels, write_index_png

_LABELS: Final = "labels"
_SUFFIXES: Final = frozenset({".png", ".tif", ".tiff", ".bmp"})


class IndexPngExporter:
    """Writes a palette PNG for each image, in the folders the images lie in, with the catalog's colours."""

    def export(
        self,
        images: Sequence[LabelledImage],
        catalog: Catalog,
        out: Path,
        *,
        progress: ProgressCallback | None = None,
        cancelled: CancelCallback | None = None,
    ) -> ExportReport:
        """What was written to `out`: see `Exporter`. Instances become their classes."""
        names = _file_names(images)
        palette = catalog.color_table()
        with staged_output(out) as folder:
            for index, image in walk(images, progress, cancelled):
                target = folder / names[index]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(write_index_png(None, load_for_export(image, catalog).semantic(), palette))
            write_classes(folder, catalog)
        return ExportReport(len(images))


def _file_names(images: Sequence[LabelledImage]) -> list[str]:
    """``photo.png`` for ``photo.jpg``; ``photo.jpg.png`` where there is a ``photo.tif`` beside it."""
    safe = [PurePosixPath(safe_name(image.name)) for image in images]
    stems = Counter(path.with_suffix("").as_posix().casefold() for path in safe)
    alone = [stems[path.with_suffix("").as_posix().casefold()] == 1 for path in safe]
    return unique_names(
        [
            path.with_suffix(".png").as_posix() if single else f"{path}.png"
            for path, single in zip(safe, alone, strict=True)
        ]
    )


class IndexPngImporter:
    """Reads a folder of index PNGs, or its sub-folder ``labels`` where there is one."""

    def read(self, source: Path, catalog: Catalog | None) -> ImportSource:
        """The labels below `source`: see `Importer`. Every pixel is decided, 255 as ignore."""
        if not source.is_dir():
            raise FormatError(f"{source.name} is not a folder.", "Choose the folder that holds the label PNGs.")
        folder = source / _LABELS if (source / _LABELS).is_dir() else source
        classes = read_classes(folder, source)
        table, warnings = class_numbers(classes, catalog)
        scan = find_images(folder)
        labels = [
            ImportedLabel(
                path.relative_to(folder).with_suffix("").as_posix(),
                partial(_load, path, table, catalog or classes),
                path,
            )
            for path in scan.paths
            if path.suffix.lower() in _SUFFIXES
        ]
        if not labels:
            raise FormatError(f"{folder.name} holds no label PNG.", "Choose the folder that holds the label PNGs.")
        return ImportSource(labels, classes, [*warnings, *scan.problems])


def _load(path: Path, table: npt.NDArray[np.uint8] | None, catalog: Catalog | None) -> SegmentMap:
    stored = read_labels(path)
    check_classes(stored, None, path.name)
    labels = stored.astype(np.uint8) if table is None else table[stored]
    check_classes(labels, catalog, path.name)
    return SegmentMap.from_semantic(labels)
