"""Labels on their way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.items import ImageItem, Status
from segstudio.core.jobs import CancelToken, JobState, Progress
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ExportReport, LabelledImage, ProgressCallback
from segstudio.formats.registry import FORMATS, exporter_for
from segstudio.imaging.decode import probe
from segstudio.project.project import Project

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace


def export_formats() -> list[tuple[str, str, bool]]:
    """Every format: name, title, and whether it can be written already."""
    return [(name, info.title, info.exporter is not None) for name, info in FORMATS.items()]


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
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> ExportReport:
    """Writes the labels of a project to a new folder, all of it or nothing.

    Raises:
        UserError: There is nothing to write, or it cannot be written.
    """
    write = exporter_for(name)
    items = exportable(project.images(), reviewed_only=reviewed_only)
    if not items:
        what = "No image is reviewed yet." if reviewed_only else "No image is labelled yet."
        hint = "Mark an image reviewed, then export." if reviewed_only else "Label an image, then export."
        raise FormatError(what, hint)
    images = [_labelled(project, item) for item in items]
    return write.export(images, catalog, out, progress=progress, cancelled=cancelled)


def _labelled(project: Project, item: ImageItem) -> LabelledImage:
    def load() -> SegmentMap:
        segment_map = project.load_map(item.id)
        if segment_map is None:
            raise FormatError(f"The labels of {item.name} are gone.", "Open the image once, then export again.")
        return segment_map

    width, height = item.width, item.height
    if width is None or height is None:
        info = probe(item.path)
        width, height = info.width, info.height
    elif item.problem is not None:
        # Maybe replaced by an image of another size: then the labels do not fit, and the exporter says so.
        with suppress(ImageError):
            info = probe(item.path)
            width, height = info.width, info.height
    return LabelledImage(name=item.name, path=item.path, load=load, width=width, height=height, split=str(item.split))


class ExportingService:
    """Exports in the background."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @staticmethod
    def formats() -> list[tuple[str, str, bool]]:
        """Every format: name, title, and whether it can be written already."""
        return export_formats()

    def count(self, *, reviewed_only: bool) -> int:
        """How many images an export would write."""
        return len(exportable(self._workspace.images, reviewed_only=reviewed_only))

    def export(
        self,
        name: str,
        out: Path,
        *,
        reviewed_only: bool = False,
        on_done: Callable[[ExportReport], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> Callable[[], None]:
        """Starts an export; returns a function that cancels it."""
        workspace = self._workspace
        workspace.saver.save_now()
        tokens: list[CancelToken] = []
        state = {"over": False}

        def cancel() -> None:
            for token in tokens:
                token.cancel()
            finish(JobState.CANCELLED)

        def finish(result: JobState) -> None:
            if not state["over"]:
                state["over"] = True
                workspace.jobs.finish(job, result)

        job = workspace.jobs.add(f"Exporting to {out.name}", cancel)
        catalog, project = workspace.catalog, workspace.project

        def report(progress: Progress) -> None:
            workspace.dispatch(lambda: workspace.jobs.progress(job, progress.fraction, progress.text))

        def work(token: CancelToken) -> ExportReport:
            return export_project(
                project,
                catalog,
                name,
                out,
                reviewed_only=reviewed_only,
                progress=report,
                cancelled=lambda: token.cancelled,
            )

        def done(result: ExportReport) -> None:
            finish(JobState.DONE)
            images = f"{result.images} image{'s' if result.images != 1 else ''}"
            level = "warning" if result.warnings else "success"
            workspace.say(level, f"{images} exported to {out}.", " ".join(result.warnings))
            if on_done is not None:
                on_done(result)

        def failed(error: BaseException) -> None:
            finish(JobState.FAILED)
            (on_error or workspace.report)(error)

        tokens.append(workspace.tasks.run(work, done, failed))
        return cancel
