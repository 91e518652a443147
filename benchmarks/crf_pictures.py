"""Image, network, CRF with a published preset, and CRF tuned, side by side, with the mean IoU of each.

    uv run python benchmarks/crf_pictures.py OUT.png                 # the demo, whose licence allows it
    uv run python benchmarks/crf_pictures.py OUT.png --data FOLDER   # VOC and CamVid: not for publication

The demo's images are predicted by the shipped network and tuned on `benchmarks/demo_labels`; VOC's and CamVid's
predictions are simulated as in `crf.py`. What is tuned on is what is shown: this is to see what the CRF does, not to
prove a gain. Classes have VOC's colours.
"""

from __future__ import annotations

import argparse
import tempfile
import tomllib
from pathlib import Path

import cv2
import numpy as np
from crf import PARAMS, Bytes, Case, Floats, camvid, mean_iou, voc
from demo_learning import DEMO, HIDDEN, cut_images

from segstudio.core.catalog import voc_color
from segstudio.imaging.decode import read_image
from segstudio.imaging.labels import read_labels
from segstudio.nets.checkpoint import load_model
from segstudio.nets.predictor import predict
from segstudio.refine.api import refined
from segstudio.refine.samples import Sample
from segstudio.refine.tune import tune

_HEIGHT = 260
_GAP = 8
_LINE = 26


def demo_cases() -> list[Case]:
    """The demo's unlabelled images with what the shipped network says."""
    demo = tomllib.loads((DEMO / "demo.toml").read_text(encoding="utf-8"))
    net = load_model(demo["model"])
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in cut_images(demo, Path(folder)).items():
            if (HIDDEN / name).is_file():
                image = read_image(path).rgb
                labels = np.asarray(read_labels(HIDDEN / name), np.uint8)
                cases.append(Case(name, image, predict(net, image, device="cpu"), labels))
    return cases


def row(case: Case, tuned: Floats) -> Bytes:
    """The four pictures of one case, each with its words above."""
    preset = refined(case.image, case.probabilities, PARAMS).probabilities
    parts = [
        (case.name, case.image),
        (f"network: {mean_iou(case, case.probabilities):.3f}", tinted(case.image, case.probabilities)),
        (f"preset: {mean_iou(case, preset):.3f}", tinted(case.image, preset)),
        (f"tuned: {mean_iou(case, tuned):.3f}", tinted(case.image, tuned)),
    ]
    width = round(case.image.shape[1] * _HEIGHT / case.image.shape[0])
    tiles = []
    for words, picture in parts:
        small = cv2.resize(picture, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
        tile = np.full((_HEIGHT + _LINE + _GAP, width + _GAP, 3), 24, np.uint8)
        tile[_LINE : _LINE + _HEIGHT, :width] = small
        cv2.putText(tile, words, (2, _LINE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (225, 225, 225), 1, cv2.LINE_AA)
        tiles.append(tile)
    return np.hstack(tiles)


def tinted(image: Bytes, probabilities: Floats) -> Bytes:
    """The image with the winning classes in their colours, outlined; class 0 is left as it is."""
    labels = probabilities.argmax(0).astype(np.uint8)
    out = image.astype(np.float32)
    for number in np.unique(labels[labels > 0]):
        colour = np.array(voc_color(int(number)), np.float32)
        out[labels == number] = 0.5 * out[labels == number] + 0.5 * colour
    edges = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    out[edges] = 255
    return out.astype(np.uint8)


def main() -> None:
    """Tunes, and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    groups = [demo_cases()] if given.data is None else [voc(given.data), camvid(given.data)]
    rows = []
    for cases in groups:
        found = tune([Sample.of(case.image, case.probabilities, case.labels) for case in cases], PARAMS)
        shown = [cases[0], cases[-1]] if given.data is None else cases[-1:]
        rows += [row(case, refined(case.image, case.probabilities, found.params).probabilities) for case in shown]
    width = max(picture.shape[1] for picture in rows)
    whole = np.vstack([np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=24) for p in rows])
    cv2.imwrite(str(given.out), whole[..., ::-1])


if __name__ == "__main__":
    main()
