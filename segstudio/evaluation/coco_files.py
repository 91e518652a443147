"""COCO's figures of two JSON files: instances as COCO publishes them against results as detectors write them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from segstudio.core.errors import FormatError
from segstudio.evaluation.coco import COCO_DETECTIONS, CocoInstance, CocoScore
from segstudio.imaging import rle
from segstudio.imaging.fills import fill_coco
from segstudio.imaging.polygons import sanitised
from segstudio.imaging.rle import Rle

_MAX_BYTES: Final = 512 * 2**20
_MAX_BRACKETS: Final = 10_000_000  # an empty list takes 3 bytes in the file and 64 in memory
_MAX_SIDE: Final = 65_535
_HINT: Final = "Check that it is a COCO file of instances."


def score_files(
    truth: Path, predictions: Path, *, max_detections: tuple[int, int, int] = COCO_DETECTIONS
) -> tuple[CocoScore, dict[int, str]]:
    """(score, names): every image of two files, ready for `CocoScore.result`, and the categories' names.

    Args:
        truth: Instances: images, categories and annotations with polygons or run lengths.
        predictions: A list of results (image_id, category_id, score, segmentation or bbox), areas taken as pycocotools'
            `loadRes` does; or a file of instances again, whose annotations may have scores.
        max_detections: See `CocoScore`.

    Raises:
        FormatError: A file cannot be read, is too large, or holds something that is no instance of a known image.
    """
    dataset = _read(truth)
    if not isinstance(dataset, dict):
        raise FormatError(f"{truth.name} holds no COCO data set.", _HINT)
    sizes = {_whole(row, "id", truth): _size(row, truth) for row in _rows(dataset, "images", truth)}
    names = {_whole(row, "id", truth): _text(row.get("name", "")) for row in _rows(dataset, "categories", truth)}
    true = _by_image(_rows(dataset, "annotations", truth), sizes, truth, results=False)
    guesses = _read(predictions)
    if isinstance(guesses, list):
        found = _by_image(_dicts(guesses, predictions), sizes, predictions, results=True)
    elif isinstance(guesses, dict):
        found = _by_image(_rows(guesses, "annotations", predictions), sizes, predictions, results=False)
    else:
        raise FormatError(f"{predictions.name} holds no COCO results.", _HINT)
    score = CocoScore(names, max_detections=max_detections)
    for image_id in sorted(sizes):
        score.add(found.get(image_id, ()), true.get(image_id, ()))
    return score, names


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FormatError(
                f"{path.name} is larger than {_MAX_BYTES // 2**20} MiB.", "Evaluate fewer images at a time."
            )
        data = path.read_bytes()
        if sum(map(data.count, (b"[", b"{"))) > _MAX_BRACKETS:
            raise FormatError(f"{path.name} holds too many lists.", "Evaluate fewer images at a time.")
        return json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} cannot be read as JSON ({error}).", "Check the file.") from error


def _rows(dataset: Mapping[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    rows = dataset.get(key)
    if not isinstance(rows, list):
        raise FormatError(f'{path.name} has no list of "{key}".', _HINT)
    return _dicts(rows, path)


def _dicts(rows: list[Any], path: Path) -> list[dict[str, Any]]:
    if not all(isinstance(row, dict) for row in rows):
        raise FormatError(f"{path.name} holds an entry that is not a table of values.", _HINT)
    return rows


def _by_image(
    rows: list[dict[str, Any]], sizes: Mapping[int, tuple[int, int]], path: Path, *, results: bool
) -> dict[int, list[CocoInstance]]:
    found: dict[int, list[CocoInstance]] = {}
    # pycocotools looks at the first result only; where it has a box, all areas are those of boxes.
    boxes_rule = results and bool(rows) and bool(rows[0].get("bbox"))
    for number, row in enumerate(rows):
        image_id = _whole(row, "image_id", path)
        if image_id not in sizes:
            raise FormatError(f"{path.name} holds an instance of image {image_id}, which is not known.", _HINT)
        try:
            instance = _instance(row, sizes[image_id], path, results=results, boxes_rule=boxes_rule)
        except ValueError as error:
            raise FormatError(f"Instance {number} of {path.name} cannot be used ({error}).", _HINT) from error
        found.setdefault(image_id, []).append(instance)
    return found


def _instance(
    row: Mapping[str, Any], size: tuple[int, int], path: Path, *, results: bool, boxes_rule: bool
) -> CocoInstance:
    shape = row.get("segmentation")
    mask = None if shape is None else _mask(shape, size)
    given = row.get("bbox")
    if given:
        bbox = _bbox(given)
    elif mask is not None:
        bbox = rle.bbox(mask)
    else:
        raise ValueError("it has neither a mask nor a box")
    own_area = float(rle.area(mask)) if mask is not None else bbox[2] * bbox[3]
    if boxes_rule:
        own_area = bbox[2] * bbox[3]
    elif not results and "area" in row:
        own_area = _finite(row["area"], "area")
    return CocoInstance(
        class_id=_whole(row, "category_id", path),
        bbox=bbox,
        area=own_area,
        rle=mask,
        crowd=not results and row.get("iscrowd") in (1, True),
        score=_finite(row.get("score", 1.0), "score"),
        box_area=own_area,
    )


def _mask(shape: object, size: tuple[int, int]) -> Rle:
    """The compressed run lengths of polygons or of run lengths in any form.

    Raises:
        ValueError: They are neither, or do not fit the image.
    """
    height, width = size
    if isinstance(shape, list):
        polygons = [sanitised(points, width, height) for points in shape]
        part, rect = fill_coco(polygons, height, width)
        return rle.encode_part(part, rect, height, width)
    if not isinstance(shape, dict):
        raise ValueError("its segmentation is neither a list of polygons nor run lengths")
    part, rect = rle.decode_part(shape, shape=size)
    return rle.encode_part(part, rect, height, width)


def _bbox(given: object) -> tuple[float, float, float, float]:
    if not isinstance(given, list) or len(given) != 4:
        raise ValueError("its bbox is not [x, y, width, height]")
    left, top, width, height = (_finite(v, "bbox") for v in given)
    if width < 0 or height < 0:
        raise ValueError("its bbox has a negative size")
    return left, top, width, height


def _size(row: Mapping[str, Any], path: Path) -> tuple[int, int]:
    height, width = _whole(row, "height", path), _whole(row, "width", path)
    if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
        raise FormatError(f"{path.name} holds an image of {width} x {height} pixels.", _HINT)
    return height, width


def _text(value: object) -> str:
    """A name as far as it can be written: JSON lets through halves of characters."""
    return str(value).encode("utf-8", "replace").decode()


def _whole(row: Mapping[str, Any], key: str, path: Path) -> int:
    value = row.get(key)
    if type(value) is not int or abs(value) >= 2**63:
        raise FormatError(f'{path.name} holds an entry whose "{key}" is not a whole number.', _HINT)
    return value


def _finite(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"its {what} is not a number")
    number = float(value) if abs(value) < 2**63 else math.nan
    if not math.isfinite(number):
        raise ValueError(f"its {what} is not a finite number")
    return number
