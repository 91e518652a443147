"""Colour PNGs: one RGB PNG an image whose colours stand for classes, with a table that says which."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, VOID_COLOR
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LabelledImage, LoadRequest
from segstudio.formats.classes import SourceClass, source_classes
from segstudio.formats.index_png import without_instances
from segstudio.formats.names import label_names
from segstudio.formats.stage import exported_format
from segstudio.formats.tables import declared_classes, write_colormap
from segstudio.formats.writer import Entry, ExportContext, FormatWriter, Survival, Written
from segstudio.imaging.decode import find_images, probe, read_image
from segstudio.imaging.labels import bgr_png

_FOLDERS: Final = ("labels", "SegmentationClass")  # the second as CVAT and datumaro write it, in colours
_SUFFIXES: Final = frozenset({".png", ".tif", ".tiff", ".bmp"})
_COLORS: Final = 1 << 24
_MOST_COLORS: Final = 4096

Color = tuple[int, int, int]
Packed = npt.NDArray[np.uint32]


class ColorPngWriter(FormatWriter):
    """Writes an RGB PNG for each image, in the folders the images lie in, and the table of colours."""

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        _refuse_shared(source_classes(context.catalog), "the project", void=True)
        self._table = context.catalog.color_table()

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """The label files."""
        return label_names([image.name for image in images], ".png")

    def begin(self) -> None:
        """Writes the table of colours."""
        write_colormap(self.folder, self.catalog)

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the PNG; instances become their classes."""
        target = self.folder / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(color_png(labels.semantic(), self._table))
        return Written()

    def survives(self, labels: SegmentMap) -> Survival | None:
        """Classes without instances."""
        return without_instances(labels)


def color_png(numbers: npt.NDArray[np.uint8], table: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of an RGB PNG with the colour that `table` (256, 3) gives each of `numbers` (H, W)."""
    return bgr_png(table[:, ::-1][numbers])


class ColorPngImporter:
    """Reads a folder of colour PNGs, or its sub-folder ``labels`` or ``SegmentationClass`` where there is one."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels below `source`: see `Importer`. Every pixel is decided, void's colour as ignore.

        Colours mean what a table beside the labels says, else what the project's classes have for colours.
        """
        if not source.is_dir():
            raise FormatError(f"{source.name} is not a folder.", "Choose the folder that holds the label PNGs.")
        own = exported_format(source) == "color-png"  # its folders are those of the images, whatever they are called
        folders = () if own else _FOLDERS
        folder = next((source / name for name in folders if (source / name).is_dir()), source)
        above = (source.parent,) if source.name in _FOLDERS else ()
        classes = declared_classes(folder, source, *above)
        if not any(c.color for c in classes):  # a list of names says nothing about colours
            classes = ()
        _refuse_shared(classes, "the class table")
        scan = find_images(folder)
        labels = [
            ImportedLabel(
                path.relative_to(folder).with_suffix("").as_posix(), functools.partial(_load, path, classes), path
            )
            for path in scan.paths
            if path.suffix.lower() in _SUFFIXES
        ]
        if not labels:
            raise FormatError(f"{folder.name} holds no label PNG.", "Choose the folder that holds the label PNGs.")
        return ImportSource(labels, classes, [*scan.problems])


def _load(path: Path, classes: Sequence[SourceClass], request: LoadRequest) -> SegmentMap:
    table = request.table
    known = colors_of(classes)
    if not classes:
        _refuse_shared(source_classes(table.catalog), "the project", void=True)

    def class_of(color: int) -> int:
        if color in known:
            return table.of(known[color], path.name)
        if color == _pack(VOID_COLOR):
            return IGNORE
        try:
            looks = SourceClass(number=_COLORS + color, color=unpacked(color))  # a number that no table gives
            return table.of(looks.number, path.name, undeclared=looks)
        except FormatError as error:
            raise FormatError(
                f"The label {path.name} holds the colour {unpacked(color)}, which is no class's.",
                "Add it to the class table, or correct the file.",
            ) from error

    return SegmentMap.from_semantic(read_color_classes(path, class_of, request))


def read_color_classes(path: Path, class_of: Callable[[int], int], request: LoadRequest) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 class ids of a label image in colours.

    Args:
        path: A PNG, or another file that keeps its colours.
        class_of: The class id (255 for ignore) of a colour that occurs, as 65536 R + 256 G + B.
        request: Says what size the image has.

    Raises:
        ImageError: The file cannot be read, or its colours are not exact.
        FormatError: It has another size, or `class_of` knows a colour not.
    """
    packed = _read_packed(path, request)
    present = np.zeros(_COLORS, dtype=np.bool_)
    present[packed] = True
    colors = np.flatnonzero(present)
    if colors.size > _MOST_COLORS:
        raise FormatError(f"{path.name} holds {colors.size:,} colours: it is a picture, not a label.", "Choose labels.")
    table = np.empty(_COLORS, dtype=np.uint8)
    for color in colors.tolist():
        table[color] = class_of(color)
    return table[packed]


def colors_of(classes: Iterable[SourceClass]) -> dict[int, int]:
    """Colour (as 65536 R + 256 G + B) -> number of the first class that has it."""
    numbers: dict[int, int] = {}
    for declared in classes:
        if declared.color is not None:
            numbers.setdefault(_pack(declared.color), declared.number)
    return numbers


def unpacked(color: int) -> Color:
    """(red, green, blue) of 65536 R + 256 G + B."""
    return color >> 16, color >> 8 & 255, color & 255


def _pack(color: Color) -> int:
    red, green, blue = color
    return red << 16 | green << 8 | blue


def _read_packed(path: Path, request: LoadRequest) -> Packed:
    info = probe(path)
    request.check_size(info.width, info.height, path)
    if info.format == "JPEG":
        raise ImageError(
            f"The label image {path.name} is a JPEG, whose compression changes the colours.", "Save labels as PNG."
        )
    if info.bits > 8:
        raise ImageError(
            f"The label image {path.name} has {info.bits} bits a channel, not colours of 8.",
            'Import class numbers as "index-png", or save colours with 8 bits.',
        )
    rgb = read_image(path).rgb
    packed = rgb[:, :, 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= rgb[:, :, channel]
    return packed


def _refuse_shared(classes: Iterable[SourceClass], where: str, *, void: bool = False) -> None:
    """Returns where every class has a colour of its own, void's included if asked."""
    owners: dict[Color, str] = {VOID_COLOR: "void"} if void else {}
    for declared in classes:
        if declared.color is None:
            continue
        owner = owners.setdefault(declared.color, declared.name)
        if owner != declared.name:
            raise FormatError(
                f'"{owner}" and "{declared.name}" have one colour in {where}: {declared.color}.',
                "Give each a colour of its own.",
            )
