"""One open project and everything a window or a command does with it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from segstudio.core.catalog import Catalog
from segstudio.core.edits import Edit
from segstudio.core.errors import EngineError, UserError
from segstudio.core.events import Change, ChangeSet, Signal
from segstudio.core.history import History
from segstudio.core.items import ImageItem, Status
from segstudio.core.settings import Settings
from segstudio.engine.base import Engine
from segstudio.project.journal import pack_edit
from segstudio.project.project import Project
from segstudio.services.annotating import Annotator, EditKind
from segstudio.services.checkpoints import CheckpointService
from segstudio.services.finetuning import FinetuningService
from segstudio.services.jobboard import JobBoard
from segstudio.services.messages import Message
from segstudio.services.models import ModelService
from segstudio.services.opening import open_path
from segstudio.services.pictures import PictureLoader
from segstudio.services.predicting import PredictingService
from segstudio.services.refining import RefiningService
from segstudio.services.saving import Saver
from segstudio.services.speeds import SpeedService
from segstudio.services.tasks import Dispatcher, TaskRunner
from segstudio.services.tuning import TuningService

if TYPE_CHECKING:
    from segstudio.services.evaluating import EvaluatingService
    from segstudio.services.exporting import ExportingService
    from segstudio.services.importing import ImportingService

_HISTORIES_KEPT: Final = 32
_SAME_DEATH_S: Final = 2.0


class Workspace:
    """The single writer of one project. Every method is called on the owner's thread; none of them blocks long.

    Attributes:
        changed: What a call changed; panels refresh by it.
        messages: Sentences for the person.
        bugs: Programming errors from background work, for the error boundary.
    """

    def __init__(
        self, project: Project, engine: Engine, dispatch: Dispatcher, settings: Settings | None = None
    ) -> None:
        self.project = project
        self.engine = engine
        self.settings = settings or Settings()
        self.changed: Signal[ChangeSet] = Signal()
        self.messages: Signal[Message] = Signal()
        self.bugs: Signal[BaseException] = Signal()
        self.dispatch = dispatch
        self.tasks = TaskRunner(dispatch, self.report)
        self.jobs = JobBoard(self.changed.emit)
        self.current: Annotator | None = None
        self._histories: OrderedDict[int, tuple[int, History]] = OrderedDict()
        self._items: dict[int, ImageItem] = {item.id: item for item in project.images()}
        self._order: list[int] = list(self._items)
        self._catalog = project.catalog
        self._wanted: int | None = None
        self._closed = False
        self._folders_untold = True
        self.pictures = PictureLoader(self)
        self.saver = Saver(self)
        self.models = ModelService(self)
        self.predicting = PredictingService(self)
        self.speeds = SpeedService(self)
        self.checkpoints = CheckpointService(self)
        self.tuning = TuningService(self)
        self.refining = RefiningService(self)
        self.finetuning = FinetuningService(self)
        self._last_death = ("", 0.0)
        self._disconnect_death = engine.on_death.connect(lambda sentence: dispatch(lambda: self._died(sentence)))

    @classmethod
    def open(cls, path: Path, engine: Engine, dispatch: Dispatcher, settings: Settings | None = None) -> Workspace:
        """A workspace on a project, a folder of images or one image; starts loading the image named, if any."""
        opened = open_path(path)
        workspace = cls(opened.project, engine, dispatch, settings)
        workspace.settings.add_recent(opened.project.path)
        if opened.first_image is not None:
            resolved = opened.first_image.resolve()
            match = next((i for i in workspace.images if i.path.resolve() == resolved), None)
            if match is not None:
                workspace.open_image(match.id)
        return workspace

    def close(self) -> None:
        """Saves what is unsaved, stops what is running and releases the project. May be called twice.

        The engine stays open: its owner closes it.
        """
        if self._closed:
            return
        self._closed = True
        self._disconnect_death()
        self.jobs.cancel_all()
        self.saver.save_now()
        self.tasks.close()
        try:
            self.project.close()
        except UserError as error:
            # The disk refuses the last strokes. The person was told before (Saver) and chose to close all the same.
            self.report(error)
            self.project.close(discard=True)

    @property
    def closed(self) -> bool:
        """True once `close` was called."""
        return self._closed

    @cached_property
    def exporting(self) -> ExportingService:
        """Labels on their way out; made on first use, as a window needs none of the formats (0.1 s) at first."""
        from segstudio.services.exporting import ExportingService

        return ExportingService(self)

    @cached_property
    def importing(self) -> ImportingService:
        """Labels on their way in; made on first use, like `exporting`."""
        from segstudio.services.importing import ImportingService

        return ImportingService(self)

    @cached_property
    def evaluating(self) -> EvaluatingService:
        """Figures of models; made on first use, as a window needs none of its code (40 ms) at first."""
        from segstudio.services.evaluating import EvaluatingService

        return EvaluatingService(self)

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The project's classes."""
        return self._catalog

    @property
    def images(self) -> list[ImageItem]:
        """The image list, in natural order."""
        return [self._items[i] for i in self._order]

    @property
    def current_item(self) -> ImageItem | None:
        """The row of the image shown or being loaded, also where it cannot be shown."""
        return self._items.get(self._wanted) if self._wanted is not None else None

    def item(self, image_id: int) -> ImageItem:
        """One row of the image list."""
        return self._items[image_id]

    def progress(self) -> tuple[int, int]:
        """Reviewed images, and images in all."""
        return sum(i.status is Status.REVIEWED for i in self._items.values()), len(self._items)

    # -- moving through the images ---------------------------------------------------------------------------------

    def open_image(self, image_id: int) -> None:
        """Shows an image soon; a CURRENT change says when. A later request replaces one still loading."""
        if image_id == self._wanted and self.current is not None:
            return
        self.leave_image()
        self._wanted = image_id
        # Not waited for: a convenience. That the disk is full is said when work cannot be saved.
        self.project.post("set_setting", "current_image", image_id)
        self.pictures.load(image_id, lambda result: self._arrived(image_id, result))
        if self.current is None:
            self.emit(Change.CURRENT, image_id)

    def open_first(self) -> None:
        """Shows the image shown last time, else the first one."""
        if self._order:
            last = self.project.setting("current_image")
            self.open_image(last if last in self._items else self._order[0])

    def next_image(self) -> None:
        """Shows the next image; says so at the end of the list."""
        self._step(1)

    def previous_image(self) -> None:
        """Shows the image before; says so at the start of the list."""
        self._step(-1)

    def next_unfinished(self) -> None:
        """Shows the next image that is not reviewed, wrapping round once."""
        start = self._order.index(self._wanted) if self._wanted in self._items else -1
        for offset in range(1, len(self._order) + 1):
            item = self._items[self._order[(start + offset) % len(self._order)]]
            if item.status is not Status.REVIEWED and item.problem is None:
                self.open_image(item.id)
                return
        self.say("success", "Every image is reviewed.", "Export the labels, or train once more.")

    def leave_image(self) -> None:
        """Puts the current image away: unsaved work is saved, its undo history is kept."""
        annotator = self.current
        if annotator is None:
            return
        self.saver.save(annotator)
        self._histories[annotator.item.id] = (annotator.revision, annotator.history)
        self._histories.move_to_end(annotator.item.id)
        while len(self._histories) > _HISTORIES_KEPT:
            self._histories.popitem(last=False)
        self.current = None

    def kept_history(self, image_id: int, revision: int) -> History | None:
        """The undo history of an image left earlier, where it still fits its map."""
        kept = self._histories.get(image_id)
        return kept[1] if kept is not None and kept[0] == revision else None

    # -- changing things -------------------------------------------------------------------------------------------

    def set_status(self, status: Status, image_id: int | None = None) -> None:
        """Gives an image (the current one by default) another status."""
        target = image_id if image_id is not None else self._wanted
        if target is None:
            return
        self.saver.watch(self.project.post("set_status", target, status))
        self.refresh_item(target)
        self.emit(Change.STATUS, target)

    def mark_reviewed(self) -> None:
        """Decides what is still open (by the proposal, else as background) and marks the current image reviewed."""
        annotator = self.current
        if annotator is None:
            return
        proposed, filled = annotator.complete()
        if not annotator.map.decided.any():
            self.say("warning", f"{annotator.item.name} has no label yet.", "Paint or accept something first.")
            return
        self.saver.save(annotator, status=Status.REVIEWED)
        parts = [f"{proposed:,} pixels from the proposal"] if proposed else []
        parts += [f"{filled:,} pixels as background"] if filled else []
        detail = f" ({', '.join(parts)})" if parts else ""
        self.say("success", f"{annotator.item.name} is reviewed{detail}.")

    def set_catalog(self, catalog: Catalog) -> None:
        """Replaces the classes; ids that images use must stay.

        Raises:
            UserError: A class that labels use would vanish.
        """
        gone = set(self._catalog.ids) - set(catalog.ids)
        if gone:
            self._refuse_used(gone)
        self.project.set_catalog(catalog)
        self.take_catalog(catalog)

    def take_catalog(self, catalog: Catalog) -> None:
        """Shows the classes that are stored already, as after an import that added some."""
        if catalog == self._catalog:
            return
        structural = [(c.id, c.name) for c in catalog] != [(c.id, c.name) for c in self._catalog]
        self._catalog = catalog
        self.emit(Change.CATALOG)
        if structural:
            self.emit(Change.MODELS)

    def refresh_item(self, image_id: int) -> ImageItem:
        """Reads one row of the list again from the store."""
        item = self.project.image(image_id)
        self._items[image_id] = item
        if self.current is not None and self.current.item.id == image_id:
            self.current.item = item
        return item

    def put_item(self, item: ImageItem) -> None:
        """Replaces one row of the list by what the caller has just stored."""
        self._items[item.id] = item

    def refresh_images(self) -> None:
        """Reads the whole list again, after an import or a rescan."""
        self._items = {item.id: item for item in self.project.images()}
        self._order = list(self._items)
        if self._wanted not in self._items:
            self.current, self._wanted = None, None
        self.emit(Change.IMAGES)
        self._folders_untold = True
        self.dispatch(self._tell_folders)

    def reload_current(self) -> None:
        """Reads the current image's labels again from the store, after an import."""
        if self._wanted is not None:
            image_id, self._wanted, self.current = self._wanted, None, None
            self._histories.pop(image_id, None)
            self.open_image(image_id)

    # -- telling ---------------------------------------------------------------------------------------------------

    def say(self, level: str, text: str, hint: str = "", action: tuple[str, Callable[[], None]] | None = None) -> None:
        """Shows a sentence to the person."""
        self.messages.emit(Message(level, text, hint, action))  # type: ignore[arg-type]

    def report(self, error: BaseException) -> None:
        """Shows a person's error as a sentence and hands a programming error to the boundary."""
        if isinstance(error, EngineError):
            self._died(str(error))
        elif isinstance(error, UserError):
            self.messages.emit(Message.of_error(error))
        else:
            self.bugs.emit(error)

    def emit(self, what: Change, image_id: int | None = None) -> None:
        """Tells the panels what changed."""
        self.changed.emit(ChangeSet(what, image_id))

    # -- inside ----------------------------------------------------------------------------------------------------

    def edited(self, annotator: Annotator, kind: EditKind, edit: Edit) -> None:
        """Journals an edit at once, asks for a save soon, and notes that the image is being worked on."""
        payload = pack_edit(edit, undo=kind == "revert")
        self.saver.journal(annotator.item.id, payload)
        if annotator.item.status is Status.NEW:
            self.set_status(Status.IN_PROGRESS, annotator.item.id)
        self.saver.soon(annotator)

    def _died(self, sentence: str) -> None:
        """Says once that a worker died: the engine tells it, and so does the job that was lost with it."""
        text, when = self._last_death
        now = time.monotonic()
        self._last_death = (sentence, now)
        if text != sentence or now - when > _SAME_DEATH_S:
            self.say("warning", sentence)

    def _arrived(self, image_id: int, result: Annotator | UserError) -> None:
        if self._wanted != image_id or self._closed:
            return
        if isinstance(result, UserError):
            item = self.refresh_item(image_id)
            # The mark shows even where the disk is too full to keep it.
            self._items[image_id] = replace(item, problem=result.message)
            self.emit(Change.IMAGES, image_id)
            self.say("error", result.message, result.hint)
        else:
            self.current = result
            result.changed.connect(self.changed.emit)
        self.emit(Change.CURRENT, image_id)
        if self.current is not None:
            self.predicting.image_opened(self.current)
            self.pictures.prefetch(self._neighbours(image_id))
        self._tell_folders()

    def _tell_folders(self) -> None:
        """Says once a scan which folders could not be read; after the image, whose own sentence stays on its mark."""
        problems = self.project.scan_problems if self._folders_untold else ()
        self._folders_untold, self.project.scan_problems = False, ()
        if problems and not self._closed:
            more = f" {len(problems) - 1} more folders cannot be read either." if len(problems) > 1 else ""
            hint = "The list lacks what is in it; change its permissions and press F5."
            self.say("warning", f"{problems[0]}{more}", hint)

    def _neighbours(self, image_id: int) -> list[int]:
        index = self._order.index(image_id)
        return [self._order[i] for i in (index + 1, index - 1) if 0 <= i < len(self._order)]

    def _step(self, direction: int) -> None:
        if not self._order:
            return
        index = self._order.index(self._wanted) if self._wanted in self._items else -1
        target = index + direction
        if 0 <= target < len(self._order):
            self.open_image(self._order[target])
        else:
            self.say("info", "This is the last image." if direction > 0 else "This is the first image.")

    def _refuse_used(self, gone: set[int]) -> None:
        self.saver.save_now()
        for item in self.images:
            segment_map = self.project.load_map(item.id) if item.revision else None
            used = gone & set(segment_map.class_counts()) if segment_map is not None else set()
            if used:
                name = self._catalog[min(used)].name
                raise UserError(
                    f'The class "{name}" labels pixels of {item.name}.',
                    "Give these pixels to another class first; then it can be deleted.",
                )
