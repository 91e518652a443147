"""Which crops a run learns from: always around pixels that a person decided."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.training.augment import cut, random_view, recolor
from segstudio.training.config import AugmentConfig
from segstudio.training.dataset import Dataset, Sites

_TRIES: Final = 4


class CropSampler:
    """Endless crops; every one holds at least one decided pixel."""

    def __init__(
        self,
        dataset: Dataset,
        sites: Sites,
        rng: np.random.Generator,
        *,
        augment: AugmentConfig,
        class_balance: float,
    ) -> None:
        self._dataset = dataset
        self._sites = sites
        self._rng = rng
        self._augment = augment
        self._balance = class_balance
        held: dict[int, list[int]] = {}
        for k in sites.present:
            for item in sites.pixels[k]:
                held.setdefault(item, []).append(k)
        self._classes_of = held
        self._labelled = sorted(held)

    def _site(self) -> tuple[int, int, int]:
        """(item, row, column) of a decided pixel: of a class drawn first, or of an image drawn first."""
        rng, sites = self._rng, self._sites
        if rng.random() < self._balance:
            k = int(rng.choice(sites.present))
            item = int(rng.choice(sorted(sites.pixels[k])))
        else:
            item = int(rng.choice(self._labelled))
            kinds = self._classes_of[item]
            shares = np.array([len(sites.pixels[k][item]) for k in kinds], np.float64)
            k = int(rng.choice(kinds, p=shares / shares.sum()))
        places = sites.pixels[k][item]
        row, column = places[int(rng.integers(len(places)))]
        return item, int(row), int(column)

    def crop(self, side: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """A (side, side, 3) crop and its (side, side) labels."""
        item, row, column = self._site()
        pair = self._dataset[item]
        for attempt in range(_TRIES):
            # The last try is centred on the decided pixel itself, which the nearest-pixel warp cannot miss.
            jitter = side / 2 * (1 - attempt / (_TRIES - 1))
            view = random_view(self._rng, self._augment, row=row, column=column, jitter=jitter, shape=pair.labels.shape)
            image, labels = cut(pair.image, pair.labels, view, side | 1 if attempt == _TRIES - 1 else side)
            image, labels = image[:side, :side], labels[:side, :side]
            if (labels != IGNORE).any():
                break
        return recolor(image, self._rng, self._augment), labels

    def batch(self, count: int, side: int) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]:
        """``count`` crops and their labels stacked to (count, side, side)."""
        pairs = [self.crop(side) for _ in range(count)]
        return [image for image, _ in pairs], np.stack([labels for _, labels in pairs])
