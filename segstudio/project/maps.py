"""A segment map's way to disk and back: the stored map, and the journal on top of it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from segstudio.core.errors import ProjectError
from segstudio.core.items import ImageItem, Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.imaging.decode import probe
from segstudio.project.database import transaction
from segstudio.project.events import write_event
from segstudio.project.images import read_image, write_progress, write_status
from segstudio.project.journal import Journal, replay
from segstudio.project.masks import EncodedMap, decode_map, mask_revision, read_mask, write_mask


@dataclass(frozen=True, slots=True)
class StoredMap:
    """What the database holds of an image's labels: revision, ids, decisions and segments, and edits made since."""

    item: ImageItem
    mask: tuple[int, bytes, bytes, str] | None
    payloads: list[bytes]


@dataclass(frozen=True, slots=True)
class SaveRequest:
    """A map to be stored; fields as in `Project.save_map`."""

    image_id: int
    encoded: EncodedMap
    revision: int | None
    seconds: float
    action: str
    status: Status | None


def read_stored(connection: sqlite3.Connection, journal: Journal, project: Path, image_id: int) -> StoredMap:
    """What `restore` needs, read in one go."""
    item = read_image(connection, project, image_id)
    mask = read_mask(connection, image_id)
    payloads = journal.entries_after(connection, image_id, mask[0] if mask else 0)
    return StoredMap(item, mask, payloads)


def restore(stored: StoredMap) -> SegmentMap | None:
    """The map with every edit done again, or None where there is neither; not on the store thread, decoding is slow.

    Raises:
        ProjectError: What is stored is damaged.
    """
    item = stored.item
    if stored.mask is not None:
        _, ids, decided, segments = stored.mask
        restored = decode_map(ids, decided, segments, name=item.name)
    elif stored.payloads:
        restored = SegmentMap.empty(*_size(item))
    else:
        return None
    replay(stored.payloads, restored, name=item.name)
    return restored


def save(connection: sqlite3.Connection, journal: Journal, request: SaveRequest) -> bool:
    """Stores a map unless a newer one is stored; mask, status, event and trimmed journal in one transaction."""
    image_id, encoded = request.image_id, request.encoded
    current = journal.revision(connection, image_id)
    revision = current + 1 if request.revision is None else request.revision
    if revision < mask_revision(connection, image_id):
        return False
    _check_size(connection, image_id, encoded)
    with transaction(connection):
        write_mask(connection, image_id, encoded, revision)
        write_progress(
            connection, image_id, revision=revision, decided=encoded.fraction, size=(encoded.height, encoded.width)
        )
        if request.status is not None:
            write_status(connection, image_id, request.status)
        data = None if request.status is None else {"status": str(request.status)}
        write_event(connection, request.action, image_id=image_id, data=data, seconds=request.seconds)
        journal.trim(connection, image_id, revision)
    journal.forget(image_id, revision)
    return True


def _check_size(connection: sqlite3.Connection, image_id: int, encoded: EncodedMap) -> None:
    name, width, height = connection.execute(
        "SELECT name, width, height FROM image WHERE id = ?", (image_id,)
    ).fetchone()
    if None not in (width, height) and (width, height) != (encoded.width, encoded.height):
        raise ProjectError(
            f"The labels for {name} are {encoded.width} x {encoded.height} pixels but the image is {width} x {height}.",
            "Use labels made for this image.",
        )


def _size(item: ImageItem) -> tuple[int, int]:
    if item.height is not None and item.width is not None:
        return item.height, item.width
    info = probe(item.path)
    return info.height, info.width
