"""Which crops a run learns from: always around pixels that a person decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.training.augment import Lens, random_shifts, random_view, recolor
from segstudio.training.config import TrainConfig
from segstudio.training.dataset import Dataset, LabelledPixels, Sites
from segstudio.training.weight_map import class_weights, weight_map

_TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Crop:
    """What is learnt from: pixels (h + 2c, w + 2c, 3) uint8 with c px of context, labels (h, w) uint8.

    ``weights`` (h, w) float32 is how much each pixel counts; None where all count alike.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    weights: npt.NDArray[np.float32] | None = None


class CropSampler:
    """Endless crops, each with at least one decided pixel, with ``context`` px more than labels on each side."""

    def __init__(
        self, dataset: Dataset, sites: Sites, rng: np.random.Generator, config: TrainConfig, *, context: int = 0
    ) -> None:
        self._dataset = dataset
        self._sites = sites
        self._rng = rng
        self._config = config
        self._context = context
        self._class_weights = class_weights(sites.counts)
        held: dict[int, list[int]] = {}
        for k in sites.present:
            for item in sites.pixels[k]:
                held.setdefault(item, []).append(k)
        self._classes_of = held
        self._labelled = sorted(held)

    def _site(self) -> tuple[int, int, int]:
        """(item, row, column) of a decided pixel: of a class drawn first, or of an image drawn first."""
        rng, sites = self._rng, self._sites
        if rng.random() < self._config.class_balance:
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

    def crop(self, side: int) -> Crop:
        """A crop whose labels are (side, side), or a whole smaller image where the run takes them whole."""
        item, row, column = self._site()
        pair = self._dataset[item]
        if self._config.whole_images and max(pair.labels.shape) <= side:
            pixels, labels, instances = self._whole(pair)
        else:
            pixels, labels, instances = self._part(pair, row, column, side)
        pixels = recolor(pixels, self._rng, self._config.augment)
        if not self._config.border_weight:
            return Crop(pixels, labels)
        weights = weight_map(
            labels,
            self._class_weights,
            background=self._dataset.background,
            instances=instances,
            strength=self._config.border_weight,
            sigma=self._config.border_sigma,
        )
        return Crop(pixels, labels, weights)

    def _whole(self, pair: LabelledPixels) -> _Arrays:
        """The image as it is, mirrored half of the time where that is wanted; its context is the network's matter."""
        if self._config.augment.flip and self._rng.random() < 0.5:
            instances = None if pair.instances is None else np.ascontiguousarray(pair.instances[:, ::-1])
            return np.ascontiguousarray(pair.image[:, ::-1]), np.ascontiguousarray(pair.labels[:, ::-1]), instances
        return pair.image, pair.labels, pair.instances

    def _part(self, pair: LabelledPixels, row: int, column: int, side: int) -> _Arrays:
        """A square near (row, column)."""
        config = self._config.augment
        for attempt in range(_TRIES):
            # The last try is centred on the decided pixel itself, which the nearest-pixel warp cannot miss.
            last = attempt == _TRIES - 1
            jitter = side / 2 * (1 - attempt / (_TRIES - 1))
            view = random_view(self._rng, config, row=row, column=column, jitter=jitter, shape=pair.labels.shape)
            wide = side | 1 if last else side
            shifts = None
            if config.elastic and not last:
                shifts = random_shifts(self._rng, config.elastic, wide + 2 * self._context)
            lens = Lens(view=view, side=wide, context=self._context, shifts=shifts)
            labels = lens.nearest(pair.labels, outside=IGNORE)[:side, :side]
            if (labels != IGNORE).any():
                break
        instances = None if pair.instances is None else lens.nearest(pair.instances, outside=0)[:side, :side]
        full = side + 2 * self._context
        return lens.pixels(pair.image)[:full, :full], labels, instances

    def batch(self, count: int, side: int) -> list[Crop]:
        """``count`` crops of one size."""
        return [self.crop(side) for _ in range(count)]


_Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint16] | None]
