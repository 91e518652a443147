"""What a project knows of the CRF's gain for each model, and what follows: which values to use, and whether at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from segstudio.core.errors import UserError
from segstudio.core.items import ImageItem, Split, Status
from segstudio.nets.card import ModelCard
from segstudio.project.project import Project
from segstudio.refine.params import CrfParams
from segstudio.refine.tuned import Tuned
from segstudio.services.models import made_by_run
from segstudio.training.manifest import Manifest

# As many as DeepLab searches on (Chen et al., TPAMI 2018, section 4.1).
MAX_IMAGES: Final = 100
_KEY: Final = "crf"
_KEPT: Final = 20


def known_gain(project: Project, model_id: str) -> Tuned | None:
    """What was measured for a model; None where nothing was, or what is stored is damaged."""
    try:
        return Tuned.from_json(_stored(project)[model_id])
    except (UserError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remember_gain(project: Project, model_id: str, tuned: Tuned) -> None:
    """Stores what was measured for a model; of other models the last few are kept.

    Raises:
        ProjectError: The disk refused.
    """
    others = {name: record for name, record in _stored(project).items() if name != model_id}
    kept = dict(list(others.items())[-(_KEPT - 1) :])
    project.set_setting(_KEY, {**kept, model_id: tuned.to_json()})


def crf_to_use(tuned: Tuned | None, params: CrfParams | None = None) -> CrfParams:
    """The values given, else those that did best where the gain was checked, else the default."""
    return params or (tuned.best if tuned is not None else CrfParams())


def loss_of(tuned: Tuned | None, params: CrfParams) -> str | None:
    """One sentence where refining with these values is known to lose; None where it gains or nobody knows."""
    if tuned is None:
        return None
    score = tuned.score_of(params).mean_iou
    if score > tuned.before.mean_iou:
        return None
    images = "1 reviewed image" if tuned.checked == 1 else f"{tuned.checked} reviewed images"
    what = "The CRF loses with these values" if tuned.helps else "The CRF does not help this model"
    return f"{what}: mean IoU on {images} is {tuned.before.mean_iou:.4f} without it and {score:.4f} with it."


def crf_or_refusal(project: Project, card: ModelCard, *, anyway: bool) -> CrfParams:
    """The values to refine a model's predictions with, for a program that cannot ask back.

    Raises:
        UserError: Refining is known to lose, and `anyway` is not said.
    """
    tuned = known_gain(project, card.id)
    params = crf_to_use(tuned)
    sentence = None if anyway else loss_of(tuned, params)
    if sentence is not None:
        raise UserError(sentence, "Leave the CRF out, refine anyway (--crf-anyway), or tune on more reviewed images.")
    return params


def images_to_tune_on(
    project: Project, card: ModelCard, images: Sequence[ImageItem], limit: int = MAX_IMAGES
) -> tuple[list[ImageItem], bool]:
    """Reviewed images, and whether the model learnt from them: it did only where there are no others.

    Images of the validation split come first; where a split holds too many they are spread over it.
    """
    reviewed = [item for item in images if item.status is Status.REVIEWED and item.problem is None]
    learnt = _learnt_from(project, card, images)
    unseen = [item for item in reviewed if item.name not in learnt]
    usable = unseen or reviewed
    chosen = _spread([item for item in usable if item.split is Split.VALIDATION], limit)
    chosen += _spread([item for item in usable if item.split is Split.TRAIN], limit - len(chosen))
    return chosen, not unseen


def _learnt_from(project: Project, card: ModelCard, images: Sequence[ImageItem]) -> set[str]:
    """Names of the images that a model or one it goes back to was trained on, as the runs' manifests say."""
    runs, names = project.runs(), set[str]()
    models = [card.id]
    while models:
        made = made_by_run(runs, models.pop())
        if made is None:
            continue
        run = made[0]
        runs.remove(run)
        models.extend([run.parent] if run.parent is not None else [])
        try:
            manifest = Manifest.load(run.folder)
        except UserError:
            # The folder was cleared, or images have moved since. An image keeps its split for life.
            names.update(item.name for item in images if item.split is Split.TRAIN)
            continue
        names.update(item.name for item in manifest.train)
        models.extend([str(manifest.start_card)] if manifest.start_card is not None else [])
    return names


def _spread(items: Sequence[ImageItem], count: int) -> list[ImageItem]:
    """At most `count` of them, evenly spaced: neighbours in a list are often alike."""
    places = np.linspace(0, len(items) - 1, max(0, min(count, len(items))))
    return [items[at] for at in places.round().astype(int).tolist()]


def _stored(project: Project) -> dict[str, dict[str, object]]:
    stored = project.setting(_KEY, {})
    return stored if isinstance(stored, dict) else {}
