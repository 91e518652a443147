"""Freezes what a person decided so far into a run folder: a copy the trainer reads, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import UserError
from segstudio.core.items import ImageItem, Split, Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.imaging.files import write_atomic
from segstudio.project.project import Project
from segstudio.training.manifest import MASKS_FOLDER, Manifest, ManifestItem

_NO_CHANNEL: Final = 255


def channel_labels(segment_map: SegmentMap, class_ids: Sequence[int]) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 channels of a network whose channel k is class `class_ids[k]`; 255 where it has none."""
    table = np.full(256, _NO_CHANNEL, dtype=np.uint8)
    for channel, class_id in enumerate(class_ids):
        table[class_id] = channel
    return np.asarray(table[segment_map.semantic()], np.uint8)


def teaching_labels(segment_map: SegmentMap, catalog: Catalog, status: Status) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 network channels to learn, 255 where nothing may be learnt.

    Decided pixels of an image in progress teach, all pixels of a reviewed one; ignore never does.
    """
    channels = channel_labels(segment_map, catalog.sorted_ids)
    if status is not Status.REVIEWED:
        channels[~segment_map.decided] = IGNORE
    return channels


def teaching_instances(segment_map: SegmentMap, channels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """(H, W) uint16 that tells objects apart where `channels` teach, 0 elsewhere; a crowd is no object."""
    instances = segment_map.instance_ids()
    crowds = [segment.id for segment in segment_map.segments.values() if segment.crowd]
    instances[(channels == IGNORE) | np.isin(instances, crowds)] = 0
    return instances


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
    start_card: Path | None = None,
    instances: bool = False,
    cancelled: Callable[[], None] = lambda: None,
) -> Manifest:
    """Writes masks and manifest into a run folder and returns the manifest; with `instances` these as well.

    Raises:
        UserError: Nothing is decided yet, or the folder cannot be written.
    """
    items = []
    (folder / MASKS_FOLDER).mkdir(parents=True, exist_ok=True)
    for item in project.images():
        if not teaches(item):
            continue
        cancelled()
        entry = _frozen(project, catalog, item, folder / MASKS_FOLDER, instances=instances)
        if entry is not None:
            items.append(entry)
    if not items:
        raise UserError("Nothing is labelled yet.", "Paint or accept some pixels of an image, then train.")
    manifest = Manifest(
        items=tuple(items),
        class_names=catalog.sorted_names,
        model_card=model_card,
        parent_card=parent_card,
        start_card=start_card,
    )
    manifest.save(folder)
    return manifest


def _frozen(
    project: Project, catalog: Catalog, item: ImageItem, folder: Path, *, instances: bool
) -> ManifestItem | None:
    """The entry of one image with its mask written into `folder`; None where it has nothing to teach."""
    segment_map = project.load_map(item.id)
    if segment_map is None:
        return None
    channels = teaching_labels(segment_map, catalog, item.status)
    if not (channels != _NO_CHANNEL).any():
        return None
    entry = ManifestItem(image=item.path, mask=folder / f"{item.id}.png", split=str(item.split), name=item.name)
    write_atomic(entry.mask, cv2.imencode(".png", channels)[1].tobytes())
    if not instances or item.split is not Split.TRAIN:
        return entry
    objects = teaching_instances(segment_map, channels)
    if not objects.any():
        return entry
    path = folder / f"{item.id}-instances.png"
    write_atomic(path, cv2.imencode(".png", objects)[1].tobytes())
    return replace(entry, instances=path)
