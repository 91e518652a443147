"""A small project with everything that labels have and readers get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from segstudio.core.catalog import IGNORE, Catalog, Kind, LabelClass
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import LabelledImage

BACKGROUND, CAT, TREES, SIGN = 0, 3, 7, 12

CATALOG = Catalog(
    [
        LabelClass(id=SIGN, name="traffic sign", color=(220, 220, 0)),
        LabelClass(id=BACKGROUND, name="background", color=(0, 0, 0), kind=Kind.STUFF),
        LabelClass(id=TREES, name="Bäume", color=(107, 142, 35), kind=Kind.STUFF),
        LabelClass(id=CAT, name="gros chat", color=(64, 0, 128)),
    ]
)
WATER = LabelClass(id=BACKGROUND, name="eau", color=(0, 0, 250), kind=Kind.STUFF)
STREET_NAMES = {BACKGROUND: "road", CAT: "car", TREES: "vegetation", SIGN: "person"}
STREETS = Catalog(replace(c, name=STREET_NAMES[c.id]) for c in CATALOG)


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Images with their labels by name; the file names are unique without suffix and folder."""

    catalog: Catalog
    images: list[LabelledImage]

    @property
    def labels(self) -> dict[str, SegmentMap]:
        """By the names of the images."""
        return {image.name: image.load() for image in self.images}

    @property
    def labels_by_stem(self) -> dict[str, SegmentMap]:
        """By file name without suffix and folder, which most readers go by."""
        return {Path(image.name).stem: image.load() for image in self.images}


def made_up(folder: Path, *, catalog: Catalog = CATALOG) -> LabelledData:
    """The project, its image files below `folder`; names hold spaces, folders and letters of three scripts."""
    labels = {
        "bild ä 1.png": (_crowded(), "train"),
        "sous dossier/猫.jpg": (_at_the_edges(), "validation"),
        "empty.png": (_plain(), "test"),
        "painted.png": (_painted(), "train"),
    }
    images = []
    for index, (name, (segment_map, split)) in enumerate(labels.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 256, (*segment_map.shape, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        images.append(
            LabelledImage(
                name=name,
                path=path,
                load=segment_map.copy,
                width=segment_map.width,
                height=segment_map.height,
                split=split,
            )
        )
    return LabelledData(catalog, images)


def streets(folder: Path) -> LabelledData:
    """The same project under names of Cityscapes, for readers that know no others."""
    return made_up(folder, catalog=STREETS)


def without_background(folder: Path) -> LabelledData:
    """The same project with a real class as class 0."""
    return made_up(folder, catalog=CATALOG.with_class(WATER))


def busy(folder: Path, *, catalog: Catalog) -> LabelledData:
    """Larger pictures with dozens of objects of all sizes, for figures over data sets; all things are instances."""
    images = []
    for index in range(5):
        rng = np.random.default_rng(index)
        ids = np.full((160, 210), TREES, dtype=np.uint16)
        ids[:50], ids[150:, :20] = BACKGROUND, IGNORE
        rows, columns = np.indices(ids.shape)
        classes = {}
        for number in range(256, 276):
            (y, x), (high, wide) = rng.uniform(0, ids.shape), rng.uniform(2, 45, 2)
            ids[((rows - y) / high) ** 2 + ((columns - x) / wide) ** 2 < 1] = number
            classes[number] = int(rng.choice([CAT, SIGN]))
        labels = _labels(ids, classes, crowds={258, 265})
        path = folder / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (labels.width, labels.height)).save(path)
        used = SegmentMap(ids, labels.decided, labels.used_segments())
        images.append(LabelledImage(name=path.name, path=path, load=used.copy, width=used.width, height=used.height))
    return LabelledData(catalog, images)


def disturbed(project: LabelledData) -> LabelledData:
    """The same images labelled by somebody careless: moved by a pixel, some objects missing, some of another class."""
    return replace(project, images=[replace(image, load=_careless(image.load())) for image in project.images])


def _careless(labels: SegmentMap) -> Callable[[], SegmentMap]:
    ids = np.roll(labels.ids, (1, -1), axis=(0, 1))
    ids[ids == IGNORE] = TREES
    segments = dict(labels.segments)
    for place, number in enumerate(labels.segments):
        if place % 4 == 1:
            ids[ids == number] = BACKGROUND
        swapped = {CAT: SIGN, SIGN: CAT}[segments[number].class_id]
        segments[number] = Segment(number, swapped if place % 4 == 2 else segments[number].class_id)
    changed = SegmentMap(ids, labels.decided, segments)
    return SegmentMap(ids, labels.decided, changed.used_segments()).copy


def _crowded() -> SegmentMap:
    """Two cats that touch, one with a hole; a sign in two parts; a crowd; a cat of one pixel; trees; void."""
    ids = np.zeros((40, 61), dtype=np.uint16)
    ids[30:40, :] = TREES
    ids[4:20, 5:25] = 256
    ids[9:14, 10:17] = BACKGROUND
    ids[4:20, 25:40] = 257
    ids[4:9, 44:50] = 258
    ids[12:17, 44:50] = 258
    ids[22:29, 3:30] = 259
    ids[25, 55] = 260
    ids[20, 5:40] = IGNORE
    classes = {256: CAT, 257: CAT, 258: SIGN, 259: CAT, 260: CAT}
    return _labels(ids, classes, crowds={259})


def _at_the_edges() -> SegmentMap:
    """Signs in the corners, one across the whole width, and two that meet in a point only."""
    ids = np.full((33, 47), TREES, dtype=np.uint16)
    ids[:6, :7] = 256
    ids[-5:, -9:] = 257
    ids[15:18, :] = 258
    ids[20:24, 10:14] = 259
    ids[24:28, 14:18] = 260
    ids[:, 30] = IGNORE
    return _labels(ids, dict.fromkeys(range(256, 261), SIGN))


def _plain() -> SegmentMap:
    return _labels(np.zeros((20, 30), dtype=np.uint16), {})


def _painted() -> SegmentMap:
    """Things and stuff that nobody told apart: two cats, a sign that meets one at a corner, trees in two parts."""
    ids = np.zeros((25, 36), dtype=np.uint16)
    ids[2:8, 2:9] = CAT
    ids[4:6, 4:6] = BACKGROUND
    ids[10:20, 20:30] = CAT
    ids[8:12, 9:13] = SIGN
    ids[20:, :8] = TREES
    ids[:4, 30:] = TREES
    return _labels(ids, {})


def _labels(ids: np.ndarray, classes: dict[int, int], crowds: set[int] | None = None) -> SegmentMap:
    segments = {number: Segment(number, class_id, number in (crowds or ())) for number, class_id in classes.items()}
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)
