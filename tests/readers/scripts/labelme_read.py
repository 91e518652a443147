"""labelme opens its JSON files and draws what they say: FOLDER, and its classes as JSON {name: value}.

Data: per file its name, image and shapes. Arrays: "<index>/class" and "<index>/instance", (height, width) int32;
labelme numbers instances from 1 in the order of a file's shapes, one number for each (label, group).
"""

from __future__ import annotations

import json
from pathlib import Path

import labelme
from answering import Answer, answer_with


def read(folder: str, classes: str) -> Answer:
    values = json.loads(classes)
    files, arrays = [], {}
    for index, path in enumerate(sorted(Path(folder).rglob("*.json"))):
        label_file = labelme.LabelFile(filename=str(path))
        image = labelme.utils.img_data_to_arr(label_file.image_data)
        drawn = labelme.utils.shapes_to_label(image.shape, label_file.shapes, values)
        arrays[f"{index}/class"], arrays[f"{index}/instance"] = drawn
        shapes = [{key: shape[key] for key in ("label", "shape_type", "group_id")} for shape in label_file.shapes]
        files.append({"file": path.name, "image": label_file.image_path, "size": image.shape[:2], "shapes": shapes})
    return files, arrays


if __name__ == "__main__":
    answer_with(read)
