"""One tuning of the CRF from start to end, on a thread that may wait.

What the network says of each image goes to a file in the project's cache folder; a process of its own searches on these
files (`segstudio.refine.tune`), and they are removed afterwards.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ImageError, UserError
from segstudio.core.items import ImageItem
from segstudio.core.jobs import CancelToken, Progress
from segstudio.engine.base import Engine, JobHandle, Listener
from segstudio.engine.protocol import PredictionArrays, PredictSpec, Result, TuneSpec
from segstudio.engine.results import stored_probabilities
from segstudio.imaging.decode import read_image
from segstudio.nets.card import ModelCard
from segstudio.project.project import Project
from segstudio.refine.params import CrfParams
from segstudio.refine.samples import Sample
from segstudio.refine.tuned import Tuned
from segstudio.services.blocking import wait_for
from segstudio.services.manifests import channel_labels

_FOLDER: Final = Path("cache") / "tuning"
# Full resolution for 21 classes at 500 x 375; a hundred images take 0.8 GiB of disk at most while the search goes on.
_MAX_BYTES: Final = 8 << 20
_GATHERING_PART: Final = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to tune on.

    Attributes:
        project: Holds the labels.
        engine: Predicts and tunes.
        catalog: The project's classes.
        card: The model.
        device: Where it predicts.
        items: The images.
        learnt: True where the model learnt from them.
        preset: Where to start and what to compare with.
    """

    project: Project
    engine: Engine
    catalog: Catalog
    card: ModelCard
    device: str
    items: tuple[ImageItem, ...]
    learnt: bool
    preset: CrfParams


class TuningRun:
    """Gathers, searches, cleans up."""

    def __init__(self, plan: Plan, progress: Callable[[Progress], None]) -> None:
        self._plan, self._progress = plan, progress
        self._token = CancelToken()
        self._handle: JobHandle | None = None
        self._class_ids: tuple[int, ...] = ()

    def cancel(self) -> None:
        """Asks it to stop; may be called from any thread."""
        self._token.cancel()
        handle = self._handle
        if handle is not None:
            handle.cancel()

    def work(self) -> Tuned:
        """What was found.

        Raises:
            UserError: No image can be used, the model does not know the classes, or the disk is full.
            Cancelled: On request.
        """
        parent = self._plan.project.path / _FOLDER
        shutil.rmtree(parent, ignore_errors=True)  # left by a program that was killed
        try:
            parent.mkdir(parents=True)
            with tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as folder:
                return self._search(self._gather(Path(folder)))
        except OSError as error:
            raise UserError(
                f"The images to tune the CRF on cannot be written to {parent} ({error.strerror}).",
                "Free some space, or tune on fewer images.",
            ) from error

    def _gather(self, folder: Path) -> list[Path]:
        """Files of samples; an image that cannot be used any more is left out."""
        plan, paths = self._plan, list[Path]()
        for index, item in enumerate(plan.items):
            sample = self._sample(index, item)
            if sample is not None:
                paths.append(folder / f"{item.id}.npz")
                sample.save(paths[-1])
        if not paths:
            raise UserError("None of the reviewed images can be read any more.", "Put them back where they were.")
        return paths

    def _sample(self, index: int, item: ImageItem) -> Sample | None:
        plan = self._plan
        try:
            rgb = read_image(item.path).rgb
        except ImageError:
            return None
        segment_map = plan.project.load_map(item.id)
        if segment_map is None or segment_map.shape != rgb.shape[:2]:
            return None
        spec = PredictSpec(
            card=str(plan.card.path),
            catalog_ids=plan.catalog.sorted_ids,
            class_names=plan.catalog.sorted_names,
            device=plan.device,
        )

        def tell(progress: Progress) -> None:
            done = (index + (progress.fraction or 0.0)) / len(plan.items)
            self._progress(Progress(_GATHERING_PART * done, "Proposing for the reviewed images"))

        tell(Progress(0.0))
        result = self._wait(lambda listener: plan.engine.predict(spec, rgb, listener, interactive=False), tell)
        assert isinstance(result, PredictionArrays)
        assert result.probabilities is not None
        self._class_ids = result.class_ids
        labels = channel_labels(segment_map, result.class_ids)
        return Sample.of(rgb, stored_probabilities(result.probabilities, _MAX_BYTES), labels)

    def _search(self, paths: list[Path]) -> Tuned:
        plan = self._plan
        names = tuple(plan.catalog[class_id].name for class_id in self._class_ids)
        spec = TuneSpec(files=tuple(map(str, paths)), preset=plan.preset, class_names=names)

        def tell(progress: Progress) -> None:
            done = _GATHERING_PART + (1 - _GATHERING_PART) * (progress.fraction or 0.0)
            self._progress(Progress(done, progress.text))

        result = self._wait(lambda listener: plan.engine.ask(spec, listener), tell)
        assert isinstance(result, Tuned)
        return replace(result, learnt=plan.learnt)

    def _wait(self, start: Callable[[Listener], JobHandle], tell: Callable[[Progress], None]) -> Result:
        self._token.raise_if_cancelled()

        def started(listener: Listener) -> JobHandle:
            handle = self._handle = start(listener)
            if self._token.cancelled:  # between the look above and now
                handle.cancel()
            return handle

        return wait_for(started, tell)
