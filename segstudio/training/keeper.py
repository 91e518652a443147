"""What a run leaves behind: its log, and the best weights so far with their card."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from segstudio.core.runs import RunResult, TrainEvent
from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import ModelCard, WeightsRef, file_sha256, load_card, save_card
from segstudio.nets.checkpoint import save_checkpoint
from segstudio.training.evaluate import Score
from segstudio.training.manifest import Manifest

LOG_NAME: Final = "log.jsonl"
CHECKPOINT_NAME: Final = "checkpoint.pt"
CARD_NAME: Final = "card.toml"
_RUN_SUFFIX: Final = re.compile(r"-run-.+$")
_TITLE_SUFFIX: Final = re.compile(r", run .+$")


class RunLog:
    """Writes each event as a line of ``log.jsonl`` and hands it on."""

    def __init__(self, folder: Path, report: Callable[[TrainEvent], None]) -> None:
        self._path = folder / LOG_NAME
        self._report = report
        self._file: IO[str] | None = None

    def __enter__(self) -> RunLog:
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __call__(self, event: TrainEvent) -> None:
        self._write(event)
        self._report(event)

    def close_with(self, result: RunResult) -> None:
        """Writes how the run ended; the caller gets that as a value, not as an event."""
        self._write(result)

    def _write(self, record: TrainEvent | RunResult) -> None:
        if self._file is not None:
            self._file.write(record.to_line() + "\n")


class Keeper:
    """The best weights so far, on disk: a run that is killed leaves them whole."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._origin: ModelCard = load_card(manifest.model_card)
        self.best: Score | None = None
        self.card_path = folder / CARD_NAME

    def offer(self, net: SegmentationNet, score: Score) -> bool:
        """Whether the weights are the best so far; then they and their card are on disk.

        A tie goes to the later weights with the lower loss: they are surer of the same answer.
        """
        if not math.isfinite(score.miou):
            return False
        best = self.best
        if best is not None and (score.miou, -score.loss) <= (best.miou, -best.loss):
            return False
        checkpoint = self._folder / CHECKPOINT_NAME
        draft = checkpoint.with_name(f".{CHECKPOINT_NAME}.part")
        save_checkpoint(net, draft)
        digest = file_sha256(draft)
        draft.replace(checkpoint)
        save_card(self._card(score, digest), self.card_path)
        self.best = score
        return True

    def _card(self, score: Score, digest: str) -> ModelCard:
        origin, run = self._origin, self._folder.name
        base = _RUN_SUFFIX.sub("", origin.id)
        title = _TITLE_SUFFIX.sub("", origin.title or base)
        metrics = {"miou": score.miou, "loss": score.loss, "pixels": float(score.pixels)}
        return dataclasses.replace(
            origin,
            id=f"{base}-run-{run}"[:100],
            title=f"{title}, run {run}",
            classes=self._manifest.class_names,
            weights=WeightsRef(file=CHECKPOINT_NAME, sha256=digest, license=_weights_license(origin)),
            trained=True,
            parent=origin.id,
            run=run,
            merit="",
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            path=None,
        )


def _weights_license(origin: ModelCard) -> str:
    """The licence the starting weights came under, which their children inherit."""
    return origin.weights.license if origin.weights is not None else ""
