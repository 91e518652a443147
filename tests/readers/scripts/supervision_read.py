"""supervision opens a data set: "coco" IMAGES JSON, "yolo" IMAGES LABELS YAML, or "voc" IMAGES ANNOTATIONS.

Data: class names in supervision's order; per image its file name, class numbers, boxes (x0, y0, x1, y1) in pixels and,
for COCO, crowd flags. Arrays: "<index>/masks", packed, in the file's order of segments.
"""

from __future__ import annotations

from pathlib import Path

import supervision
from answering import Answer, answer_with, packed


def read(kind: str, images: str, annotations: str, names: str = "") -> Answer:
    dataset = _open(kind, images, annotations, names)
    items, arrays = [], {}
    for index, path in enumerate(sorted(dataset.annotations)):
        found = dataset.annotations[path]
        arrays[f"{index}/masks"] = packed([] if found.mask is None else found.mask)
        items.append(
            {
                "image": Path(path).name,
                "classes": [] if found.class_id is None else found.class_id,
                "boxes": found.xyxy,
                "crowd": found.data.get("iscrowd", []),
            }
        )
    return {"classes": dataset.classes, "images": items}, arrays


def _open(kind: str, images: str, annotations: str, names: str) -> supervision.DetectionDataset:
    if kind == "coco":
        return supervision.DetectionDataset.from_coco(images, annotations, force_masks=True)
    if kind == "yolo":
        return supervision.DetectionDataset.from_yolo(images, annotations, names, force_masks=True)
    if kind == "voc":
        return supervision.DetectionDataset.from_pascal_voc(images, annotations)
    raise ValueError(kind)


if __name__ == "__main__":
    answer_with(read)
