"""Proposals that wait on disk until their image is opened: the project's deletable cache."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from segstudio.core.prediction import Prediction

_FOLDER: Final = Path("cache") / "proposals"


class ProposalStore:
    """One file per image. A damaged or foreign file counts as absent: the network can always propose again."""

    def __init__(self, project: Path) -> None:
        self._folder = project / _FOLDER

    def save(self, image_id: int, prediction: Prediction) -> None:
        """Keeps labels and confidence; probabilities (megabytes an image) are left out.

        Raises:
            OSError: The disk refused.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(image_id)
        draft = path.with_suffix(".part")
        with draft.open("wb") as stream:
            np.savez_compressed(
                stream,
                labels=prediction.labels,
                confidence=prediction.confidence,
                class_ids=np.asarray(prediction.class_ids, dtype=np.uint8),
                model_id=np.asarray(prediction.model_id),
                flags=np.asarray([prediction.image_revision, prediction.refined, prediction.trained], dtype=np.int64),
            )
        draft.replace(path)

    def load(self, image_id: int) -> Prediction | None:
        """The waiting proposal of an image, or None."""
        try:
            # allow_pickle=False: a project may come from anywhere.
            with self._path(image_id).open("rb") as stream, np.load(stream, allow_pickle=False) as data:
                return _prediction(data)
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error):
            return None

    def clear(self) -> None:
        """Forgets every waiting proposal."""
        for path in self._folder.glob("*.npz"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _path(self, image_id: int) -> Path:
        return self._folder / f"{image_id}.npz"


def _prediction(data: Any) -> Prediction:
    labels, confidence = data["labels"], data["confidence"]
    if labels.ndim != 2 or labels.dtype != np.uint8 or confidence.shape != labels.shape:
        raise ValueError("not a proposal")
    revision, refined, trained = (int(v) for v in data["flags"])
    return Prediction(
        labels=labels,
        confidence=confidence.astype(np.uint8, copy=False),
        probabilities=None,
        class_ids=tuple(int(i) for i in data["class_ids"]),
        model_id=str(data["model_id"]),
        image_revision=revision,
        refined=bool(refined),
        trained=bool(trained),
    )
