"""Predictions for many images, one after the other, without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ImageError
from segstudio.core.jobs import Progress
from segstudio.engine.base import Engine
from segstudio.engine.protocol import PredictionArrays, PredictSpec, RefineSpec
from segstudio.imaging.decode import read_image
from segstudio.nets.card import ModelCard
from segstudio.refine.params import CrfParams
from segstudio.services.blocking import wait_for


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One image's outcome: a result, or the sentence why there is none."""

    path: Path
    result: PredictionArrays | None
    problem: str | None = None


def class_set(card: ModelCard, catalog: Catalog | None) -> Catalog:
    """The classes a prediction is made in: the project's, else the card's own."""
    if catalog is not None:
        return catalog
    return Catalog.from_names(card.classes or ("background", "object"))


def predict_images(
    engine: Engine,
    card: ModelCard,
    catalog: Catalog,
    paths: Iterable[Path],
    *,
    device: str = "auto",
    crf: CrfParams | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[BatchItem]:
    """Each image's prediction, refined where `crf` says how; an unreadable image gives its sentence and goes on.

    `on_progress` hears how far the one at work is, and how much of a model's weights has been downloaded.

    Raises:
        UserError: The model or the CRF cannot be used at all.
    """
    spec = PredictSpec(
        card=str(card.path), catalog_ids=catalog.sorted_ids, class_names=catalog.sorted_names, device=device
    )
    for path in paths:
        try:
            rgb = read_image(path).rgb
        except ImageError as error:
            yield BatchItem(path, None, str(error))
            continue
        result = _predict(engine, spec, rgb, on_progress)
        if crf is not None and result.probabilities is not None:
            result = _refine(engine, RefineSpec(crf, result.class_ids), rgb, result.probabilities)
        yield BatchItem(path, result)


def _predict(
    engine: Engine, spec: PredictSpec, rgb: npt.NDArray[np.uint8], on_progress: Callable[[Progress], None] | None
) -> PredictionArrays:
    result = wait_for(lambda listener: engine.predict(spec, rgb, listener, interactive=False), on_progress)
    assert isinstance(result, PredictionArrays)
    return result


def _refine(
    engine: Engine, spec: RefineSpec, rgb: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float16]
) -> PredictionArrays:
    result = wait_for(lambda listener: engine.refine(spec, rgb, probabilities, listener, interactive=False))
    assert isinstance(result, PredictionArrays)
    return result
