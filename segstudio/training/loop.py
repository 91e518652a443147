"""A training run from its frozen folder to the gate's verdict."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segstudio.core.catalog import Catalog
from segstudio.core.errors import Cancelled, UserError
from segstudio.core.runs import RunResult, TrainEvent, TrainNote, TrainStarted, TrainStep, TrainValidation
from segstudio.nets.base import Loaded, SegmentationNet
from segstudio.nets.card import ModelCard, load_card, weights_file
from segstudio.nets.checkpoint import load_model, read_checkpoint
from segstudio.nets.devices import resolve_device
from segstudio.training.budget import Budget
from segstudio.training.config import TrainConfig
from segstudio.training.dataset import Dataset, Sites, survey
from segstudio.training.evaluate import Score, evaluate
from segstudio.training.gate import judge
from segstudio.training.keeper import Keeper, RunLog
from segstudio.training.manifest import Manifest
from segstudio.training.numerics import step_aside
from segstudio.training.optimize import Stepper, fitting_side
from segstudio.training.sampling import CropSampler

Ask = Callable[[], bool]


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class _Data:
    """What the run learns from and what it is scored on."""

    train: Dataset
    sites: Sites
    scored: Dataset
    on_training_images: bool


def run_training(
    folder: Path, *, report: Callable[[TrainEvent], None], cancelled: Ask, paused: Ask = _never
) -> RunResult:
    """How the run in ``folder`` ended; the best averaged weights lie beside their card in the folder.

    Reads ``manifest.json``, ``config.json`` and the masks; writes ``checkpoint.pt``, ``card.toml`` and ``log.jsonl``.
    ``cancelled`` ends the run early and keeps the best so far; while ``paused`` is true no step is made.

    Raises:
        UserError: Nothing is decided, a file is missing or damaged, or memory does not suffice.
    """
    step_aside()
    manifest, config = Manifest.load(folder), TrainConfig.load(folder)
    with RunLog(folder, report) as log:
        result = _Run(folder, manifest, config, log, cancelled, paused).run()
        log.close_with(result)
    return result


class _Run:
    """One run's state between its steps."""

    def __init__(
        self, folder: Path, manifest: Manifest, config: TrainConfig, log: RunLog, cancelled: Ask, paused: Ask
    ) -> None:
        self._manifest = manifest
        self._config = config
        self._log = log
        self._cancelled = cancelled
        self._paused = paused
        self._device = resolve_device(config.device)
        self._rng = np.random.default_rng(config.seed)
        torch.manual_seed(config.seed)
        self._keeper = Keeper(folder, manifest)
        self._step = 0
        self._stopped = False
        self._parent: Score | None = None

    def run(self) -> RunResult:
        """The whole run."""
        data = self._load()
        self._budget = Budget(self._config)
        begin = time.monotonic()
        try:
            self._parent = self._score_parent(data)
            # What scoring the parent took is the best guess of what scoring the child takes.
            guess = time.monotonic() - begin if self._parent is not None else 0.0
            prepared = self._prepare(data)
        except Cancelled:
            return self._finish(data, stopped_early=True)
        with prepared as stepper:
            self._budget = Budget(self._config)
            self._budget.scored(0, seconds=guess)
            self._learn(stepper, data)
        return self._finish(data)

    def _load(self) -> _Data:
        names = self._manifest.class_names
        classes = len(names)
        train = Dataset(self._manifest.train, classes=classes, background=Catalog.from_names(names).background_id)
        sites = survey(train, self._rng)
        if sites.decided == 0:
            raise UserError(
                "No pixel of a training image is decided yet, so there is nothing to learn from.",
                "Paint or accept some pixels in an image of the training split, then train again.",
            )
        if len(sites.present) == 1:
            name = names[sites.present[0]]
            self._log(TrainNote(text=f"Only {name} is labelled so far; label some of another class, too."))
        validation = Dataset(self._manifest.validation, classes=classes)
        checked = survey(validation, np.random.default_rng(self._config.seed))
        if checked.decided:
            return _Data(train, sites, validation, on_training_images=False)
        self._log(TrainNote(text="No validation image is labelled yet; the score is measured on the training images."))
        return _Data(train, sites, train, on_training_images=True)

    def _score_parent(self, data: _Data) -> Score | None:
        """The score of the model in use, or None where its head was never trained for these classes."""
        card = self._manifest.parent_card
        if card is None:
            return None
        parent = self._loaded(card)
        if parent.loaded.head != "checkpoint":
            return None
        return evaluate(parent.eval(), data.scored, device=self._device, cancelled=self._cancelled)

    def _prepare(self, data: _Data) -> Stepper:
        config = self._config
        torch.manual_seed(config.seed)
        net = self._network()
        self._log(
            TrainStarted(
                total_steps=config.steps if config.minutes is None else None,
                device=str(self._device),
                train_images=len({item for places in data.sites.pixels for item in places}),
                validation_images=0 if data.on_training_images else len(data.scored),
                parent_miou=None if self._parent is None else self._parent.miou,
                note=net.loaded.note,
            )
        )
        net.class_names = self._manifest.class_names
        sampler = CropSampler(data.train, data.sites, self._rng, config, context=net.context)
        side = fitting_side(data.sites.longest_side, config.crop)
        return Stepper(net, sampler, config, device=self._device, side=side, note=self._note)

    def _network(self) -> SegmentationNet:
        """The network to train, with what its card starts it from or with the stage before."""
        manifest = self._manifest
        if manifest.start_card is None:
            return self._loaded(manifest.model_card)
        card, former = load_card(manifest.model_card), load_card(manifest.start_card)
        net = self._loaded(dataclasses.replace(card, weights=None))
        checkpoint = read_checkpoint(weights_file(former) or manifest.start_card)
        net.load_stage(checkpoint.state, checkpoint.options)
        note = f"The network goes on from {former.title or former.id}, as its authors trained it in stages."
        net.loaded = Loaded(trunk="checkpoint", note=note)
        return net

    def _loaded(self, card: ModelCard | str | Path) -> SegmentationNet:
        """The network of a card for the run's classes; a download is told once and can be stopped."""
        told = False

        def downloading(_fraction: float) -> None:
            nonlocal told
            if not told:
                told = True
                self._note("The network's weights are being downloaded; they are kept for the next time.")

        classes = len(self._manifest.class_names)
        return load_model(
            card, device=str(self._device), classes=classes, progress=downloading, cancelled=self._cancelled
        )

    def _note(self, text: str) -> None:
        self._log(TrainNote(text=text))

    def _learn(self, stepper: Stepper, data: _Data) -> None:
        budget = self._budget
        try:
            while not budget.spent(self._step):
                budget.wait(self._paused, self._cancelled)
                if self._cancelled():
                    raise Cancelled
                loss, rate = stepper.step(self._step, budget.fraction(self._step))
                self._step += 1
                self._log(TrainStep(step=self._step, loss=loss, learning_rate=rate, seconds=budget.seconds))
                if budget.scoring_due(self._step):
                    self._score(stepper, data, self._cancelled)
            if budget.unscored(self._step):
                self._score(stepper, data, self._cancelled)
        except Cancelled:
            self._stopped = True
            if self._step and self._keeper.best is None:
                # Nothing is kept yet: what was learnt is scored once, so that stopping early loses nothing.
                self._score(stepper, data, _never)

    def _score(self, stepper: Stepper, data: _Data, cancelled: Ask) -> None:
        begin = time.monotonic()
        net = stepper.average.net
        score = evaluate(net, data.scored, device=self._device, cancelled=cancelled)
        best = self._keeper.offer(net, score)
        self._log(
            TrainValidation(step=self._step, miou=score.miou, loss=score.loss, per_class=score.per_class, best=best)
        )
        self._budget.scored(self._step, seconds=time.monotonic() - begin)

    def _finish(self, data: _Data, *, stopped_early: bool = False) -> RunResult:
        best = self._keeper.best
        parent = None if self._parent is None else self._parent.miou
        verdict = judge(
            child=None if best is None else best.miou, parent=parent, on_training_images=data.on_training_images
        )
        if best is None and (stopped_early or self._stopped):
            reason = "Stopped before anything was learnt; the model in use stays."
        else:
            reason = verdict.reason
        return RunResult(
            best_miou=None if best is None else best.miou,
            parent_miou=parent,
            accepted=verdict.accepted,
            reason=reason,
            steps=self._step,
            seconds=self._budget.seconds,
            card=self._keeper.card_path if best is not None else None,
            stopped=stopped_early or self._stopped,
        )
