"""Where samples to evaluate come from: a project and a model, two folders of masks, or two exports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, MAX_CLASSES, Catalog, voc_color
from segstudio.core.errors import FormatError, ImageError, UserError
from segstudio.core.items import ImageItem, Split, Status
from segstudio.core.metrics import ConfusionMatrix
from segstudio.core.segmentmap import SegmentMap
from segstudio.evaluation.coco_files import score_files
from segstudio.evaluation.evaluate import Evaluation, Metric, Sample
from segstudio.evaluation.regions import with_regions
from segstudio.formats.base import ImportedLabel, LoadRequest, load_for_image
from segstudio.formats.classes import ClassTable
from segstudio.formats.names import match_labels
from segstudio.imaging.decode import probe
from segstudio.imaging.labels import read_labels
from segstudio.imaging.scan import find_images
from segstudio.project.project import Project
from segstudio.services.importing import opened_source
from segstudio.services.manifests import teaches

Labels = npt.NDArray[np.uint8]
ALL: Final = "all"
SPLITS: Final = (*(str(split) for split in Split), ALL)
REGIONS_SENTENCE: Final = "Predictions know no instances: each connected region of a thing counts as one."


# ------------------------------------------------------------------------------------------------------- projects


def labelled_items(items: Iterable[ImageItem], split: str) -> list[ImageItem]:
    """The images of a split ("train", "validation" or "all") that can be compared with anything.

    Raises:
        UserError: There are none, or no such split.
    """
    if split not in SPLITS:
        raise UserError(f'There is no split "{split}".', f"Use {', '.join(SPLITS[:-1])} or {SPLITS[-1]}.")
    found = [item for item in items if teaches(item) and split in (ALL, item.split)]
    if not found:
        raise UserError(f"No labelled image is in the split {split}.", "Label one, or choose another split.")
    return found


def project_samples(
    project: Project, catalog: Catalog, items: Sequence[ImageItem], files: dict[int, Path], *, regions: bool
) -> list[Sample]:
    """A sample for each image: its prediction in a file, its label in the project as it is when asked for.

    With `regions` the connected regions of things are the instances of a prediction, which has no others.
    """
    return [_project_sample(project, catalog, item, files[item.id], regions=regions) for item in items]


def has_instances(project: Project, items: Iterable[ImageItem]) -> bool:
    """True where the labels tell single objects apart."""
    maps = (project.load_map(item.id) for item in items)
    return any(segment_map is not None and segment_map.used_segments() for segment_map in maps)


def _project_sample(project: Project, catalog: Catalog, item: ImageItem, file: Path, *, regions: bool) -> Sample:
    def truth() -> SegmentMap:
        segment_map = project.load_map(item.id)
        if segment_map is None:
            raise FormatError(f"The labels of {item.name} are gone.", "Open the image once, then evaluate again.")
        if item.status is not Status.REVIEWED:
            segment_map = segment_map.copy()
            segment_map.ids[~segment_map.decided] = IGNORE
        return segment_map

    def load_semantic() -> tuple[Labels, Labels]:
        prediction, label = read_class_ids(file), truth().semantic()
        check_same_size(prediction, label, f"The prediction for {item.name}")
        return prediction, label

    def load() -> tuple[SegmentMap, SegmentMap]:
        prediction, label = SegmentMap.from_semantic(read_class_ids(file)), truth()
        check_same_size(prediction.ids, label.ids, f"The prediction for {item.name}")
        return (with_regions(prediction, catalog) if regions else prediction), label

    return Sample(name=item.name, image=item.path, load=load, load_semantic=load_semantic)


# -------------------------------------------------------------------------------------------------------- folders


def folder_samples(predictions: Path, labels: Path, *, images: Path | None = None) -> list[Sample]:
    """A sample for each index PNG in a folder of labels; its prediction has the same name in another.

    Raises:
        FormatError: There are no labels, or one has no prediction.
    """
    truth, guess, pictures = (_by_name(folder) for folder in (labels, predictions, images))
    if not truth:
        raise FormatError(f"There are no label images in {labels}.", "Give the folder of index PNG files.")
    _refuse_missing([name for name in truth if name not in guess], len(truth))
    return [_folder_sample(name, pictures.get(name), guess[name], path) for name, path in truth.items()]


def _folder_sample(name: str, image: Path | None, prediction: Path, label: Path) -> Sample:
    def load() -> tuple[Labels, Labels]:
        pair = read_class_ids(prediction), read_class_ids(label)
        check_same_size(*pair, f"The prediction {prediction.name}")
        return pair

    return Sample.of_labels(name, image, load)


def _by_name(folder: Path | None) -> dict[str, Path]:
    if folder is None:
        return {}
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in find_images(folder).paths}


# -------------------------------------------------------------------------------------------------------- exports


@contextmanager
def export_samples(
    name: str, predictions: Path, labels: Path, catalog: Catalog, *, images: Path | None = None
) -> Iterator[list[Sample]]:
    """A sample for each label in an export; its prediction is in another export of the same format.

    Files stay open until the end of the block. Classes of both are matched with the catalog by name, where the format
    has names.

    Raises:
        UserError: A source is not of that format, or a label has no prediction.
    """
    with opened_source(name, predictions) as guess, opened_source(name, labels) as truth:
        matches = match_labels(guess.labels, [label.name for label in truth.labels])
        found = dict(matches.pairs)
        missing = [label.name for index, label in enumerate(truth.labels) if index not in found]
        _refuse_missing(missing, len(truth.labels))
        tables = [ClassTable(source.classes, catalog) for source in (guess, truth)]
        background = catalog.background_id
        load = partial(_load_pair, tables, IGNORE if background is None else background)
        pictures = _pictures_of([label.name for label in truth.labels], images)
        yield [
            Sample(name=label.name, image=pictures[index], load=partial(load, found[index], label, pictures[index]))
            for index, label in enumerate(truth.labels)
        ]


def _load_pair(
    tables: Sequence[ClassTable],
    unlabelled: int,
    prediction: ImportedLabel,
    label: ImportedLabel,
    image: Path | None,
) -> tuple[SegmentMap, SegmentMap]:
    width, height = _size_of(label, image)
    guess, truth = (
        load_for_image(source, label.name, LoadRequest(table, width, height, unlabelled))
        for source, table in zip((prediction, label), tables, strict=True)
    )
    return guess, truth


def _size_of(label: ImportedLabel, image: Path | None) -> tuple[int, int]:
    """(width, height) as the label declares it, else of its image, else of itself where it is one."""
    if label.size is not None:
        return label.size
    try:
        info = probe(image or label.source)
    except ImageError as error:
        if image is not None:
            raise
        raise FormatError(
            f"{label.source.name} does not say how large {label.name} is.", "Give the folder of the images as well."
        ) from error
    return info.width, info.height


def _pictures_of(names: Sequence[str], images: Path | None) -> list[Path | None]:
    paths = _by_name(images)
    by_file = {path.name: path for path in paths.values()} | {path.stem: path for path in paths.values()}

    def picture(name: str) -> Path | None:
        bare = Path(name).with_suffix("").as_posix()
        return paths.get(name) or paths.get(bare) or by_file.get(Path(name).name) or by_file.get(Path(bare).name)

    return [picture(name) for name in names]


# ---------------------------------------------------------------------------------------------------- COCO results


def coco_evaluation(predictions: Path, labels: Path) -> Evaluation:
    """COCO's figures of a file of scored results against a file of instances; there are no pixels to count.

    Raises:
        FormatError: A file is not of that kind.
    """
    score, categories = score_files(labels, predictions)
    if not 0 < len(categories) <= MAX_CLASSES:
        raise FormatError(
            f"{labels.name} holds {len(categories)} categories.", f"Figures are made of 1 to {MAX_CLASSES}."
        )
    result = score.result()
    matrix = ConfusionMatrix(len(categories))
    return Evaluation(
        title=predictions.name,
        class_ids=tuple(range(len(categories))),
        class_names=tuple(name or f"category {number}" for number, name in categories.items()),
        colors=tuple(voc_color(place + 1) for place in range(len(categories))),
        matrix=matrix,
        summary=matrix.summary(),
        per_image=(),
        coco=replace(result, class_ap={place: result.class_ap[number] for place, number in enumerate(categories)}),
        notes={Metric.COCO: "Scored instances of two files; pixels are not counted."},
    )


# --------------------------------------------------------------------------------------------------------- shared


def read_class_ids(path: Path) -> Labels:
    """(H, W) uint8 class ids of an index PNG; values above 255 stand for no class.

    Raises:
        ImageError: The file cannot be read in full, or holds colours.
    """
    labels = read_labels(path)
    return np.minimum(labels, IGNORE).astype(np.uint8) if labels.dtype == np.uint16 else np.asarray(labels, np.uint8)


def check_same_size(prediction: npt.NDArray[np.integer], label: npt.NDArray[np.integer], what: str) -> None:
    """Returns where a prediction covers its label.

    Raises:
        FormatError: It does not; both sizes are named.
    """
    if prediction.shape != label.shape:
        raise FormatError(
            f"{what} is {prediction.shape[1]} x {prediction.shape[0]} pixels, "
            f"its label {label.shape[1]} x {label.shape[0]}.",
            "Predict at the size of the image.",
        )


def _refuse_missing(missing: Sequence[str], total: int) -> None:
    if missing:
        raise FormatError(
            f"{len(missing)} of {total} labels have no prediction ({missing[0]} is the first).",
            "Predict every image; both folders must use the same file names.",
        )
