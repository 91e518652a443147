"""Figures of models on a project, of folders of masks and of exports; and those of the window's panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog
from segstudio.core.jobs import CancelToken, Progress
from segstudio.core.metrics import AbsentClasses as AbsentClasses
from segstudio.engine.base import Engine
from segstudio.evaluation.evaluate import Comparison as Comparison
from segstudio.evaluation.evaluate import Evaluation as Evaluation
from segstudio.evaluation.evaluate import ImageResult as ImageResult
from segstudio.evaluation.evaluate import Metric as Metric
from segstudio.evaluation.evaluate import Sample, confused_pixels, evaluate
from segstudio.formats.base import CancelCallback, ProgressCallback
from segstudio.nets.card import ModelCard
from segstudio.project.project import Project
from segstudio.services.predictions import Predicted, predict_all
from segstudio.services.scoring import (
    REGIONS_SENTENCE,
    export_samples,
    folder_samples,
    has_instances,
    labelled_items,
    project_samples,
)
from segstudio.services.transfers import run_transfer

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

_PREDICTING: Final = 0.85  # part of the time that networks take, as the progress tells it


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """What is wanted besides the figures of the confusion matrix.

    Attributes:
        metrics: See `Metric`.
        absent: How classes without true pixels enter means.
        tolerance_px: Of the boundary score; None takes 0.75 % of the image's diagonal.
    """

    metrics: frozenset[Metric] = frozenset()
    absent: AbsentClasses = AbsentClasses.PREDICTED_COUNT_ZERO
    tolerance_px: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """An evaluation with what its pictures are made of.

    Attributes:
        evaluation: The figures.
        samples: Its images, in the order of `Evaluation.per_image`.
        image_ids: Those of the project; empty where there is none.
    """

    evaluation: Evaluation
    samples: tuple[Sample, ...]
    image_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image of the project where `pixels` of one class were predicted as another."""

    image_id: int
    name: str
    pixels: int


