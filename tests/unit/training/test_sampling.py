from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.errors import UserError
from segstudio.imaging.labels import write_index_png
from segstudio.training.config import AugmentConfig
from segstudio.training.dataset import Dataset, survey
from segstudio.training.manifest import ManifestItem
from segstudio.training.sampling import CropSampler


def dataset(folder: Path, masks: list[np.ndarray], *, classes: int = 2, budget: int = 1 << 30) -> Dataset:
    items = []
    for index, mask in enumerate(masks):
        image, path = folder / f"{index}.png", folder / f"{index}-mask.png"
        cv2.imwrite(str(image), np.full((*mask.shape, 3), index, np.uint8))
        write_index_png(path, mask)
        items.append(ManifestItem(image=image, mask=path, split="train", name=image.name))
    return Dataset(items, classes=classes, budget=budget)


def undecided(side: int = 100) -> np.ndarray:
    return np.full((side, side), 255, np.uint8)


def test_every_crop_holds_a_decided_pixel_even_if_there_is_only_one(tmp_path: Path) -> None:
    mask = undecided()
    mask[7, 93] = 1
    data = dataset(tmp_path, [undecided(), mask])
    rng = np.random.default_rng(0)
    sampler = CropSampler(data, survey(data, rng), rng, augment=AugmentConfig(scale=2.0), class_balance=0.5)

    for _ in range(100):
        image, labels = sampler.crop(32)
        assert image.shape == (32, 32, 3)
        assert labels.shape == (32, 32)
        assert (labels == 1).any()


def test_a_rare_class_is_seen_far_more_often_than_its_share(tmp_path: Path) -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[2:5, 2:5] = 1
    data = dataset(tmp_path, [mask])
    rng = np.random.default_rng(0)
    sampler = CropSampler(data, survey(data, rng), rng, augment=AugmentConfig(scale=1.0), class_balance=1.0)

    seen = sum((sampler.crop(32)[1] == 1).any() for _ in range(100))
    assert seen > 30


def test_the_survey_counts_decided_pixels_only(tmp_path: Path) -> None:
    mask = undecided(30)
    mask[:2] = 0
    data = dataset(tmp_path, [mask])
    sites = survey(data, np.random.default_rng(0))

    assert (sites.decided, sites.present, sites.counts) == (60, (0,), (60, 0))


def test_the_cache_stays_within_its_budget(tmp_path: Path) -> None:
    data = dataset(tmp_path, [np.zeros((50, 50), np.uint8)] * 4, budget=25_000)
    for index in range(4):
        assert data[index].image[0, 0, 0] == index
    first = data[0]

    assert data[0] is first
    assert sum(entry.nbytes for entry in data._cache.values()) <= 25_000


def test_labels_of_another_size_are_refused_with_both_sizes(tmp_path: Path) -> None:
    data = dataset(tmp_path, [undecided(20)])
    write_index_png(data.items[0].mask, undecided(21))

    with pytest.raises(UserError, match="21 x 21, its image is 20 x 20"):
        data[0]


def test_a_channel_the_model_has_not_is_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path, [np.full((20, 20), 5, np.uint8)])

    with pytest.raises(UserError, match="channel 5"):
        data[0]
