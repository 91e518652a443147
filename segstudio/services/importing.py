"""Labels on their way in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from segstudio.core.catalog import IGNORE, Catalog, LabelClass
from segstudio.core.errors import UserError
from segstudio.core.items import ImageItem
from segstudio.core.jobs import CancelToken, Progress
from segstudio.core.ordered import in_order
from segstudio.formats.base import (
    CancelCallback,
    ImportedLabel,
    ImportSource,
    LoadRequest,
    ProgressCallback,
    load_for_image,
    shortened,
)
from segstudio.formats.classes import ClassTable, SourceClass, UnknownClass, class_for
from segstudio.formats.names import match_labels
from segstudio.formats.options import ImportOptions as ImportOptions
from segstudio.formats.options import MatchBy as MatchBy
from segstudio.formats.options import Unknown as Unknown
from segstudio.formats.registry import FORMATS, Format, format_named
from segstudio.imaging.decode import probe
from segstudio.project.project import Project
from segstudio.services.transfers import run_transfer

if TYPE_CHECKING:
    from segstudio.services.previewing import ImportPreview
    from segstudio.services.workspace import Workspace

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        images: Images labelled.
        unmatched: Names of labels without an image.
        refused: A sentence for each label that was refused.
        warnings: Of the source.
        added: Names of new classes.
        unknown: Classes that made labels be refused, since the project lacks them.
    """

    images: int
    unmatched: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def headline(self) -> str:
        """What went in, and nothing of what did not."""
        text = f"Labels of {self.images} image{'s' if self.images != 1 else ''} imported."
        if self.added:
            text += f" {len(self.added)} class{'es' if len(self.added) != 1 else ''} added: {', '.join(self.added)}."
        return text

    @property
    def sentence(self) -> str:
        """The report in one line."""
        text = self.headline
        if self.unmatched:
            what = "label matches" if len(self.unmatched) == 1 else "labels match"
            text += f" {len(self.unmatched)} {what} no image ({shortened(self.unmatched, _NAMED)})."
        rest = len(self.refused) - _NAMED
        more = [f"{rest} more {'label was' if rest == 1 else 'labels were'} refused."] if rest > 0 else []
        return " ".join([text, *self.refused[:_NAMED], *more, *self.warnings])


@contextmanager
def opened_source(name: str, source: Path, *, cancelled: CancelCallback | None = None) -> Iterator[ImportSource]:
    """What a source holds, its files let go of at the end.

    Raises:
        UserError: It is not there, or not of that format.
        Cancelled: `cancelled` said so.
    """
    chosen = format_named(name)
    if not source.exists():
        raise UserError(f"There is no folder or file {source}.", "Choose what holds the labels.")
    found = chosen.importer.read(source, cancelled=cancelled)
    try:
        yield found
    finally:
        found.close()


