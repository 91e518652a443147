"""`segstudio predict`: proposals for a project, or label images for image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from segstudio.cli.console import engine, err, out, steps
from segstudio.cli.model_option import model_named
from segstudio.core.errors import UserError
from segstudio.core.items import Status
from segstudio.core.prediction import Prediction
from segstudio.engine.protocol import PredictionArrays
from segstudio.imaging.decode import find_images, write_index_png
from segstudio.imaging.files import write_atomic
from segstudio.nets.card import ModelCard, find_card
from segstudio.project.project import Project
from segstudio.refine.params import CrfParams
from segstudio.services.batch import class_set, predict_images
from segstudio.services.gain import crf_or_refusal
from segstudio.services.models import card_folders, project_card
from segstudio.services.opening import PROJECT_SUFFIX, is_project
from segstudio.services.proposals import ProposalStore


def command(
    sources: Annotated[list[Path], typer.Argument(metavar="PROJECT|IMAGES...", help="A project, or images/folders.")],
    *,
    model: Annotated[str | None, typer.Option(help="Card id or path; default: the project's model in use.")] = None,
    crf: Annotated[bool, typer.Option("--crf", help="Sharpen with the CRF, unless it is known to lose.")] = False,
    crf_anyway: Annotated[bool, typer.Option("--crf-anyway", help="Sharpen also where it loses.")] = False,
    target: Annotated[Path | None, typer.Option("--out", help="Folder for one index PNG an image.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also float16 .npy files.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> int:
    """Let a network label images: into --out, or as proposals that wait in the project.

    Example: segstudio predict street.segstudio --model unet --out predictions
    """
    project = _project_path(sources)
    if project is not None:
        crf = crf or crf_anyway
        return _project(project, model, target, device, crf=crf, anyway=crf_anyway, with_scores=probabilities)
    if model is None or target is None:
        raise typer.BadParameter("images need --model and --out")
    params = CrfParams() if crf or crf_anyway else None
    return _write(model, _images(sources), params, target, device, with_scores=probabilities)


def _project(
    path: Path,
    model: str | None,
    target: Path | None,
    device: str,
    *,
    crf: bool,
    anyway: bool,
    with_scores: bool,
) -> int:
    with engine() as running, Project.open(path) as project:
        card = project_card(project, model_named(running, model))
        params = crf_or_refusal(project, card, anyway=anyway) if crf else None
        _warn_untrained(card, project.catalog.sorted_names)
        items = [i for i in project.images() if target is not None or i.status is not Status.REVIEWED]
        names = [Path(i.name) for i in items]
        store = ProposalStore(project.path)
        by_path = {item.path: item for item in items}
        writer = None if target is None else _Writer(target, dict(zip(by_path, names, strict=True)), with_scores)
        failed = 0
        with steps("Predicting", len(items)) as shown:
            for done in predict_images(
                running, card, project.catalog, by_path, device=device, crf=params, on_progress=shown.meanwhile
            ):
                shown.step(done.path.name)
                if done.result is None:
                    failed += 1
                    err.print(done.problem, markup=False)
                elif writer is not None:
                    writer.write(done.path, done.result)
                else:
                    item = by_path[done.path]
                    store.save(item.id, _prediction(done.result, card, item.revision, refined=crf))
    where = f"written to {target}" if target is not None else "waiting as proposals in the project"
    out.print(f"{len(items) - failed} of {len(items)} images: {where}", markup=False)
    return 1 if failed else 0


def _write(
    model: str, paths: dict[Path, Path], crf: CrfParams | None, target: Path, device: str, *, with_scores: bool
) -> int:
    writer = _Writer(target, paths, with_scores)
    failed = 0
    with engine() as running:
        card = find_card(model_named(running, model) or model, [f for f in card_folders() if f.is_dir()])
        catalog = class_set(card, None)
        _warn_untrained(card, catalog.sorted_names)
        with steps("Predicting", len(paths)) as shown:
            for done in predict_images(
                running, card, catalog, paths, device=device, crf=crf, on_progress=shown.meanwhile
            ):
                shown.step(done.path.name)
                if done.result is None:
                    failed += 1
                    err.print(done.problem, markup=False)
                else:
                    writer.write(done.path, done.result)
    out.print(f"{len(paths) - failed} of {len(paths)} images written to {target}", markup=False)
    return 1 if failed else 0


class _Writer:
    """Writes label images under the names of their images, folders kept."""

    def __init__(self, target: Path, names: dict[Path, Path], with_scores: bool) -> None:  # noqa: FBT001
        self._target, self._names, self._with_scores = target, names, with_scores

    def write(self, path: Path, result: PredictionArrays) -> None:
        """One index PNG, and the probabilities where asked for."""
        place = (self._target / self._names[path]).with_suffix(".png")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(place, write_index_png(None, result.labels, None))
            if self._with_scores and result.probabilities is not None:
                np.save(place.with_suffix(".npy"), result.probabilities)
        except OSError as error:
            raise UserError(f"{place} cannot be written ({error.strerror}).", "Choose another --out folder.") from error


def _project_path(sources: list[Path]) -> Path | None:
    """The project a person named, with or without its suffix; None where they named images."""
    if len(sources) != 1:
        return None
    source = sources[0].expanduser().absolute()
    named = source.with_name(source.name + PROJECT_SUFFIX)
    return next((path for path in (source, named) if is_project(path)), None)


def _images(sources: list[Path]) -> dict[Path, Path]:
    """Image files by absolute path, each with the relative name its label gets."""
    found: dict[Path, Path] = {}
    for source in sources:
        source = source.expanduser().absolute()
        if source.is_dir():
            found.update({path: path.relative_to(source) for path in find_images(source).paths})
        elif source.is_file():
            found[source] = Path(source.name)
        else:
            raise UserError(f"There is nothing at {source}.", "Give images, folders of images or a project.")
    if not found:
        raise UserError("There is no image to predict.", "Give images, folders of images or a project.")
    names = [name.with_suffix("") for name in found.values()]
    twice = next((n for n in names if names.count(n) > 1), None) if len(names) < 10_000 else None
    if twice is not None:
        raise UserError(f"Two images would be written as {twice}.png.", "Predict their folders one by one.")
    return found


def _prediction(result: PredictionArrays, card: ModelCard, revision: int, *, refined: bool) -> Prediction:
    return Prediction(
        labels=result.labels,
        confidence=result.confidence,
        probabilities=None,
        class_ids=result.class_ids,
        model_id=card.id,
        image_revision=revision,
        refined=refined,
        trained=result.trained,
    )


def _warn_untrained(card: ModelCard, names: tuple[str, ...]) -> None:
    if not card.trained:
        err.print(f"{card.id} is not trained: its labels are random. Train it first.", markup=False)
    elif [n.casefold() for n in card.classes] != [n.casefold() for n in names]:
        err.print(f"{card.id} was trained on other classes ({', '.join(card.classes[:6])}).", markup=False)
