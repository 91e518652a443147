"""Drives an export: labels prepared and written on several threads, in order, atomically, and able to go on."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.jobs import Progress
from segstudio.core.ordered import in_order
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import (
    CancelCallback,
    ExportReport,
    LabelledImage,
    ProgressCallback,
    check_classes,
    check_size,
    counted,
)
from segstudio.formats.loss import LossReport
from segstudio.formats.options import ExportOptions, Undecided
from segstudio.formats.output import write_classes
from segstudio.formats.stage import MARKER, Stage, staged
from segstudio.formats.writer import Entry, ExportContext, Finished, FormatWriter, Written
from segstudio.imaging.contours import outline

WriterFactory = Callable[[ExportContext], FormatWriter]

_LAYOUT: Final = 1  # of exports; a program that lays them out anew goes on with none of an older one


def export_images(
    name: str,
    factory: WriterFactory,
    images: Sequence[LabelledImage],
    catalog: Catalog,
    out: Path,
    *,
    options: ExportOptions | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> ExportReport:
    """What was written to `out`, which is there in full afterwards or as it was before.

    Where the process is killed or the disk is full, the next call with the same images and options goes on.

    Raises:
        Cancelled: `cancelled` said so; nothing is left behind.
        UserError: `out` is in use, the disk is full, or a label does not fit its image.
    """
    options = options or ExportOptions()
    images = _with_splits(images, options)
    out = options.target(out)
    with staged(out, as_zip=options.zip, replace=options.replace) as stage:
        context = ExportContext(stage.data, out.absolute(), catalog, options, stage.streams)
        writer = factory(context)
        names = writer.names(images)
        entries = [Entry(index, *pair) for index, pair in enumerate(zip(names, images, strict=True))]
        header = _header(name, options, catalog, entries)
        done = stage.begin(header, [_key(entry) for entry in entries])
        run = _Run(stage, writer, [_Line.from_json(line) for line in done])
        writer.begin()
        run.write(entries[len(done) :], progress, cancelled)
        writer.finish(run.finished)
        write_classes(stage.data, catalog)
        marker = json.dumps({**header, "images": len(run.finished)}, indent=1)
        (stage.data / MARKER).write_text(marker, encoding="utf-8")
    if progress is not None:
        progress(Progress(1.0))
    return ExportReport(len(run.finished), [*writer.notes, *run.warnings()], len(images) - len(run.finished), len(done))


def survey_losses(
    factory: WriterFactory,
    images: Sequence[LabelledImage],
    catalog: Catalog,
    *,
    options: ExportOptions | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> LossReport:
    """What an export would lose; nothing is written.

    Raises:
        Cancelled: `cancelled` said so.
        UserError: A label does not fit its image or the catalog.
    """
    options = options or ExportOptions()
    stage = Stage(Path(os.devnull))
    writer = factory(ExportContext(stage.data, stage.out, catalog, options, stage.streams))
    report = LossReport()

    def look(image: LabelledImage) -> tuple[SegmentMap, SegmentMap | None, Counter[str] | None]:
        labels = prepared(image, catalog, replace(options, border=0))
        bordered = with_border(labels, options.border)
        survival = writer.survives(bordered)
        if survival is None:
            return labels, bordered if options.border else None, None
        return labels, survival.labels, survival.counts

    told = _told(progress, 0, len(images))
    for image, (before, after, counts) in in_order(look, images, before=told, cancelled=cancelled):
        report.add(image.name, before, after, counts)
    return report


def prepared(image: LabelledImage, catalog: Catalog, options: ExportOptions) -> SegmentMap:
    """The segment map as it is exported: known to fit image and catalog, undecided pixels and borders as chosen.

    Raises:
        FormatError: It has another size than the image, a class the catalog lacks, or there is no background to use.
    """
    labels = image.load()
    if image.width is not None and image.height is not None:
        check_size((labels.width, labels.height), image.name, image.width, image.height)
    check_classes(labels, catalog, image.name)
    undecided = ~labels.decided
    if image.reviewed:  # whoever reviewed it vouches for the classes of pixels nobody touched
        undecided &= labels.ids == IGNORE
    if undecided.any():
        ids = labels.ids.copy()
        ids[undecided] = _undecided_value(catalog, options)
        labels = SegmentMap(ids, labels.decided, labels.segments)
    return with_border(labels, options.border)


def with_border(labels: SegmentMap, border: int) -> SegmentMap:
    """The map with ignore on the `border` pixels on each side of every edge between two regions, as VOC draws it."""
    if border == 0:
        return labels
    edges = outline(labels.ids).astype(np.uint8)
    if border > 1:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * border - 1, 2 * border - 1))
        edges = np.asarray(cv2.dilate(edges, disc), dtype=np.uint8)
    ids: npt.NDArray[np.uint16] = np.where(edges != 0, np.uint16(IGNORE), labels.ids)
    return SegmentMap(ids, labels.decided, labels.segments)


def _undecided_value(catalog: Catalog, options: ExportOptions) -> int:
    if options.undecided is Undecided.VOID:
        return IGNORE
    if catalog.background_id is None:
        raise FormatError(
            "Undecided pixels cannot be written as background: the project has no class 0 called background.",
            "Choose void for them, or add such a class.",
        )
    return catalog.background_id


def _with_splits(images: Sequence[LabelledImage], options: ExportOptions) -> Sequence[LabelledImage]:
    if options.split is None:
        return images
    lists = options.split.assign(len(images))
    return [replace(image, split=split) for image, split in zip(images, lists, strict=True)]


def _header(name: str, options: ExportOptions, catalog: Catalog, entries: Sequence[Entry]) -> dict[str, Any]:
    names = hashlib.sha256("\n".join(f"{e.name}\t{e.split}" for e in entries).encode(errors="surrogateescape"))
    return {
        "format": name,
        "layout": _LAYOUT,
        "options": options.to_json(),
        "classes": catalog.to_json(),
        "names": names.hexdigest(),
    }


def _key(entry: Entry) -> str:
    return f"{entry.name}|{entry.image.revision}|{int(entry.image.reviewed)}"


class _Line:
    """What the journal keeps of an image: where it went (None: left out), and what the report says of it."""

    def __init__(self, finished: Finished | None, warnings: Sequence[str], counts: dict[str, int]) -> None:
        self.finished = finished
        self.warnings = list(warnings)
        self.counts = counts

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> _Line:
        return cls(Finished(*line["finished"]) if line["finished"] else None, line["warnings"], line["counts"])

    def to_json(self, key: str) -> dict[str, Any]:
        finished = self.finished
        place = None if finished is None else [finished.name, finished.file, finished.split]
        return {"key": key, "finished": place, "warnings": self.warnings, "counts": self.counts}


class _Run:
    """The images of one export, those done before it was interrupted included."""

    def __init__(self, stage: Stage, writer: FormatWriter, done: list[_Line]) -> None:
        self._stage = stage
        self._writer = writer
        self._lines = done

    @property
    def finished(self) -> list[Finished]:
        return [line.finished for line in self._lines if line.finished is not None]

    def write(
        self,
        entries: Sequence[Entry],
        progress: ProgressCallback | None,
        cancelled: CancelCallback | None,
    ) -> None:
        """Writes the images that are not done yet."""
        told = _told(progress, len(self._lines), len(self._lines) + len(entries))
        for entry, written in in_order(
            self._written, entries, before=lambda entry: told(entry.image), cancelled=cancelled
        ):
            self._lines.append(self._append(entry, written))
            self._stage.commit(self._lines[-1].to_json(_key(entry)))

    def _written(self, entry: Entry) -> Written | ImageError:
        try:
            labels = prepared(entry.image, self._writer.catalog, self._writer.options)
            return self._writer.write(entry, labels)
        except ImageError as error:
            return error

    def _append(self, entry: Entry, written: Written | ImageError) -> _Line:
        if isinstance(written, ImageError):
            return _Line(None, [f"{entry.image.name} was left out: {written.message}"], {})
        self._writer.add(entry, written)
        return _Line(Finished(entry.name, written.file, entry.split), written.warnings, written.counts)

    def warnings(self) -> list[str]:
        """Every image's sentences, and one for each thing that was counted."""
        counts: Counter[str] = Counter()
        for line in self._lines:
            counts.update(line.counts)
        sentences = [sentence for line in self._lines for sentence in line.warnings]
        return [*sentences, *counted(counts)]


def _told(progress: ProgressCallback | None, done: int, total: int) -> Callable[[LabelledImage], None]:
    """Tells before each image how far an export is, `done` of `total` images at first."""
    position = count(done)

    def tell(image: LabelledImage) -> None:
        if progress is not None:
            progress(Progress(next(position) / total, image.name))

    return tell
