"""Decodes images in the background and keeps the next ones ready."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from segstudio.core.errors import ImageError, UserError
from segstudio.core.events import Change
from segstudio.core.jobs import CancelToken
from segstudio.core.segmentmap import SegmentMap
from segstudio.imaging.decode import Picture, read_image
from segstudio.services.annotating import Annotator

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

_CACHE_BYTES: Final = 256 << 20

Arrived = Callable[["Annotator | UserError"], None]


@dataclass(frozen=True, slots=True)
class _Read:
    """A decoded image, and the stamp of the file it was read from: a file replaced meanwhile is read again."""

    picture: Picture
    stamp: tuple[int, int] | None


class PictureLoader:
    """Turns image ids into annotators. `load` and `prefetch` on the owner's thread, decoding on a task's."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._ready: OrderedDict[int, _Read] = OrderedDict()
        self._loading: CancelToken | None = None

    def load(self, image_id: int, arrived: Arrived) -> None:
        """Gives `arrived` the annotator of an image, or the sentence why it cannot be shown; the newest call wins."""
        if self._loading is not None:
            self._loading.cancel()
        workspace = self._workspace
        item = workspace.item(image_id)
        cached = self._ready.get(image_id)

        def work(token: CancelToken) -> tuple[_Read, SegmentMap | None]:
            fresh = cached is not None and cached.stamp == _stamp(item.path)
            read = cached if cached is not None and fresh else _read(item.path, token)
            token.raise_if_cancelled()
            return read, workspace.project.load_map(image_id)

        def done(result: tuple[_Read, SegmentMap | None]) -> None:
            read, segment_map = result
            self._keep(image_id, read)
            try:
                arrived(self._annotator(image_id, read.picture, segment_map))
            except UserError as error:
                failed(error)

        def failed(error: BaseException) -> None:
            if isinstance(error, UserError):
                self._store(image_id, problem=error.message)
                arrived(error)
            else:
                workspace.report(error)

        # The store knows of strokes the disk has refused so far, which the list's row does not.
        unlabelled = cached is not None and workspace.project.revision(image_id) == 0
        if cached is not None and unlabelled and cached.stamp == _stamp(item.path):
            done((cached, None))  # decoded ahead and without labels: there is nothing to wait for
        else:
            self._loading = workspace.tasks.run(work, done, failed)

    def prefetch(self, image_ids: list[int]) -> None:
        """Decodes images that will probably be asked for next; failures wait until they are."""
        for image_id in image_ids:
            if image_id in self._ready:
                continue
            path = self._workspace.item(image_id).path
            self._workspace.tasks.run(partial(_read, path), partial(self._keep, image_id), lambda _error: None)

    def _annotator(self, image_id: int, picture: Picture, segment_map: SegmentMap | None) -> Annotator:
        workspace = self._workspace
        height, width = picture.rgb.shape[:2]
        item = workspace.item(image_id)
        if segment_map is not None and segment_map.shape != (height, width):
            raise ImageError(
                f"{item.name} is now {width} x {height} pixels, but its labels were made for "
                f"{segment_map.width} x {segment_map.height}.",
                "Put the old image file back; the labels are kept.",
            )
        read = replace(item, width=width, height=height, problem=None, note=picture.note)
        if read != item:
            self._store(image_id, width=width, height=height, note=picture.note)
            workspace.put_item(read)
            if (item.problem, item.note) != (read.problem, read.note):
                workspace.emit(Change.STATUS, image_id)
        # Strokes that the disk refused so far are in the map; their revisions count.
        item = replace(read, revision=workspace.project.revision(image_id))
        return Annotator(
            item,
            picture.rgb,
            segment_map or SegmentMap.empty(height, width),
            catalog=lambda: workspace.catalog,
            on_edit=workspace.edited,
            history=workspace.kept_history(image_id, item.revision),
        )

    def _store(self, image_id: int, **info: Any) -> None:
        """Notes what reading showed; a disk that refuses is no reason not to show the image."""
        self._workspace.saver.watch(self._workspace.project.post("set_image_info", image_id, **info))

    def _keep(self, image_id: int, read: _Read) -> None:
        self._ready[image_id] = read
        self._ready.move_to_end(image_id)
        while len(self._ready) > 1 and sum(r.picture.rgb.nbytes for r in self._ready.values()) > _CACHE_BYTES:
            self._ready.popitem(last=False)


def _read(path: Path, _token: CancelToken) -> _Read:
    stamp = _stamp(path)
    return _Read(read_image(path), stamp)


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written anew; None where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
