"""The store as its users see it: one object per open project, safe to call from any thread."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ProjectError, ProjectLocked
from segstudio.core.items import ImageItem, Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.project import classes, events, images, journal, maps, masks, places, roots, runs, settings, subjects
from segstudio.project.database import Store, What, Work, transaction
from segstudio.project.events import Event
from segstudio.project.images import ScanResult
from segstudio.project.lockfile import ProjectLock
from segstudio.project.migrations import check_version
from segstudio.project.runs import RunRecord
from segstudio.project.schema import DATABASE_NAME, LOCK_NAME

T = TypeVar("T")


class Project:
    """An open project.

    Each method runs on the store thread and returns when it is done; `post` does not wait. SQLite's refusals
    (full disk, read-only folder, damaged file) arrive as `ProjectError` with one sentence.
    """

    def __init__(self, path: Path, store: Store, lock: ProjectLock) -> None:
        """Use `create` or `open`."""
        self._path = path
        self._store = store
        self._lock = lock
        self._journal = journal.Journal()
        self._encoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encode maps")
        self._closed = False
        self.scan_problems: tuple[str, ...] = ()  # on folders that the last scan could not read
        self._catalog = store.run(classes.read_catalog)

    # --- life ---

    @classmethod
    def create(cls, path: Path, *, images: Path | None = None, catalog: Catalog) -> Project:
        """A new, open project at `path` (".segstudio" is added where missing) with every image below a folder.

        Raises:
            ProjectError: The place is taken or cannot be written, or the folder of images holds none.
        """
        folder = places.project_folder(path)
        found = None if images is None else places.scan_folder(images, must_hold=True)
        existed = places.make_folder(folder)
        project: Project | None = None
        try:
            project = cls._start(folder, create=True)
            project.set_catalog(catalog)
            if found is not None:
                project._add(found, watch=True)
            project.log("create", None, {"images": 0 if found is None else len(found.paths)})
        except ProjectLocked:  # somebody makes a project at this very place; it is not ours to clear away
            raise
        except BaseException:
            if project is not None:
                project.close(discard=True)
            places.discard(folder, keep_folder=existed)
            raise
        return project

    @classmethod
    def open(cls, path: Path) -> Project:
        """The project at `path`: its folder, its `project.db`, or its folder's name without ".segstudio".

        Raises:
            NewerProject: A newer program wrote it; nothing was changed.
            ProjectLocked: It is open elsewhere.
            ProjectError: There is no project, or it is damaged or cannot be written.
        """
        folder = places.existing_project(path)
        check_version(folder / DATABASE_NAME)
        return cls._start(folder, create=False)

    @classmethod
    def _start(cls, folder: Path, *, create: bool) -> Project:
        lock = ProjectLock(folder / LOCK_NAME)
        try:
            store = Store(folder / DATABASE_NAME, create=create)
            try:
                return cls(folder, store, lock)
            except BaseException:
                store.close()
                raise
        except BaseException:
            lock.release()
            raise

    def close(self, *, discard: bool = False) -> None:
        """Writes what waits and lets go of the project; may be called twice.

        Raises:
            ProjectError: The disk refused strokes that wait in memory. The project stays open, so that they can be
                saved once there is space; with `discard` they are given up and it closes.
        """
        if self._closed:
            return
        self._encoder.submit(lambda: None).result()  # maps posted so far
        try:
            self._store.run(self._journal.flush, what="The last strokes")
        except ProjectError:
            if not discard:
                raise
        self._closed = True
        self._encoder.shutdown(wait=True)
        self._store.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            self.close(discard=True)

    @property
    def path(self) -> Path:
        """The project's folder, absolute."""
        return self._path

    @property
    def name(self) -> str:
        """The folder's name without its ending."""
        return self._path.stem

    @property
    def image_root(self) -> Path | None:
        """The folder the project was made from, where it is now; None for a project without one."""
        watched = [root for root in self._roots() if root.watched]
        return Path(watched[0].folder) if watched else None

    # --- classes ---

    @property
    def catalog(self) -> Catalog:
        """The classes; costs nothing to ask."""
        return self._catalog

    def set_catalog(self, catalog: Catalog) -> None:
        """Stores the classes. Pixels of a class that is no longer listed keep their id."""
        self._write(lambda c: classes.write_catalog(c, catalog), what="The classes")
        self._catalog = catalog

    # --- images ---

    def images(self) -> list[ImageItem]:
        """All images in natural order."""
        return self._store.run(lambda c: images.list_images(c, self._path))

    def image(self, image_id: int) -> ImageItem:
        """One image.

        Raises:
            KeyError: There is no such image.
        """
        return self._store.run(lambda c: images.read_image(c, self._path, image_id))

    def add_images(self, paths: Sequence[Path]) -> ScanResult:
        """Adds image files, skipping those already there; no file is opened."""
        full = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - keeps links, and 20,000 take no time
        return self._add(places.Scan("", full, ()), watch=False)

    def add_folder(self, folder: Path) -> ScanResult:
        """Adds every image below a folder, and lets later rescans add what is new in it."""
        return self._add(places.scan_folder(folder, must_hold=True), watch=True)

    def rescan(self) -> ScanResult:
        """Adds new files of the project's folders, marks those that are gone, unmarks those that are back."""
        scans = [places.scan_folder(Path(root.folder)) for root in self._roots() if root.watched]
        found = [path for scan in scans for path in scan.paths]
        problems = self.scan_problems = tuple(sentence for scan in scans for sentence in scan.problems)

        def work(connection: sqlite3.Connection) -> ScanResult:
            added = images.insert_images(connection, self._path, found)
            gone, returned = images.mark_missing(connection, self._path, found)
            return ScanResult(added=added, gone=gone, returned=returned, problems=problems)

        return self._write(work, what="The image list")

    def set_image_info(
        self,
        image_id: int,
        *,
        width: int | None = None,
        height: int | None = None,
        problem: str | None = None,
        note: str | None = None,
    ) -> None:
        """Stores what reading showed: size, why the image cannot be used, how it was read; None clears a sentence."""
        work = self._image_info(image_id, width=width, height=height, problem=problem, note=note)
        self._store.run(work, what=subjects.image_entry(image_id))

    def set_status(self, image_id: int, status: Status) -> None:
        """Stores how far a person got with an image, and the event."""
        self._store.run(self._status(image_id, status), what=subjects.image_entry(image_id))

    # --- segment maps ---

    def load_map(self, image_id: int) -> SegmentMap | None:
        """The stored map with every journaled edit since, or None for an image nobody labelled.

        Raises:
            ProjectError: What is stored is damaged.
        """
        stored = self._store.run(lambda c: maps.read_stored(c, self._journal, self._path, image_id))
        return maps.restore(stored)

    def save_map(
        self,
        image_id: int,
        segment_map: SegmentMap,
        *,
        revision: int | None = None,
        seconds: float = 0.0,
        action: str = "save",
        status: Status | None = None,
    ) -> bool:
        """Stores a map, its status and its event in one transaction, and trims the journal it contains.

        Args:
            revision: Changes the map contains (what `journal` last returned for it). None: the map replaces everything.
            seconds: Work it took, for the event.
            action: Kind of the event.
            status: New status; None turns a new image into one in progress and leaves others.

        Returns:
            False where a newer map is stored already; nothing was changed then.

        Raises:
            ProjectError: It could not be saved; what was stored before still stands, journal included.
        """
        encoded = masks.encode_map(segment_map)  # on this thread: the store thread stays free for strokes
        request = maps.SaveRequest(image_id, encoded, revision, seconds, action, status)
        return self._store.run(
            lambda c: maps.save(c, self._journal, request), what=subjects.labels(image_id), retried=True
        )

    def journal(self, image_id: int, payload: bytes) -> int:
        """The image's new revision, once an edit (`journal.pack_edit`) is on disk.

        Raises:
            ProjectError: The disk refused. The entry keeps its revision and is written with the next one.
        """
        return self._store.run(self._append(image_id, payload), what=subjects.stroke(image_id), retried=True)

    def revision(self, image_id: int) -> int:
        """Changes an image has seen, those the disk refused so far included."""
        return self._store.run(lambda c: self._journal.revision(c, image_id))

    def post(self, name: str, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of one of the writing methods, called by name without waiting.

        Names: journal, save_map (`revision` needed; the map is copied first), set_status, set_image_info, set_setting,
        log. Journal entries keep their order; `result()` raises what the method raises.
        """
        if name == "save_map":
            return self._post_map(*args, **kwargs)
        makers: dict[str, tuple[Callable[..., Work[Any]], Callable[[Any], What]]] = {
            "journal": (self._append, subjects.stroke),
            "set_status": (self._status, subjects.image_entry),
            "set_image_info": (self._image_info, subjects.image_entry),
            "log": (self._event, subjects.record),
            "set_setting": (self._setting, lambda _key: "The setting"),
        }
        make, subject = makers[name]
        return self._store.post(make(*args, **kwargs), what=subject(args[0]), retried=name == "journal")

    # --- settings, events, runs ---

    def setting(self, key: str, default: Any = None) -> Any:
        """The value stored under a name, else `default`."""
        return self._store.run(lambda c: settings.read_setting(c, key, default))

    def set_setting(self, key: str, value: Any) -> None:
        """Stores a value JSON can hold."""
        self._store.run(self._setting(key, value), what="The setting")

    def log(self, kind: str, image_id: int | None = None, data: Any = None, *, seconds: float = 0.0) -> None:
        """Appends an event; `data` is anything JSON can hold."""
        self._store.run(self._event(kind, image_id, data, seconds=seconds), what=subjects.record(kind))

    def events(self, *, kind: str | None = None, image_id: int | None = None, limit: int | None = None) -> list[Event]:
        """Events, oldest first; with `limit` the newest so many."""
        return self._store.run(lambda c: events.read_events(c, kind=kind, image_id=image_id, limit=limit))

    def create_run(self, parent: str | None, config: dict[str, Any]) -> RunRecord:
        """A new training run with an empty folder."""
        try:
            return self._write(lambda c: runs.insert_run(c, self._path, parent, config), what="The run")
        except OSError as error:
            raise places.cannot_write(self._path, error) from error

    def update_run(
        self,
        run_id: int,
        state: str | None = None,
        metrics: dict[str, Any] | None = None,
        card: str | None = None,
        *,
        accepted: bool | None = None,
    ) -> RunRecord:
        """The run with the given fields replaced; None leaves a field as it is."""
        given = {"state": state, "metrics": metrics, "card": card, "accepted": accepted}
        changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}

        def work(connection: sqlite3.Connection) -> RunRecord:
            run = replace(runs.read_run(connection, self._path, run_id), **changes)
            runs.write_run(connection, self._path, run)
            return run

        return self._write(work, what=f"Run {run_id}")

    def runs(self) -> list[RunRecord]:
        """All training runs, oldest first."""
        return self._store.run(lambda c: runs.read_runs(c, self._path))

    def run(self, run_id: int) -> RunRecord:
        """One training run.

        Raises:
            KeyError: There is no such run.
        """
        return self._store.run(lambda c: runs.read_run(c, self._path, run_id))

    # --- work for the store thread ---

    def _write(self, work: Work[T], *, what: What) -> T:
        def all_or_nothing(connection: sqlite3.Connection) -> T:
            with transaction(connection):
                return work(connection)

        return self._store.run(all_or_nothing, what=what)

    def _roots(self) -> list[roots.Root]:
        return self._store.run(lambda c: roots.read_roots(c, self._path))

    def _add(self, scan: places.Scan, *, watch: bool) -> ScanResult:
        def work(connection: sqlite3.Connection) -> ScanResult:
            if watch:
                images.watch_folder(connection, self._path, scan.folder)
            added = images.insert_images(connection, self._path, scan.paths)
            return ScanResult(added=added, problems=scan.problems)

        self.scan_problems = scan.problems
        return self._write(work, what="The image list")

    def _append(self, image_id: int, payload: bytes) -> Work[int]:
        return lambda c: self._journal.append(c, image_id, payload)

    def _status(self, image_id: int, status: Status) -> Work[None]:
        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                images.write_status(connection, image_id, status)
                events.write_event(connection, "status", image_id=image_id, data={"status": str(status)})

        return work

    @staticmethod
    def _image_info(
        image_id: int,
        *,
        width: int | None = None,
        height: int | None = None,
        problem: str | None = None,
        note: str | None = None,
    ) -> Work[None]:
        return lambda c: images.write_image_info(c, image_id, width=width, height=height, problem=problem, note=note)

    @staticmethod
    def _setting(key: str, value: Any) -> Work[None]:
        text = json.dumps(value, ensure_ascii=False)
        return lambda c: settings.write_setting(c, key, text)

    @staticmethod
    def _event(kind: str, image_id: int | None = None, data: Any = None, *, seconds: float = 0.0) -> Work[int]:
        return lambda c: events.write_event(c, kind, image_id=image_id, data=data, seconds=seconds)

    def _post_map(self, image_id: int, segment_map: SegmentMap, *, revision: int, **kwargs: Any) -> Future[bool]:
        if self._closed:
            raise self._store.closed_error()
        return self._encoder.submit(self.save_map, image_id, segment_map.copy(), revision=revision, **kwargs)
