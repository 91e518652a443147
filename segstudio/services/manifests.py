"""Freezes what a person decided so far into a run folder: a copy the trainer reads, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import UserError
from segstudio.core.items import ImageItem, Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.imaging.files import write_atomic
from segstudio.project.project import Project
from segstudio.training.manifest import MASKS_FOLDER, Manifest, ManifestItem

_NO_CHANNEL: Final = 255


def teaching_labels(segment_map: SegmentMap, catalog: Catalog, status: Status) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 network channels to learn, 255 where nothing may be learnt.

    Decided pixels of an image in progress teach, all pixels of a reviewed one; ignore never does.
    """
    table = np.full(256, _NO_CHANNEL, dtype=np.uint8)
    for channel, class_id in enumerate(catalog.sorted_ids):
        table[class_id] = channel
    channels = table[segment_map.semantic()]
    if status is not Status.REVIEWED:
        channels[~segment_map.decided] = IGNORE
    return channels


def teaches(item: ImageItem) -> bool:
    """True where an image has something to learn from."""
    return item.problem is None and (item.decided > 0 or item.status is Status.REVIEWED)


def freeze(
    project: Project,
    catalog: Catalog,
    folder: Path,
    *,
    model_card: Path,
    parent_card: Path | None,
    cancelled: Callable[[], None] = lambda: None,
) -> Manifest:
    """Writes masks and manifest into a run folder and returns the manifest.

    Raises:
        UserError: Nothing is decided yet, or the folder cannot be written.
    """
    items = []
    (folder / MASKS_FOLDER).mkdir(parents=True, exist_ok=True)
    for item in project.images():
        if not teaches(item):
            continue
        cancelled()
        segment_map = project.load_map(item.id)
        if segment_map is None:
            continue
        channels = teaching_labels(segment_map, catalog, item.status)
        if not (channels != _NO_CHANNEL).any():
            continue
        mask = folder / MASKS_FOLDER / f"{item.id}.png"
        write_atomic(mask, cv2.imencode(".png", channels)[1].tobytes())
        items.append(ManifestItem(image=item.path, mask=mask, split=str(item.split), name=item.name))
    if not items:
        raise UserError("Nothing is labelled yet.", "Paint or accept some pixels of an image, then train.")
    manifest = Manifest(
        items=tuple(items), class_names=catalog.sorted_names, model_card=model_card, parent_card=parent_card
    )
    manifest.save(folder)
    return manifest
