"""Every format by name, those that follow in later versions included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from segstudio.core.errors import UserError
from segstudio.formats.base import Exporter, Importer
from segstudio.formats.coco import CocoExporter
from segstudio.formats.index_png import IndexPngExporter, IndexPngImporter
from segstudio.formats.voc import VocExporter, VocImporter


@dataclass(frozen=True, slots=True)
class FormatInfo:
    """One format: its title, and what writes and reads it (None = not yet)."""

    title: str
    exporter: Exporter | None = None
    importer: Importer | None = None


FORMATS: Final[dict[str, FormatInfo]] = {
    "voc": FormatInfo("PASCAL VOC", VocExporter(), VocImporter()),
    "coco": FormatInfo("COCO instances", CocoExporter()),
    "panoptic": FormatInfo("COCO panoptic"),
    "coco-stuff": FormatInfo("COCO-Stuff"),
    "cityscapes": FormatInfo("Cityscapes"),
    "pascal-context": FormatInfo("PASCAL-Context"),
    "labelme": FormatInfo("labelme"),
    "yolo": FormatInfo("YOLO segmentation"),
    "cvat": FormatInfo("CVAT"),
    "index-png": FormatInfo("Index PNG", IndexPngExporter(), IndexPngImporter()),
    "color-png": FormatInfo("Colour PNG"),
    "numpy": FormatInfo("NumPy arrays"),
}


def export_names() -> tuple[str, ...]:
    """The formats that can be written."""
    return tuple(name for name, info in FORMATS.items() if info.exporter is not None)


def import_names() -> tuple[str, ...]:
    """The formats that can be read."""
    return tuple(name for name, info in FORMATS.items() if info.importer is not None)


def exporter_for(name: str) -> Exporter:
    """What writes the format of that name.

    Raises:
        UserError: There is no such format, or it cannot be written yet.
    """
    exporter = _info(name, export_names()).exporter
    if exporter is None:
        raise UserError(f"The format {name} is not available yet; use {_listed(export_names())}.")
    return exporter


def importer_for(name: str) -> Importer:
    """What reads the format of that name.

    Raises:
        UserError: There is no such format, or it cannot be read yet.
    """
    info = _info(name, import_names())
    if info.importer is None:
        what = f"Importing {name}" if info.exporter is not None else f"The format {name}"
        raise UserError(f"{what} is not available yet; use {_listed(import_names())}.")
    return info.importer


def _info(name: str, usable: tuple[str, ...]) -> FormatInfo:
    if name not in FORMATS:
        raise UserError(f'There is no format "{name}"; use {_listed(usable)}.')
    return FORMATS[name]


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