def evaluate_models(
    engine: Engine,
    project: Project,
    catalog: Catalog,
    cards: Sequence[ModelCard],
    *,
    split: str,
    options: EvaluationOptions,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> list[Scored]:
    """The figures of models on the labelled images of a split, all on the same images; not for the window's thread.

    Raises:
        UserError: Nothing is labelled there, or a model cannot be used.
        Cancelled: `cancelled` said so.
    """
    items = labelled_items(project.images(), split)
    predicted: list[Predicted] = []
    for place, card in enumerate(cards):
        report = _part(
            progress, place / len(cards) * _PREDICTING, _PREDICTING / len(cards), f"{_title(card)}: predicting"
        )
        predicted.append(
            predict_all(engine, project, catalog, card, items, device=device, progress=report, cancelled=cancelled)
        )
    usable = [item for item in items if all(item.id in found.files for found in predicted)]
    problems = {image_id: sentence for found in predicted for image_id, sentence in found.problems.items()}
    regions = any(m.needs_segments for m in options.metrics) and has_instances(project, usable)
    warnings = [*problems.values(), *([REGIONS_SENTENCE] if regions else [])]
    scored = []
    for place, (card, found) in enumerate(zip(cards, predicted, strict=True)):
        samples = project_samples(project, catalog, usable, found.files, regions=regions)
        report = _part(
            progress,
            _PREDICTING + (1 - _PREDICTING) * place / len(cards),
            (1 - _PREDICTING) / len(cards),
            f"{_title(card)}: comparing",
        )
        result = _evaluated(
            samples, catalog, _title(card), options, warnings=warnings, progress=report, cancelled=cancelled
        )
        scored.append(replace(result, image_ids=tuple(item.id for item in usable)))
    return scored


@contextmanager
def evaluated_folders(
    predictions: Sequence[Path],
    labels: Path,
    catalog: Catalog,
    *,
    format_name: str | None = None,
    images: Path | None = None,
    options: EvaluationOptions | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> Iterator[list[Scored]]:
    """The figures of one or more folders of predictions against one of labels; files stay open until the block ends.

    Args:
        predictions: Folders (or files) of predictions.
        labels: The folder (or file) of labels.
        catalog: The classes of all.
        format_name: The format of all; None for folders of index PNGs, where classes are numbers.
        images: The folder of the images themselves, for pictures of mistakes.
        options: What is wanted.
        progress: Told after each image.
        cancelled: Asked between images.

    Raises:
        UserError: A prediction is missing, has another size, or a source cannot be read.
    """
    options = options or EvaluationOptions()
    scored = []
    with ExitStack() as sources:
        for place, folder in enumerate(predictions):
            if format_name is None:
                samples = folder_samples(folder, labels, images=images)
            else:
                samples = sources.enter_context(export_samples(format_name, folder, labels, catalog, images=images))
            title = _folder_title(folder, predictions)
            report = _part(progress, place / len(predictions), 1 / len(predictions), f"{title}: comparing")
            scored.append(_evaluated(samples, catalog, title, options, progress=report, cancelled=cancelled))
        yield scored


class EvaluatingService:
    """Evaluates models in the background; the latest results stay. All calls on the owner's thread, unless said."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._scored: tuple[Scored, ...] = ()
        self._cancel: Callable[[], None] | None = None

    @property
    def busy(self) -> bool:
        """True while models are being evaluated."""
        return self._cancel is not None

    @property
    def results(self) -> tuple[Evaluation, ...]:
        """The latest evaluations, the one that others are compared with first; empty where there are none yet."""
        return tuple(scored.evaluation for scored in self._scored)

    @property
    def comparison(self) -> Comparison | None:
        """The latest evaluations side by side; None where there are none yet."""
        return Comparison(self.results) if self._scored else None

    def start(
        self,
        models: Sequence[str],
        *,
        split: str = "validation",
        options: EvaluationOptions | None = None,
        on_done: Callable[[Comparison], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> Callable[[], None]:
        """Starts to evaluate models by card id, on a split ("train", "validation" or "all"); returns how to cancel it.

        A run that is going on is cancelled; the results before stay until the new ones are there.

        Raises:
            ModelError: There is no such model.
        """
        workspace, wanted = self._workspace, options or EvaluationOptions()
        cards = [workspace.models.find(name) for name in models]
        self.cancel()
        workspace.saver.save_now()
        project, catalog, engine, device = (
            workspace.project,
            workspace.catalog,
            workspace.engine,
            workspace.predicting.device,
        )

        def work(token: CancelToken, report: ProgressCallback) -> list[Scored]:
            return evaluate_models(
                engine,
                project,
                catalog,
                cards,
                split=split,
                options=wanted,
                device=device,
                progress=report,
                cancelled=lambda: token.cancelled,
            )

        def done(scored: list[Scored]) -> None:
            self._cancel = None
            self._scored = tuple(scored)
            if on_done is not None:
                on_done(Comparison(self.results))

        def failed(error: BaseException) -> None:
            self._cancel = None
            (on_error or workspace.report)(error)

        def stopped() -> None:
            self._cancel = None

        title = f"Evaluating {' and '.join(_title(card) for card in cards)}"
        self._cancel = cancel = run_transfer(workspace, title, work, on_done=done, on_error=failed, on_cancel=stopped)
        return cancel

    def cancel(self) -> None:
        """Stops evaluating; harmless where nothing is evaluated."""
        if self._cancel is not None:
            self._cancel()

    def set_absent(self, absent: AbsentClasses) -> None:
        """Chooses how classes without true pixels enter the means of the latest results, without another run."""
        self._scored = tuple(replace(s, evaluation=s.evaluation.with_absent(absent)) for s in self._scored)

    def images_with(self, true_id: int, predicted_id: int, *, result: int = 0, most: int = 50) -> list[FoundImage]:
        """The images where most pixels of one class were predicted as another, in the result of that place."""
        scored = self._scored[result]
        return [
            FoundImage(image_id=scored.image_ids[index], name=scored.samples[index].name, pixels=pixels)
            for index, pixels in scored.evaluation.images_with(true_id, predicted_id, most=most)
        ]

    def confused(
        self, image_id: int, true_id: int, predicted_id: int, *, result: int = 0
    ) -> npt.NDArray[np.bool_] | None:
        """(H, W) bool, True where one class was predicted as another; None for an image that was not evaluated.

        From any thread: reads two files. The label is the image's as it is now.

        Raises:
            UserError: The prediction or the label is gone.
        """
        scored = self._scored[result]
        if image_id not in scored.image_ids:
            return None
        return confused_pixels(scored.samples[scored.image_ids.index(image_id)], true_id, predicted_id)

    def write_report(
        self,
        path: Path,
        *,
        on_done: Callable[[Path], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> Callable[[], None]:
        """Starts to write the latest results as one HTML file with pictures; returns a function that cancels it."""
        workspace, scored = self._workspace, self._scored

        def work(token: CancelToken, report: ProgressCallback) -> Path:
            write_html(path, scored, progress=report, cancelled=lambda: token.cancelled)
            return path

        def done(written: Path) -> None:
            workspace.say("success", f"The report was written to {written}.")
            if on_done is not None:
                on_done(written)

        title = f"Writing {path.name}"
        return run_transfer(workspace, title, work, on_done=done, on_error=on_error or workspace.report)


def write_html(
    path: Path,
    scored: Sequence[Scored],
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> None:
    """Writes evaluations as one HTML file that needs no other.

    Raises:
        UserError: The file cannot be written.
    """
    from segstudio.evaluation.report import write_report

    comparison = Comparison(tuple(s.evaluation for s in scored))
    write_report(path, comparison, [s.samples for s in scored], progress=progress, cancelled=cancelled)


def _evaluated(
    samples: Sequence[Sample],
    catalog: Catalog,
    title: str,
    options: EvaluationOptions,
    *,
    warnings: Sequence[str] = (),
    progress: ProgressCallback | None,
    cancelled: CancelCallback | None,
) -> Scored:
    evaluation = evaluate(
        samples,
        catalog,
        title=title,
        metrics=options.metrics,
        absent=options.absent,
        tolerance_px=options.tolerance_px,
        warnings=warnings,
        progress=progress,
        cancelled=cancelled,
    )
    return Scored(evaluation=evaluation, samples=tuple(samples))


def _part(progress: ProgressCallback | None, start: float, width: float, text: str) -> ProgressCallback | None:
    """Progress of a part as progress of the whole; `text` says which part it is."""
    if progress is None:
        return None
    return lambda work: progress(Progress(start + width * (work.fraction or 0.0), text))


def _title(card: ModelCard) -> str:
    return card.title or card.id


def _folder_title(folder: Path, others: Sequence[Path]) -> str:
    """The folder's name; with its parent's where two share one."""
    alone = sum(other.name == folder.name for other in others) == 1
    return folder.name if alone else f"{folder.parent.name}/{folder.name}"
