"""cityscapesscripts draws polygon files as label and instance images: a folder of `*_polygons.json`.

Data: the files' names. Arrays: "<index>/ids", "<index>/trainIds" and "<index>/instanceIds", (height, width).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from answering import Answer, answer_with
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import createLabelImage


def draw(folder: str) -> Answer:
    files, arrays = [], {}
    for index, path in enumerate(sorted(Path(folder).rglob("*_polygons.json"))):
        annotation = Annotation()
        annotation.fromJsonFile(str(path))
        arrays[f"{index}/ids"] = np.array(createLabelImage(annotation, "ids"))
        arrays[f"{index}/trainIds"] = np.array(createLabelImage(annotation, "trainIds"))
        arrays[f"{index}/instanceIds"] = np.array(createInstanceImage(annotation, "ids"))
        files.append(path.name)
    return files, arrays


if __name__ == "__main__":
    answer_with(draw)
