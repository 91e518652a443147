"""Exports until it is killed: the process under test of `test_resuming.py`.

Arguments: format, target, images, image after which the process kills itself (-1: never), options as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from segstudio.core.catalog import Catalog
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import LabelledImage
from segstudio.formats.options import ExportOptions
from segstudio.formats.registry import format_named


def labels_of(index: int) -> SegmentMap:
    """A map that differs from image to image."""
    ids = np.zeros((20, 30), dtype=np.uint16)
    ids[index % 10 : index % 10 + 5, 3:20] = 256
    ids[15:, index % 20 :] = 1
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), {256: Segment(256, 1)})


def labelled_images(folder: Path, count: int, die_at: int = -1) -> list[LabelledImage]:
    """Images below `folder`; loading the labels of number `die_at` kills the process."""
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for index in range(count):
        path = folder / f"{index}.jpg"
        if not path.exists():
            Image.fromarray(np.full((20, 30, 3), index, dtype=np.uint8)).save(path)

        def load(index: int = index) -> SegmentMap:
            if index == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return labels_of(index)

        images.append(
            LabelledImage(name=path.name, path=path, load=load, width=30, height=20, revision=1, split="train")
        )
    return images


def main() -> None:
    """Exports as the arguments say."""
    name, target, count, die_at, options = sys.argv[1:]
    out = Path(target)
    images = labelled_images(out.parent / "images", int(count), int(die_at))
    catalog = Catalog.from_names(["background", "car"])
    report = format_named(name).export(images, catalog, out, options=ExportOptions.of(**json.loads(options)))
    sys.stdout.write(json.dumps({"images": report.images, "resumed": report.resumed}))


if __name__ == "__main__":
    main()
