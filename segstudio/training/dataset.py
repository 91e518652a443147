"""The images and masks of a run, read once, checked, and kept in memory within a budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.core.errors import UserError
from segstudio.imaging.decode import read_image, read_labels
from segstudio.training.manifest import ManifestItem
from segstudio.training.weight_map import separated

_CACHE_BYTES: Final = 512 << 20
_SITES_PER_CLASS: Final = 4096
_AGAIN: Final = "Start the training again; it copies the labels anew."


@dataclass(frozen=True, slots=True)
class LabelledPixels:
    """One image (H, W, 3) uint8 RGB and its labels (H, W) uint8: channel numbers, 255 where nothing is taught.

    ``instances`` (H, W) uint16 tells objects apart, 0 where a pixel belongs to none; None where nobody did.
    """

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.uint16] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.image.nbytes + self.labels.nbytes + (0 if self.instances is None else self.instances.nbytes)


class Dataset:
    """The items of one split; each is decoded when first asked for and again only after the budget pushed it out.

    Instances that touch are parted by the class ``background``; where that is None they are left as they are. Several
    threads may ask.
    """

    def __init__(
        self,
        items: Sequence[ManifestItem],
        *,
        classes: int,
        background: int | None = None,
        budget: int = _CACHE_BYTES,
    ) -> None:
        self.items = tuple(items)
        self.classes = classes
        self.background = background
        self._budget = budget
        self._cache: OrderedDict[int, LabelledPixels] = OrderedDict()
        # Crops are cut on a thread of their own while the same images may be scored on another.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> LabelledPixels:
        """The pixels of item ``index``.

        Raises:
            UserError: The image or its mask cannot be read, or they do not fit each other.
        """
        with self._lock:
            found = self._cache.get(index)
            if found is None:
                found = self._read(index)
                self._cache[index] = found
                self._trim()
            self._cache.move_to_end(index)
            return found

    def _trim(self) -> None:
        used = sum(entry.nbytes for entry in self._cache.values())
        while used > self._budget and len(self._cache) > 1:
            used -= self._cache.popitem(last=False)[1].nbytes

    def labels(self, index: int) -> npt.NDArray[np.uint8]:
        """The labels of item ``index`` alone, (H, W) uint8: a small file, where the image may take a tenth of a second.

        Raises:
            UserError: The mask cannot be read or names a channel the model has not.
        """
        item = self.items[index]
        labels = read_labels(item.mask)
        unknown = (labels != IGNORE) & (labels >= self.classes)
        if unknown.any():
            raise UserError(
                f"The labels of {item.name} hold channel {int(labels[unknown][0])}, the model has {self.classes}.",
                _AGAIN,
            )
        return np.ascontiguousarray(labels, np.uint8)

    def _read(self, index: int) -> LabelledPixels:
        item = self.items[index]
        labels = self.labels(index)
        image = read_image(item.image).rgb
        if labels.shape != image.shape[:2]:
            height, width = labels.shape
            raise UserError(
                f"The labels of {item.name} are {width} x {height}, its image is {image.shape[1]} x {image.shape[0]}.",
                _AGAIN,
            )
        if item.instances is None:
            return LabelledPixels(image, labels)
        instances = read_labels(item.instances).astype(np.uint16)
        if instances.shape != labels.shape:
            raise UserError(f"The instances of {item.name} are not as large as its labels.", _AGAIN)
        if self.background is not None:
            labels, instances = separated(labels, instances, self.background)
        return LabelledPixels(image, labels, instances)


@dataclass(frozen=True, slots=True)
class Sites:
    """Places worth looking at: per class, the items that hold it and up to 4096 of its pixels in each.

    ``pixels[k][item]`` is (n, 2) int32 of (row, column); ``counts[k]`` is the number of decided pixels of class k;
    ``longest_side`` is that of the largest image.
    """

    pixels: tuple[dict[int, npt.NDArray[np.int32]], ...]
    counts: tuple[int, ...]
    longest_side: int

    @property
    def present(self) -> tuple[int, ...]:
        """The channels with at least one decided pixel."""
        return tuple(k for k, count in enumerate(self.counts) if count)

    @property
    def decided(self) -> int:
        """The number of decided pixels."""
        return sum(self.counts)


def survey(dataset: Dataset, rng: np.random.Generator) -> Sites:
    """Where the decided pixels of ``dataset`` are; reads every mask once and no image."""
    pixels: list[dict[int, npt.NDArray[np.int32]]] = [{} for _ in range(dataset.classes)]
    counts = [0] * dataset.classes
    longest = 1
    for index in range(len(dataset)):
        labels = dataset.labels(index)
        longest = max(longest, *labels.shape)
        flat = labels.ravel()
        sizes = np.bincount(flat, minlength=256)
        for k in range(dataset.classes):
            total = int(sizes[k])
            if total == 0:
                continue
            counts[k] += total
            places = np.flatnonzero(flat == k)
            if total > _SITES_PER_CLASS:
                places = places[np.sort(rng.choice(total, _SITES_PER_CLASS, replace=False))]
            pixels[k][index] = np.stack(np.divmod(places, labels.shape[1]), axis=1).astype(np.int32)
    return Sites(tuple(pixels), tuple(counts), longest)
