"""datumaro opens a data set: FORMAT ("voc", "coco_instances", "coco_panoptic", "coco_stuff", "cvat"), FOLDER.

Of no use here: its YOLO reads boxes only, its Cityscapes drops class 0, its "label_me" is another program's XML.

Data: label names; per item its id, subset and segments: type, label name, box (x, y, width, height) in pixels, group,
attributes. Arrays: "<index>/masks", packed, of the segments that have one; a segment's "mask" is its place there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from answering import Answer, answer_with, packed
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
from pycocotools import mask as coco_mask


def read(kind: str, folder: str) -> Answer:
    dataset = Dataset.import_from(folder, kind)
    labels = [label.name for label in dataset.categories()[AnnotationType.label].items]
    items, arrays = [], {}
    for index, item in enumerate(sorted(dataset, key=lambda item: (item.subset, item.id))):
        masks: list[np.ndarray] = []
        segments = []
        for annotation in item.annotations:
            segment = _described(annotation, labels)
            mask = _mask(annotation, item)
            if mask is not None:
                segment["mask"] = len(masks)
                masks.append(mask)
            segments.append(segment)
        arrays[f"{index}/masks"] = packed(masks)
        items.append({"id": item.id, "subset": item.subset, "segments": segments})
    return {"classes": labels, "images": items}, arrays


def _described(annotation: Any, labels: list[str]) -> dict[str, Any]:
    return {
        "type": annotation.type.name,
        "label": None if annotation.label is None else labels[annotation.label],
        "box": annotation.get_bbox(),
        "group": annotation.group,
        "attributes": dict(annotation.attributes),
    }


def _mask(annotation: Any, item: Any) -> np.ndarray | None:
    if annotation.type is AnnotationType.mask:
        return np.asarray(annotation.image)
    if annotation.type is AnnotationType.polygon:
        height, width = item.media.size
        return coco_mask.decode(coco_mask.frPyObjects([annotation.points], height, width))[..., 0]
    return None


if __name__ == "__main__":
    answer_with(read)
