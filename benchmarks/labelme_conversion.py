"""How fast labelme's own conversion writes VOC or COCO: images per second, as JSON on one line.

    PYTHON benchmarks/labelme_conversion.py FOLDER OUT {voc,coco} LABELS [--limit COUNT]

PYTHON is that of the environment "labelme" in `tests/readers/foreign.py`; nothing of the program's own is imported.
FOLDER holds labelme's JSON files and their images, LABELS is a labels file as labelme asks for: `__ignore__`,
`_background_`, then one class a line.

labelme 6 has no command for this. What it documents are the scripts beside its examples of instance segmentation,
`labelme2voc.py` and `labelme2coco.py`, which are not in its package; the steps here are theirs, with the options that
make them fastest:

- voc (`--noviz --nonpy`): open the file, decode its image, write it as JPEG, draw class and instance masks of all
  shapes (`labelme.utils.shapes_to_label`), write both as palette PNG (`imgviz.io.lblsave`).
- coco (`--noviz`): open, decode and write the image as above, draw each shape (`labelme.utils.shape_to_mask`), join
  those of one instance, encode it with pycocotools for area and box, keep the polygons as segmentation; one JSON file
  at the end. labelme refuses shapes of type "mask" here.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import imgviz
import labelme
import numpy as np
import pycocotools.mask
from loguru import logger


def class_values(labels: Path) -> dict[str, int]:
    """labelme's numbering of a labels file: -1 is ignored, 0 the background."""
    names = labels.read_text(encoding="utf-8").split("\n")
    return {name.strip(): value for value, name in enumerate(names, start=-1) if name.strip()}


def opened(path: Path, out: Path) -> tuple[labelme.LabelFile, np.ndarray, Path]:
    """A label file, its image, and the JPEG written of it."""
    label_file = labelme.LabelFile(filename=str(path))
    image = labelme.utils.img_data_to_arr(label_file.image_data)
    if image.ndim == 3 and image.shape[2] == 4:
        image = imgviz.rgba2rgb(image)
    jpeg = out / "JPEGImages" / f"{path.stem}.jpg"
    imgviz.io.imsave(jpeg, image)
    return label_file, image, jpeg


def to_voc(files: list[Path], out: Path, values: dict[str, int]) -> None:
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject"):
        (out / folder).mkdir(parents=True)
    for path in files:
        label_file, image, _ = opened(path, out)
        classes, instances = labelme.utils.shapes_to_label(image.shape, label_file.shapes, values)
        instances[classes == -1] = 0
        imgviz.io.lblsave(out / "SegmentationClass" / f"{path.stem}.png", classes.astype(np.uint8))
        imgviz.io.lblsave(out / "SegmentationObject" / f"{path.stem}.png", instances.astype(np.uint8))


def to_coco(files: list[Path], out: Path, values: dict[str, int]) -> None:
    (out / "JPEGImages").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for path in files:
        label_file, image, jpeg = opened(path, out)
        height, width = image.shape[:2]
        file_name = str(jpeg.relative_to(out))
        images.append({"id": len(images), "file_name": file_name, "height": height, "width": width})
        masks: dict[tuple[str, object], np.ndarray] = {}
        polygons: dict[tuple[str, object], list[list[float]]] = {}
        for shape in label_file.shapes:
            group = shape["group_id"]
            key = (shape["label"], uuid.uuid1() if group is None else group)
            mask = labelme.utils.shape_to_mask(image.shape[:2], shape["points"], shape["shape_type"])
            masks[key] = masks[key] | mask if key in masks else mask
            polygons.setdefault(key, []).append(np.asarray(shape["points"]).flatten().tolist())
        for key, mask in masks.items():
            if values.get(key[0], -1) < 0:
                continue
            encoded = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": images[-1]["id"],
                    "category_id": values[key[0]],
                    "segmentation": polygons[key],
                    "area": float(pycocotools.mask.area(encoded)),
                    "bbox": pycocotools.mask.toBbox(encoded).flatten().tolist(),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": value, "name": name, "supercategory": None} for name, value in values.items() if value >= 0]
    content = {"type": "instances", "images": images, "annotations": annotations, "categories": categories}
    with (out / "annotations.json").open("w", encoding="utf-8") as file:
        json.dump(content, file)


_KINDS = {"voc": to_voc, "coco": to_coco}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, help="a folder that is not there yet")
    parser.add_argument("kind", choices=_KINDS)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--limit", type=int, help="convert only the first COUNT files")
    arguments = parser.parse_args()
    logger.remove()  # labelme's debugging lines, which its program does not show either

    files = sorted(arguments.folder.glob("*.json"))[: arguments.limit]
    values = class_values(arguments.labels)
    arguments.out.mkdir(parents=True)
    start = time.perf_counter()
    _KINDS[arguments.kind](files, arguments.out, values)
    seconds = time.perf_counter() - start
    # Kilobytes, except on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    speed = len(files) / seconds
    print(json.dumps({"images": len(files), "seconds": seconds, "images_per_second": speed, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
