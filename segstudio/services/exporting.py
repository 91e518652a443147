"""Labels on their way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.items import ImageItem, Status
from segstudio.core.jobs import CancelToken
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ExportReport, LabelledImage, ProgressCallback
from segstudio.formats.loss import LossReport
from segstudio.formats.options import ExportOptions as ExportOptions
from segstudio.formats.options import ImageFiles as ImageFiles
from segstudio.formats.options import SeededSplit as SeededSplit
from segstudio.formats.options import Shapes as Shapes
from segstudio.formats.options import Undecided as Undecided
from segstudio.formats.registry import FORMATS, Format, format_named
from segstudio.formats.registry import Choice as Choice
from segstudio.imaging.decode import probe
from segstudio.project.project import Project
from segstudio.services.transfers import run_transfer

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace


def exportable(items: Sequence[ImageItem], *, reviewed_only: bool) -> list[ImageItem]:
    """The images an export would write: those with labels, or only the reviewed ones."""
    return [i for i in items if i.status is Status.REVIEWED or (not reviewed_only and i.revision > 0)]


def export_project(
    project: Project,
    catalog: Catalog,
    name: str,
    out: Path,
    *,
    reviewed_only: bool = False,
    options: ExportOptions | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> ExportReport:
    """Writes the labels of a project to a new folder, all of it or nothing.

    Raises:
        UserError: There is nothing to write, or it cannot be written.
    """
    chosen = format_named(name)
    images = _labelled_images(project, reviewed_only=reviewed_only)
    return chosen.export(images, catalog, out, options=options, progress=progress, cancelled=cancelled)


def project_losses(
    project: Project,
    catalog: Catalog,
    name: str,
    *,
    reviewed_only: bool = False,
    options: ExportOptions | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> LossReport:
    """What an export would lose; nothing is written.

    Raises:
        UserError: There is nothing to write, or a label does not fit its image.
    """
    chosen = format_named(name)
    images = _labelled_images(project, reviewed_only=reviewed_only)
    return chosen.losses(images, catalog, options=options, progress=progress, cancelled=cancelled)


def _labelled_images(project: Project, *, reviewed_only: bool) -> list[LabelledImage]:
    items = exportable(project.images(), reviewed_only=reviewed_only)
    if not items:
        what = "No image is reviewed yet." if reviewed_only else "No image is labelled yet."
        hint = "Mark an image reviewed, then export." if reviewed_only else "Label an image, then export."
        raise FormatError(what, hint)
    return [_labelled(project, item) for item in items]


def _labelled(project: Project, item: ImageItem) -> LabelledImage:
    def load() -> SegmentMap:
        segment_map = project.load_map(item.id)
        if segment_map is None:
            raise FormatError(f"The labels of {item.name} are gone.", "Open the image once, then export again.")
        return segment_map

    width, height = item.width, item.height
    if width is None or height is None or item.problem is not None:
        # Maybe replaced by an image of another size: then the labels do not fit, and the exporter says so. It also says
        # so where the image cannot be read, and leaves it out.
        with suppress(ImageError):
            info = probe(item.path)
            width, height = info.width, info.height
    return LabelledImage(
        name=item.name,
        path=item.path,
        load=load,
        width=width,
        height=height,
        split=str(item.split),
        reviewed=item.status is Status.REVIEWED,
        revision=item.revision,
    )


class ExportingService:
    """Exports in the background."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @staticmethod
    def formats() -> list[Format]:
        """Every format."""
        return list(FORMATS.values())

    def count(self, *, reviewed_only: bool) -> int:
        """How many images an export would write."""
        return len(exportable(self._workspace.images, reviewed_only=reviewed_only))

    def export(
        self,
        name: str,
        out: Path,
        *,
        reviewed_only: bool = False,
        options: ExportOptions | None = None,
        on_done: Callable[[ExportReport], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> Callable[[], None]:
        """Starts an export; returns a function that cancels it."""
        workspace = self._workspace
        workspace.saver.save_now()
        catalog, project = workspace.catalog, workspace.project

        def work(token: CancelToken, report: ProgressCallback) -> ExportReport:
            return export_project(
                project,
                catalog,
                name,
                out,
                reviewed_only=reviewed_only,
                options=options,
                progress=report,
                cancelled=lambda: token.cancelled,
            )

        def done(result: ExportReport) -> None:
            images = f"{result.images} image{'s' if result.images != 1 else ''}"
            level = "warning" if result.warnings else "success"
            target = (options or ExportOptions()).target(out)
            workspace.say(level, f"{images} exported to {target}.", " ".join(result.warnings))
            if on_done is not None:
                on_done(result)

        title = f"Exporting to {out.name}"
        return run_transfer(workspace, title, work, on_done=done, on_error=on_error or workspace.report)

    def losses(
        self,
        name: str,
        *,
        reviewed_only: bool = False,
        options: ExportOptions | None = None,
        on_done: Callable[[LossReport], None],
        on_error: Callable[[BaseException], None],
    ) -> Callable[[], None]:
        """Starts to find out what an export would lose; returns a function that cancels it."""
        workspace = self._workspace
        workspace.saver.save_now()
        catalog, project = workspace.catalog, workspace.project

        def work(token: CancelToken, report: ProgressCallback) -> LossReport:
            return project_losses(
                project,
                catalog,
                name,
                reviewed_only=reviewed_only,
                options=options,
                progress=report,
                cancelled=lambda: token.cancelled,
            )

        title = f"Checking what {format_named(name).title} keeps"
        return run_transfer(workspace, title, work, on_done=on_done, on_error=on_error)
