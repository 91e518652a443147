"""Predictions of models for a project's images, kept on disk for figures, pictures and clicks alike."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import queue
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog
from segstudio.core.errors import Cancelled, ImageError, UserError
from segstudio.core.items import ImageItem
from segstudio.core.jobs import Progress
from segstudio.core.ordered import in_order
from segstudio.engine.base import Engine
from segstudio.engine.protocol import (
    EngineEvent,
    Failed,
    Finished,
    PredictionArrays,
    PredictSpec,
    Progressed,
    WasCancelled,
)
from segstudio.formats.base import CancelCallback, ProgressCallback
from segstudio.imaging.decode import read_image, write_index_png
from segstudio.imaging.files import write_error
from segstudio.nets.card import ModelCard
from segstudio.project.project import Project

_FOLDER: Final = Path("cache") / "evaluation"
_MODELS_KEPT: Final = 8
_POLL_S: Final = 0.1
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


class PredictionCache:
    """One index PNG for each image of a project, as one model predicts it for the project's classes.

    A file is named after what it was made of, so that one made by another model, for other classes or of another
    picture is never taken; it goes when its image is predicted anew. Of all models the last eight are kept.
    """

    def __init__(self, project: Path, card: ModelCard, catalog: Catalog) -> None:
        self._root = project / _FOLDER
        name = _UNSAFE.sub("_", card.id).strip(".") or "model"
        self._folder = self._root / f"{name[:48]}-{_fingerprint(card, catalog)}"

    def find(self, item: ImageItem) -> Path | None:
        """The prediction of an image as it is now; None where there is none."""
        path = self._path(item)
        return path if path is not None and path.is_file() else None

    def save(self, item: ImageItem, labels: npt.NDArray[np.uint8]) -> None:
        """Keeps the prediction of an image, (H, W) uint8 class ids.

        Raises:
            UserError: The disk refused.
        """
        path = self._path(item)
        if path is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for old in self._folder.glob(f"{item.id}-*.png"):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise write_error(error, self._folder) from error
        write_index_png(path, labels)

    def tidy(self) -> None:
        """Marks this model as used last and forgets those used least recently."""
        # Where the folder may only be read, the figures come all the same.
        with contextlib.suppress(OSError):
            os.utime(self._folder)
            folders = [folder for folder in self._root.iterdir() if folder.is_dir() and not folder.is_symlink()]
            folders.sort(key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
            for old in folders[_MODELS_KEPT:]:
                shutil.rmtree(old)

    def _path(self, item: ImageItem) -> Path | None:
        try:
            state = item.path.stat()
        except OSError:
            return None
        digest = _digest(str(item.path), str(state.st_size), str(state.st_mtime_ns))
        return self._folder / f"{item.id}-{digest}.png"


@dataclass(frozen=True, slots=True)
class Predicted:
    """The prediction files of those images that could be predicted, and a sentence for each that could not."""

    files: dict[int, Path]
    problems: dict[int, str]


def predict_all(
    engine: Engine,
    project: Project,
    catalog: Catalog,
    card: ModelCard,
    items: Sequence[ImageItem],
    *,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> Predicted:
    """Predicts the images that wait for it; called on any thread but the window's.

    Raises:
        UserError: The model cannot be used at all, or the disk refused.
        Cancelled: `cancelled` said so; what was predicted until then is kept.
    """
    cache = PredictionCache(project.path, card, catalog)
    missing = [item for item in items if cache.find(item) is None]
    problems: dict[int, str] = {}
    spec = PredictSpec(
        card=str(card.path),
        catalog_ids=catalog.sorted_ids,
        class_names=catalog.sorted_names,
        device=device,
        want_probabilities=False,
    )
    done = itertools.count()
    for item, picture in in_order(_read, missing, threads=1, cancelled=cancelled):
        before = next(done)

        def tell(work: Progress, before: int = before) -> None:
            if progress is not None:
                fraction = (before + (work.fraction or 0.0)) / len(missing)
                progress(Progress(fraction, work.text))

        tell(Progress(None))
        if isinstance(picture, str):
            problems[item.id] = picture
        else:
            cache.save(item, _predict(engine, spec, picture, tell, cancelled).labels)
    cache.tidy()
    files = {item.id: path for item in items if (path := cache.find(item)) is not None}
    return Predicted(files, problems)


def _read(item: ImageItem) -> npt.NDArray[np.uint8] | str:
    try:
        return read_image(item.path).rgb
    except ImageError as error:
        return str(error)


def _predict(
    engine: Engine,
    spec: PredictSpec,
    rgb: npt.NDArray[np.uint8],
    tell: ProgressCallback,
    cancelled: Callable[[], bool] | None,
) -> PredictionArrays:
    """One prediction, waited for; whatever ends the waiting ends the job as well."""
    events: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
    handle = engine.predict(spec, rgb, events.put, interactive=False)
    over = False
    try:
        while True:
            if cancelled is not None and cancelled():
                raise Cancelled
            try:
                event = events.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            over = isinstance(event, Finished | Failed | WasCancelled)
            match event:
                case Progressed(progress=progress):
                    tell(progress)
                case Finished(result=PredictionArrays() as result):
                    return result
                case Failed(report=report):
                    raise report.to_exception()
                case WasCancelled():
                    raise Cancelled
    finally:
        if not over:
            handle.cancel()


def _fingerprint(card: ModelCard, catalog: Catalog) -> str:
    """Differs where the network, its numbers or the classes it is asked for differ."""
    if card.path is None:
        raise UserError(f"The model {card.title or card.id} has no file.", "Choose another model.")
    parts = [str(card.path), card.path.read_text(encoding="utf-8")]
    if card.weights is not None and card.weights.file is not None:
        weights = card.path.parent / card.weights.file
        if weights.is_file():
            parts += [str(weights.stat().st_size), str(weights.stat().st_mtime_ns)]
    parts += [f"{class_id}={name}" for class_id, name in zip(catalog.sorted_ids, catalog.sorted_names, strict=True)]
    return _digest(*parts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]
