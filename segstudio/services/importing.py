"""Labels on their way in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from segstudio.core.catalog import Catalog
from segstudio.core.errors import Cancelled, UserError
from segstudio.core.items import Status
from segstudio.core.jobs import CancelToken, JobState, Progress
from segstudio.formats.base import CancelCallback, ProgressCallback, load_for_image, match_labels
from segstudio.formats.registry import FORMATS, importer_for
from segstudio.imaging.decode import probe
from segstudio.project.project import Project

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

_NAMED = 5


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: images labelled, labels without an image, and a sentence for each label refused."""

    images: int
    unmatched: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def headline(self) -> str:
        """What went in, and nothing of what did not."""
        return f"Labels of {self.images} image{'s' if self.images != 1 else ''} imported."

    @property
    def sentence(self) -> str:
        """The report in one line."""
        text = self.headline
        if self.unmatched:
            text += f" {len(self.unmatched)} labels match no image ({', '.join(self.unmatched[:_NAMED])})."
        rest = len(self.refused) - _NAMED
        more = [f"{rest} more labels were refused."] if rest > 0 else []
        return " ".join([text, *self.refused[:_NAMED], *more, *self.warnings])


def import_formats() -> list[tuple[str, str, bool]]:
    """Every format: name, title, and whether it can be read already."""
    return [(name, info.title, info.importer is not None) for name, info in FORMATS.items()]


def preview(project: Project, catalog: Catalog, name: str, source: Path) -> tuple[int, int]:
    """How many labels a source holds, and how many of them match an image of the project."""
    found = importer_for(name).read(source, catalog)
    matches = match_labels(found.labels, [i.name for i in project.images()])
    return len(found.labels), len(matches.pairs)


def import_project(
    project: Project,
    catalog: Catalog,
    name: str,
    source: Path,
    *,
    status: Status = Status.REVIEWED,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> ImportReport:
    """Reads labels into a project; labels that do not fit their image are refused one by one.

    An import replaces the labels of the images it matches; what was there stays in the project's events only.

    Raises:
        UserError: The source is not of this format or matches no image.
    """
    found = importer_for(name).read(source, catalog)
    items = project.images()
    matches = match_labels(found.labels, [i.name for i in items])
    if not matches.pairs:
        raise UserError(
            f"None of the {len(found.labels)} labels in {source.name} matches an image of the project.",
            "Labels match by file name; choose the folder that belongs to these images.",
        )
    refused = []
    for done, (index, label) in enumerate(matches.pairs):
        if cancelled is not None and cancelled():
            raise Cancelled
        item = items[index]
        if progress is not None:
            progress(Progress(done / len(matches.pairs), item.name))
        try:
            info = probe(item.path)
        except UserError as error:
            project.set_image_info(item.id, problem=error.message)
            refused.append(str(error))
            continue
        try:
            segment_map = load_for_image(label, item.name, info.width, info.height)
        except UserError as error:
            # The image is fine, its label is not: the list says so until the person looks at the image.
            note = " ".join(filter(None, (error.message, info.note)))
            project.set_image_info(item.id, width=info.width, height=info.height, note=note)
            refused.append(str(error))
            continue
        project.set_image_info(item.id, width=info.width, height=info.height, note=info.note)
        project.save_map(item.id, segment_map, action="import", status=status)
    return ImportReport(len(matches.pairs) - len(refused), matches.unmatched, refused, found.warnings)


class ImportingService:
    """Imports in the background."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @staticmethod
    def formats() -> list[tuple[str, str, bool]]:
        """Every format: name, title, and whether it can be read already."""
        return import_formats()

    def preview(
        self,
        name: str,
        source: Path,
        on_done: Callable[[tuple[int, int]], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Counts in the background the labels of a source and those that match an image."""
        workspace = self._workspace
        project, catalog = workspace.project, workspace.catalog
        workspace.tasks.run(lambda _token: preview(project, catalog, name, source), on_done, on_error)

    def import_labels(
        self,
        name: str,
        source: Path,
        *,
        on_done: Callable[[ImportReport], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> Callable[[], None]:
        """Starts an import; returns a function that cancels it. Images already read stay imported."""
        workspace = self._workspace
        workspace.saver.save_now()
        project, catalog = workspace.project, workspace.catalog
        tokens: list[CancelToken] = []

        def cancel() -> None:
            for token in tokens:
                token.cancel()
            workspace.jobs.finish(job, JobState.CANCELLED)
            workspace.refresh_images()

        job = workspace.jobs.add(f"Importing from {source.name}", cancel)

        def report(progress: Progress) -> None:
            workspace.dispatch(lambda: workspace.jobs.progress(job, progress.fraction, progress.text))

        def work(token: CancelToken) -> ImportReport:
            return import_project(project, catalog, name, source, progress=report, cancelled=lambda: token.cancelled)

        def done(result: ImportReport) -> None:
            workspace.jobs.finish(job)
            workspace.refresh_images()
            workspace.reload_current()
            workspace.say("warning" if result.refused else "success", result.sentence)
            if on_done is not None:
                on_done(result)

        def failed(error: BaseException) -> None:
            workspace.jobs.finish(job, JobState.FAILED)
            workspace.refresh_images()
            (on_error or workspace.report)(error)

        tokens.append(workspace.tasks.run(work, done, failed))
        return cancel
