"""The Python API's project: what `segstudio.Project` is."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from segstudio.core.catalog import Catalog
from segstudio.core.items import ImageItem, Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import ExportReport, check_classes, check_size
from segstudio.formats.options import ExportOptions, ImportOptions
from segstudio.imaging.decode import probe
from segstudio.project.project import Project as Store
from segstudio.services.exporting import export_project
from segstudio.services.importing import ImportReport, import_project
from segstudio.services.opening import new_project


class Project:
    """A labelled data set on disk. Use it as a context manager, or call `close`.

    >>> with segstudio.Project.open("street.segstudio") as project:
    ...     labels = project.annotation(project.images[0]).semantic()
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def create(
        cls, path: str | Path, *, images: str | Path, classes: Catalog | list[str] | str | Path | None = None
    ) -> Project:
        """A new project on a folder of images.

        Args:
            path: Where to make it; ".segstudio" is added where missing.
            images: The folder of images, searched recursively.
            classes: A catalog, names, a classes file or the name of a palette ("voc", "camvid", "cityscapes").

        Raises:
            UserError: The folder cannot be read or written.
        """
        return cls(new_project(Path(path), images=Path(images).absolute(), catalog=_catalog(classes)))

    @classmethod
    def open(cls, path: str | Path) -> Project:
        """An existing project.

        Raises:
            ProjectError: There is none, it is newer than this program, or a window has it open.
        """
        return cls(Store.open(Path(path).absolute()))

    def close(self) -> None:
        """Releases the project."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        return self._store.path

    @property
    def catalog(self) -> Catalog:
        """The classes."""
        return self._store.catalog

    @property
    def images(self) -> list[ImageItem]:
        """The images, in natural order."""
        return self._store.images()

    def annotation(self, image: ImageItem | int) -> SegmentMap:
        """The segment map of an image; an empty one where nobody labelled it.

        Raises:
            UserError: The image was never read, so its size is not known, and cannot be read now.
        """
        item = self._store.image(image if isinstance(image, int) else image.id)
        segment_map = self._store.load_map(item.id)
        if segment_map is not None:
            return segment_map
        info = probe(item.path)
        return SegmentMap.empty(info.height, info.width)

    def set_annotation(self, image: ImageItem | int, segment_map: SegmentMap, *, reviewed: bool = False) -> None:
        """Stores a segment map in place of the image's.

        Raises:
            UserError: It holds a class the project lacks or has another size than the image, or the disk refused.
        """
        item = self._store.image(image if isinstance(image, int) else image.id)
        info = probe(item.path)
        check_size((segment_map.width, segment_map.height), item.name, info.width, info.height)
        check_classes(segment_map, self.catalog, item.name)
        status = Status.REVIEWED if reviewed else Status.IN_PROGRESS
        self._store.set_image_info(item.id, width=info.width, height=info.height)
        self._store.save_map(item.id, segment_map, action="api", status=status)

    def export(
        self,
        out: str | Path,
        *,
        format: str = "voc",  # noqa: A002
        reviewed_only: bool = False,
        **options: Any,
    ) -> ExportReport:
        """Writes the labels to a new folder.

        Args:
            out: The folder to make.
            format: A name of `segstudio export --format`.
            reviewed_only: Leave out images in progress.
            options: Fields of `formats.options.ExportOptions`, such as ``shapes="polygons"`` or ``zip=True``.

        Raises:
            UserError: There is nothing to write, or it cannot be written.
        """
        return export_project(
            self._store,
            self.catalog,
            format,
            Path(out).absolute(),
            reviewed_only=reviewed_only,
            options=ExportOptions.of(**options),
        )

    def import_labels(
        self,
        source: str | Path,
        *,
        format: str = "voc",  # noqa: A002
        **options: Any,
    ) -> ImportReport:
        """Reads labels from a folder or file; the images they match are reviewed afterwards.

        `options` are fields of `formats.options.ImportOptions`, such as ``unknown="add"``.

        Raises:
            UserError: The source is not of that format or matches no image.
        """
        return import_project(
            self._store, self.catalog, format, Path(source).absolute(), options=ImportOptions.of(**options)
        )


def _catalog(classes: Catalog | list[str] | str | Path | None) -> Catalog | None:
    if classes is None or isinstance(classes, Catalog):
        return classes
    if isinstance(classes, list):
        return Catalog.from_names(classes)
    path = Path(classes)
    return Catalog.from_file(path) if path.is_file() else Catalog.from_palette(str(classes))
