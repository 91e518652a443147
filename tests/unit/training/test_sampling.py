from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.errors import UserError
from segstudio.imaging.labels import write_index_png
from segstudio.training.config import AugmentConfig, TrainConfig
from segstudio.training.dataset import Dataset, survey
from segstudio.training.manifest import ManifestItem
from segstudio.training.sampling import CropSampler

OFF = AugmentConfig(flip=False, quarter_turns=False, scale=1.0, rotate=0.0, brightness=0.0, contrast=0.0, noise=0.0)


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
    sampler = CropSampler(data, survey(data, rng), rng, TrainConfig(augment=AugmentConfig(scale=2.0)))

    for _ in range(100):
        crop = sampler.crop(32)
        assert crop.pixels.shape == (32, 32, 3)
        assert crop.labels.shape == (32, 32)
        assert (crop.labels == 1).any()
        assert crop.weights is None


def test_a_rare_class_is_seen_far_more_often_than_its_share(tmp_path: Path) -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[2:5, 2:5] = 1
    data = dataset(tmp_path, [mask])
    rng = np.random.default_rng(0)
    config = TrainConfig(class_balance=1.0, augment=AugmentConfig(scale=1.0))
    sampler = CropSampler(data, survey(data, rng), rng, config)

    seen = sum((sampler.crop(32).labels == 1).any() for _ in range(100))
    assert seen > 30


def test_whole_images_come_as_they_are_and_larger_ones_in_pieces(tmp_path: Path) -> None:
    small, large = np.zeros((40, 30), np.uint8), np.zeros((40, 90), np.uint8)
    small[:7] = 1
    data = dataset(tmp_path, [small, large])
    rng = np.random.default_rng(0)
    config = TrainConfig(whole_images=True, batch=1, class_balance=0.0, augment=OFF)
    sampler = CropSampler(data, survey(data, rng), rng, config, context=8)

    crops = [sampler.crop(64) for _ in range(20)]

    assert {crop.labels.shape for crop in crops} == {(40, 30), (64, 64)}
    for crop in crops:
        if crop.labels.shape == (40, 30):
            np.testing.assert_array_equal(crop.labels, small)
            assert crop.pixels.shape == (40, 30, 3)
        else:
            assert crop.pixels.shape == (80, 80, 3)


def test_a_mirrored_whole_image_has_mirrored_labels(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :5] = 1
    data = dataset(tmp_path, [mask])
    rng = np.random.default_rng(0)
    config = TrainConfig(whole_images=True, batch=1, augment=AugmentConfig(flip=True))
    sampler = CropSampler(data, survey(data, rng), rng, config)

    assert {bool(sampler.crop(64).labels[0, 0]) for _ in range(20)} == {True, False}


def test_context_is_cut_around_the_labels(tmp_path: Path) -> None:
    data = dataset(tmp_path, [np.zeros((100, 100), np.uint8)])
    rng = np.random.default_rng(0)
    config = TrainConfig(augment=AugmentConfig(elastic=4.0))
    crop = CropSampler(data, survey(data, rng), rng, config, context=12).crop(40)

    assert crop.labels.shape == (40, 40)
    assert crop.pixels.shape == (64, 64, 3)


def test_a_bent_crop_still_holds_a_decided_pixel(tmp_path: Path) -> None:
    mask = undecided()
    mask[0, 99] = 1
    data = dataset(tmp_path, [mask])
    rng = np.random.default_rng(0)
    config = TrainConfig(augment=AugmentConfig(elastic=30.0, scale=2.0))
    sampler = CropSampler(data, survey(data, rng), rng, config)

    assert all((sampler.crop(32).labels == 1).any() for _ in range(50))


def test_borders_weigh_more_where_the_recipe_wants_it(tmp_path: Path) -> None:
    mask = np.zeros((80, 80), np.uint8)
    mask[20:60, 20:38] = mask[20:60, 41:60] = 1
    data = dataset(tmp_path, [mask])
    data.background = 0
    rng = np.random.default_rng(0)
    config = TrainConfig(border_weight=10.0, whole_images=True, batch=1, augment=OFF)
    weights = CropSampler(data, survey(data, rng), rng, config).crop(96).weights

    assert weights is not None
    assert weights[40, 39] > 7
    assert weights[5, 5] < 1


def test_touching_instances_are_parted_before_they_teach(tmp_path: Path) -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[4:16, 4:16] = 1
    instances = np.where(np.arange(20) < 10, 300, 301) * mask.astype(np.uint16)
    data = dataset(tmp_path, [mask])
    path = tmp_path / "instances.png"
    write_index_png(path, instances.astype(np.uint16))
    item = replace(data.items[0], instances=path)

    pair = Dataset([item], classes=2, background=0)[0]

    assert pair.labels[8].tolist() == [0] * 4 + [1] * 5 + [0] * 2 + [1] * 5 + [0] * 4
    assert pair.instances is not None
    assert pair.instances[8, 8:12].tolist() == [300, 0, 0, 301]


def test_instances_of_another_size_are_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path, [np.zeros((20, 20), np.uint8)])
    path = tmp_path / "instances.png"
    write_index_png(path, np.ones((9, 9), np.uint16))

    with pytest.raises(UserError, match="instances of 0"):
        Dataset([replace(data.items[0], instances=path)], classes=2)[0]


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


def test_threads_may_read_while_the_cache_is_trimmed(tmp_path: Path) -> None:
    data = dataset(tmp_path, [np.zeros((50, 50), np.uint8)] * 6, budget=25_000)
    with ThreadPoolExecutor(4) as threads:
        seen = list(threads.map(lambda index: int(data[index % 6].image[0, 0, 0]), range(120)))

    assert seen == [index % 6 for index in range(120)]


def test_labels_of_another_size_are_refused_with_both_sizes(tmp_path: Path) -> None:
    data = dataset(tmp_path, [undecided(20)])
    write_index_png(data.items[0].mask, undecided(21))

    with pytest.raises(UserError, match="21 x 21, its image is 20 x 20"):
        data[0]


def test_a_channel_the_model_has_not_is_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path, [np.full((20, 20), 5, np.uint8)])

    with pytest.raises(UserError, match="channel 5"):
        data[0]