def import_project(
    project: Project,
    catalog: Catalog,
    name: str,
    source: Path,
    *,
    options: ImportOptions | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> ImportReport:
    """Reads labels into a project; labels that do not fit their image are refused one by one.

    An import replaces the labels of the images it matches; what was there stays in the project's events only.

    Raises:
        UserError: The source is not of this format or matches no image.
    """
    options = options or ImportOptions()
    items = project.images()
    if progress is not None:
        progress(Progress(None, f"Reading {source.name}"))
    with opened_source(name, source, cancelled=cancelled) as found:
        _check_match(found.classes, options.by)
        matches = match_labels(found.labels, [i.name for i in items])
        if not matches.pairs:
            raise UserError(
                f"None of the {len(found.labels)} labels in {source.name} matches an image of the project.",
                "Labels match by file name; choose the folder that belongs to these images.",
            )
        run = _Run(project, catalog, found, options)
        refused = []
        for done, (_, sentence) in enumerate(in_order(run.load, matches.pairs_of(items), cancelled=cancelled)):
            if sentence is not None:
                refused.append(sentence)
            if progress is not None:
                progress(Progress((done + 1) / len(matches.pairs), items[matches.pairs[done][0]].name))
    done_images = len(matches.pairs) - len(refused)
    return ImportReport(done_images, matches.unmatched, refused, found.warnings, run.added, list(run.unknown))


def _check_match(classes: Sequence[SourceClass], by: MatchBy | None) -> None:
    """Refuses to match by what no class of the source has; each class would only be said to be missing."""
    if classes and by is MatchBy.COLOR and all(c.color is None for c in classes):
        raise UserError("The classes of this source have no colours.", "Match them by name or by id.")
    if classes and by is MatchBy.NAME and not any(c.name for c in classes):
        raise UserError("The classes of this source have no names.", "Match them by id.")


class _Run:
    """One import: from a label and its image to the store."""

    def __init__(self, project: Project, catalog: Catalog, found: ImportSource, options: ImportOptions) -> None:
        self.added: list[str] = []
        self.unknown: dict[str, None] = {}  # a set that keeps its order
        self._project = project
        self._options = options
        self._catalog = catalog
        self._table = ClassTable(
            found.classes, catalog, by=options.by, given=options.classes, unknown=options.unknown, add=self._add
        )
        usual = IGNORE if catalog.background_id is None else catalog.background_id
        self._unlabelled = usual if options.unlabelled is None else options.unlabelled

    def load(self, pair: tuple[ImageItem, ImportedLabel]) -> str | None:
        """Stores the labels of one image; a sentence where they are refused."""
        item, label = pair
        try:
            info = probe(item.path)
        except UserError as error:
            self._project.set_image_info(item.id, problem=error.message)
            return str(error)
        try:
            request = LoadRequest(self._table, info.width, info.height, self._unlabelled)
            segment_map = load_for_image(label, item.name, request)
        except UserError as error:
            if isinstance(error, UnknownClass):
                self.unknown[error.source.title] = None
            # The image is fine, its label is not: the list says so until the person looks at the image.
            note = " ".join(filter(None, (error.message, info.note)))
            self._project.set_image_info(item.id, width=info.width, height=info.height, note=note)
            return str(error)
        self._project.set_image_info(item.id, width=info.width, height=info.height, note=info.note)
        self._project.save_map(item.id, segment_map, action="import", status=self._options.status)
        return None

    def _add(self, source: SourceClass) -> LabelClass:
        made = class_for(source, self._catalog)
        self._catalog = self._catalog.with_class(made)
        self._project.set_catalog(self._catalog)
        self.added.append(made.name)
        return made


class ImportingService:
    """Imports in the background."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @staticmethod
    def formats() -> list[Format]:
        """Every format."""
        return list(FORMATS.values())

    def preview(
        self,
        name: str,
        source: Path,
        on_done: Callable[[ImportPreview], None],
        on_error: Callable[[BaseException], None],
    ) -> Callable[[], None]:
        """Looks in the background at what a source holds; returns a function that cancels it."""
        from segstudio.services.previewing import preview

        workspace = self._workspace
        project = workspace.project
        token = workspace.tasks.run(
            lambda token: preview(project, name, source, cancelled=lambda: token.cancelled), on_done, on_error
        )
        return token.cancel

    def import_labels(
        self,
        name: str,
        source: Path,
        *,
        options: ImportOptions | None = None,
        on_done: Callable[[ImportReport], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> Callable[[], None]:
        """Starts an import; returns a function that cancels it. Images already read stay imported."""
        workspace = self._workspace
        workspace.saver.save_now()
        project, catalog = workspace.project, workspace.catalog

        def work(token: CancelToken, report: ProgressCallback) -> ImportReport:
            def told(progress: Progress) -> None:
                report(progress)
                workspace.dispatch(lambda: show_labels(progress.text))

            cancelled = lambda: token.cancelled  # noqa: E731
            return import_project(project, catalog, name, source, options=options, progress=told, cancelled=cancelled)

        def show_labels(image: str | None = None) -> None:
            # At once, and however the import ends: old labels on show would replace the new ones with the next stroke.
            shown = workspace.current
            if workspace.closed or (image is not None and (shown is None or shown.item.name != image)):
                return
            if shown is None or project.revision(shown.item.id) != shown.revision:
                workspace.reload_current()

        def refresh() -> None:
            workspace.take_catalog(project.catalog)
            workspace.refresh_images()
            show_labels()

        def done(result: ImportReport) -> None:
            refresh()
            workspace.say("warning" if result.refused else "success", result.sentence)
            if on_done is not None:
                on_done(result)

        def failed(error: BaseException) -> None:
            refresh()
            (on_error or workspace.report)(error)

        title = f"Importing from {source.name}"
        return run_transfer(workspace, title, work, on_done=done, on_error=failed, on_stopped=refresh)
